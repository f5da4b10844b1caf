"""The whole of the supervisor's decisions: heartbeats, ends, reconciliation."""

from common.config.settings import Settings, Software
from common.ipc.control_messages import Placement, PublishEnd
from common.ipc.identity import ChildId, Generation
from common.ipc.status_messages import ChildFloods
from supervisor.farm.actions import FailChild
from supervisor.farm.ingests import UNLISTED_GRACE_S
from supervisor.placement.cost import Resource
from tests.kit.children import CPU0, CPU1, CPU2, EGRESS0, INGEST0, INGEST1
from tests.kit.farm_rig import MakeRig, Rig


def test_heartbeats_fill_the_farm_state(rig: Rig) -> None:
    placed = rig.publish()
    rig.beat(INGEST0, publishers=(rig.publisher(fps=25.0),))
    rig.beat(placed.worker, transcodes=(rig.transcode(frames_in=7),))
    stream = rig.stream()
    assert stream.publisher is not None
    assert stream.publisher.fps == 25.0
    assert stream.transcode is not None
    assert stream.transcode.frames_in == 7


def test_what_a_worker_says_of_an_old_generation_is_not_taken(rig: Rig) -> None:
    placed = rig.publish()
    rig.beat(placed.worker, transcodes=(rig.transcode(generation=Generation(99)),))
    assert rig.stream().transcode is None


def test_a_worker_whose_work_waits_and_does_not_get_done_is_failed_and_restarted(rig: Rig) -> None:
    placed = rig.publish()
    assert rig.beat(placed.worker, transcodes=(rig.transcode(stalled_s=1.0),)) == []
    (action,) = rig.beat(placed.worker, transcodes=(rig.transcode(stalled_s=1.5),))
    assert isinstance(action, FailChild)
    assert action.child == placed.worker
    assert "hangs" in action.reason


def test_an_end_gives_the_room_back_even_when_it_crosses_a_new_placement(rig: Rig) -> None:
    placed = rig.publish()
    rig.down(placed.worker)
    rig.tick(1.0)
    assert rig.stream().generation > placed.generation
    rig.say(INGEST0, PublishEnd(placed.stream_id, placed.generation, "unpublished"))
    assert rig.farm.state.fleet.used(Resource.CORES) == 0


def test_an_end_of_the_future_or_of_another_ingest_is_not_believed(rig: Rig) -> None:
    placed = rig.publish()
    rig.up(INGEST1)
    rig.say(INGEST0, PublishEnd(placed.stream_id, Generation(99), "x"))
    rig.say(INGEST1, PublishEnd(placed.stream_id, placed.generation, "x"))
    assert "live/a" in rig.farm.state.streams


def test_room_of_a_stream_that_its_ingest_does_not_know_is_given_back(rig: Rig) -> None:
    rig.publish()
    rig.beat(INGEST0)
    assert "live/a" in rig.farm.state.streams
    rig.now += UNLISTED_GRACE_S + rig.farm.state.settings.ingest.first_video_timeout_s + 1
    rig.beat(INGEST0)
    assert rig.farm.state.streams == {}
    assert rig.farm.state.fleet.allocations == {}


def test_an_ingest_that_says_hello_again_hears_of_the_moves_it_missed(
    rig: Rig,
) -> None:
    placed = rig.publish()
    stale = rig.publisher()
    assert rig.up(INGEST0, publishers=(stale,)) == []
    rig.down(placed.worker)
    rig.tick(1.0)
    again = rig.only(rig.up(INGEST0, publishers=(stale,)), Placement)
    assert again.generation == rig.stream().generation > placed.generation


def test_streams_missing_from_a_new_hello_are_over(rig: Rig) -> None:
    rig.publish()
    rig.up(INGEST0)
    assert rig.farm.state.streams == {}


def test_a_lost_egress_touches_no_stream(rig: Rig) -> None:
    rig.publish()
    assert rig.down(EGRESS0) == []
    assert len(rig.farm.state.streams) == 1
    assert set(rig.farm.hellos) == {
        INGEST0,
        CPU0,
        CPU1,
    }


def test_an_end_makes_room_for_those_who_wait(make_rig: MakeRig) -> None:
    rig = make_rig(Settings(software=Software(capacity=0.1)))
    rig.ask("live/a")
    rig.ask("live/b")
    placed = rig.only(rig.end("live/a"), Placement)
    assert placed.stream_id == "live/b"


def test_a_worker_is_idle_until_it_is_given_a_stream_and_when_its_last_session_has_ended(
    rig: Rig,
) -> None:
    assert rig.farm.state.is_idle(CPU0)
    placed = rig.publish()
    assert placed.worker is not None
    assert not rig.farm.state.is_idle(placed.worker)
    rig.beat(placed.worker, transcodes=(rig.transcode(),))
    rig.end()
    assert not rig.farm.state.is_idle(placed.worker), "its session ends"
    rig.beat(placed.worker)
    assert rig.farm.state.is_idle(placed.worker)


def test_a_child_that_floods_is_ended_if_it_is_one_that_strangers_media_may_have_taken_over(
    rig: Rig,
) -> None:
    encoder = ChildId("encoder")
    rig.up(encoder)
    for child in (CPU0, encoder):
        (action,) = rig.say(EGRESS0, ChildFloods(child, "more than may wait"))
        assert action == FailChild(child, "it floods: more than may wait")
    for child in (INGEST0, EGRESS0, CPU2):  # trusted, or not there
        assert rig.say(EGRESS0, ChildFloods(child, "more than may wait")) == []
