"""Children that have a successor, and serve whom they have."""

from common.ipc.control_messages import EgressRoutes
from common.ipc.identity import ChildId, StreamId
from common.ipc.status_messages import RenditionStatus, ServedStatus
from supervisor.farm.actions import Send
from supervisor.farm.forwarding.egress_routing import KEEP_S
from supervisor.farm.forwarding.hook_forwarding import HookForwarding
from supervisor.farm.retiring import homes, left, retiring
from tests.kit.children import EGRESS0, EGRESS1, INGEST0, INGEST1
from tests.kit.farm_rig import Rig
from tests.kit.hook_events import notice

STREAM = StreamId("live/a")
KEPT = EgressRoutes(((STREAM, (EGRESS0,)),))


def test_a_stream_gets_another_home_and_whoever_plays_it_at_the_old_one_keeps_it(rig: Rig) -> None:
    rig.publish(STREAM)
    rig.up(EGRESS1)
    rig.tick(KEEP_S)
    rig.beat(EGRESS1)
    before = homes(rig.farm.state)
    assert before == {EGRESS0, EGRESS1}
    told = rig.messages(rig.farm.retire(EGRESS0, rig.now))
    assert (homes(rig.farm.state), retiring(rig.farm.state)) == ({EGRESS1}, {EGRESS0})
    # it was the home: for a while in any case, as players may have come whom it has not reported;
    # it was not: it has the stream when a player is there
    assert told in ([KEPT] * 2, []), "its ingest and its worker"
    generation = rig.stream(STREAM).generation
    played = ServedStatus(STREAM, generation, (RenditionStatus("source", players=1),))
    for _ in range(30):
        rig.tick(1.0)
        rig.beat(EGRESS0, served=(played,))
        assert rig.farm._routes._routing.reported == KEPT
    rig.tick(KEEP_S)
    assert rig.messages(rig.beat(EGRESS0)) == [EgressRoutes(())] * 2
    rig.down(EGRESS0, crashed=False)
    assert retiring(rig.farm.state) == set()


def test_its_hello_says_so_to_a_next_supervisor() -> None:
    rig = Rig(workers=0)
    rig.up(EGRESS1)
    rig.up(EGRESS0, is_retiring=True)
    rig.up(INGEST0, is_retiring=True)
    rig.up(INGEST1)
    assert retiring(rig.farm.state) == {EGRESS0, INGEST0}
    assert homes(rig.farm.state) == {EGRESS1}


def test_all_are_told_who_retires() -> None:
    rig = Rig(workers=0)
    rig.farm.retire(INGEST0, rig.now)
    assert rig.farm.hellos[INGEST0].endpoint.is_retiring
    assert not rig.farm.hellos[EGRESS0].endpoint.is_retiring
    assert rig.farm.retire(EGRESS1, rig.now) == [], "there is none"


def test_whoever_is_connected_is_waited_for_by_whatever_protocol(rig: Rig) -> None:
    others = {"http viewers": 2, "http-flv viewers": 4, "srt viewers": 8, "queued": 16}
    rig.beat(EGRESS0, counters={"players": 1, **others})
    assert left(rig.farm.state, EGRESS0) == 15
    assert left(rig.farm.state, EGRESS1) == 0, "there is none"


def test_viewers_by_webrtc_are_waited_for() -> None:
    rig, rtc = Rig(), ChildId("rtc")
    rig.up(rtc)
    rig.beat(rtc, counters={"rtc viewers": 3, "rtc played": 9})
    assert left(rig.farm.state, rtc) == 3


def test_what_is_for_the_hooks_child_goes_to_the_one_that_came_last() -> None:
    rig = Rig(workers=0)
    old, new = ChildId("hooks"), ChildId("hooks", index=1)
    forwarding = HookForwarding(rig.farm.state)
    rig.up(old)
    rig.up(new)
    (sent,) = forwarding.on_notice(INGEST0, notice(1), 0.0)
    assert sent == Send(new, notice(1))
    rig.down(new)
    (sent,) = forwarding.on_notice(INGEST0, notice(1), 0.0)
    assert sent == Send(old, notice(1))
