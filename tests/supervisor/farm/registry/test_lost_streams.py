"""supervisor/farm/registry/lost_streams.py: streams that run here and are another host's."""

from math import inf

from common.access.refusal import RefusalReason
from common.ipc.control_messages import EndStream, PublishEnd, PublishRequest
from common.ipc.identity import Generation, StreamId
from supervisor.farm.actions import Send
from supervisor.farm.registry.lost_streams import GRACE_S, HANDOVER_MS, LostStreams
from tests.kit.children import INGEST0
from tests.kit.farm_rig import ADDRESS, Rig

A = StreamId("live/a")


def running() -> tuple[Rig, LostStreams]:
    rig = Rig()
    rig.say(INGEST0, PublishRequest(1, A, ADDRESS))
    return rig, LostStreams(rig.farm.state)


def test_it_ends_after_its_grace_with_words_and_its_players_are_held() -> None:
    _, lost = running()
    lost.lost(A, "host b", 100.0)
    lost.lost(A, "host b", 100.0 + GRACE_S / 2)
    assert lost.next_deadline() == 100.0 + GRACE_S
    assert lost.tick(100.0 + GRACE_S * 0.9) == []
    (action,) = lost.tick(100.0 + GRACE_S)
    assert isinstance(action, Send)
    end = action.message
    assert isinstance(end, EndStream)
    assert (action.child, end.stream_id, end.hold_ms) == (INGEST0, A, HANDOVER_MS)
    assert (end.refusal.reason, end.refusal.is_lasting) == (RefusalReason.NAME_IN_USE, False)
    assert (
        end.refusal.words == "host b has this stream, too, and came to it later: publish it there"
    )
    assert (lost.tick(110.0), lost.next_deadline()) == ([], inf)


def test_what_is_this_hosts_again_goes_on() -> None:
    """The other host was about to have it, and did not take its publisher."""
    _, lost = running()
    lost.lost(A, "host b", 100.0)
    lost.kept(A)
    assert (lost.tick(110.0), lost.next_deadline()) == ([], inf)


def test_what_has_ended_meanwhile_is_not_ended_when_it_begins_again() -> None:
    rig, lost = running()
    lost.lost(A, "host b", 100.0)
    rig.say(INGEST0, PublishEnd(A, Generation(1), "it left"))
    assert lost.tick(100.1) == []
    rig.say(INGEST0, PublishRequest(2, A, ADDRESS))
    assert lost.tick(110.0) == []
