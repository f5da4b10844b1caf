"""supervisor/farm/forwarding/url_uses.py: the uses of single-use URLs are known to all."""

from common.ipc.control_messages import UrlsUsed
from supervisor.farm.actions import Send
from supervisor.farm.forwarding.url_uses import AT_ONCE, UrlUses
from tests.kit.children import CPU0, EGRESS0, INGEST0, INGEST1
from tests.kit.farm_rig import Rig


def test_the_others_that_let_peers_in_are_told(rig: Rig) -> None:
    for child in (INGEST0, INGEST1, EGRESS0, CPU0):
        rig.up(child)
    uses = UrlUses(rig.farm.state)
    used = UrlsUsed((("a", 100.0),), 50.0)
    sent = uses.on_used(INGEST0, used, 0.0)
    assert sorted(sent, key=str) == sorted([Send(INGEST1, used), Send(EGRESS0, used)], key=str)
    assert uses.on_used(CPU0, used, 0.0) == [], "a worker says nothing of it"


def test_one_that_starts_later_is_told_what_is_still_good(rig: Rig) -> None:
    uses = UrlUses(rig.farm.state)
    assert uses.child_up(INGEST0) == []
    uses.on_used(INGEST0, UrlsUsed((("old", 60.0),), 50.0), 0.0)
    many = tuple((str(number), 200.0) for number in range(AT_ONCE + 1))
    uses.on_used(INGEST0, UrlsUsed(many, 100.0), 0.0)
    first, second = uses.child_up(EGRESS0)
    assert isinstance(first, Send)
    assert isinstance(second, Send)
    assert first.message == UrlsUsed(many[:AT_ONCE])
    assert second.message == UrlsUsed(many[AT_ONCE:])
    assert uses.child_up(CPU0) == []
