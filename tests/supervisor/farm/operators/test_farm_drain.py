"""A drain of the whole farm."""

import math

from common.access.refusal import RefusalReason
from common.ipc.control_messages import EndStream
from tests.kit.children import INGEST0
from tests.kit.farm_rig import SMALL, Rig


def test_a_drained_farm_takes_nothing_new_and_ends_what_runs_when_the_time_is_over(
    rig: Rig,
) -> None:
    rig.publish("live/a", SMALL)
    rig.farm.drain.begin(30.0, rig.now)
    assert "drained" in rig.refused(rig.ask("live/b")).refusal.words
    assert rig.farm.drain.next_deadline() == rig.now + 30.0
    assert rig.tick(29.0) == []
    ended = rig.only(rig.tick(1.0), EndStream, INGEST0)
    assert (ended.stream_id, ended.refusal.reason) == ("live/a", RefusalReason.FAILED)
    assert rig.farm.drain.next_deadline() == math.inf, "once"


def test_without_a_time_nothing_is_ended_and_it_can_be_opened_again(rig: Rig) -> None:
    rig.publish("live/a", SMALL)
    rig.farm.drain.begin(None, rig.now)
    assert rig.tick(3600.0) == []
    rig.farm.drain.end()
    rig.publish("live/b", SMALL)
