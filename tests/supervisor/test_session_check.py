"""Sessions that a worker should have and has not, and the other way round."""

from common.control_messages import Placed, StreamOrphaned, SwitchGeneration, TranscodeStatus
from common.identity import Generation, StreamId
from supervisor.recovery import POSITIONS_TIMEOUT_S
from supervisor.roster import StreamState
from supervisor.session_check import FORGOTTEN_BEATS, STRAY_BEATS
from tests.supervisor.rig import SMALL, MakeRig, Rig

BEAT_S = 0.25


def live(rig: Rig) -> Placed:
    """live/a is published, and had a picture."""
    placed = rig.publish("live/a", SMALL)
    status = rig.publisher("live/a", format=SMALL, frames=30)
    rig.beat("ingest:0", publishers=(status,))
    return placed


def beats(rig: Rig, worker: str | None, count: int, *transcodes: TranscodeStatus) -> list[object]:
    """What a worker's heartbeats bring about."""
    orders = []
    for _ in range(count):
        rig.now += BEAT_S
        orders += rig.beat(worker, transcodes=transcodes)
    return rig.messages(orders)


def test_a_session_that_its_worker_forgot_begins_anew(rig: Rig) -> None:
    before = live(rig)
    assert beats(rig, before.worker, 4, rig.transcode()) == []
    assert beats(rig, before.worker, FORGOTTEN_BEATS - 1) == []
    (switch,) = beats(rig, before.worker, 1)
    assert isinstance(switch, SwitchGeneration)
    placed = rig.only(rig.tick(POSITIONS_TIMEOUT_S), Placed)
    assert placed.generation > before.generation
    assert placed.worker is not None
    assert rig.stream().state is StreamState.LIVE
    assert rig.stream().crashes == 0


def test_it_is_told_again_as_long_as_there_is_none(make_rig: MakeRig) -> None:
    rig = make_rig(workers=1)
    worker = live(rig).worker
    for _ in range(3):
        (switch,) = beats(rig, worker, FORGOTTEN_BEATS)
        assert isinstance(switch, SwitchGeneration)
        rig.only(rig.tick(POSITIONS_TIMEOUT_S), Placed)


def test_a_session_that_is_named_now_and_then_is_there(rig: Rig) -> None:
    worker = live(rig).worker
    for _ in range(4):
        assert beats(rig, worker, FORGOTTEN_BEATS - 1) == []
        assert beats(rig, worker, 1, rig.transcode()) == []


def test_a_session_is_not_looked_for_before_there_was_a_picture(rig: Rig) -> None:
    worker = rig.publish("live/a", SMALL).worker
    assert beats(rig, worker, 2 * FORGOTTEN_BEATS) == []
    status = rig.publisher("live/a", format=SMALL, frames=0)
    rig.beat("ingest:0", publishers=(status,))
    assert beats(rig, worker, 2 * FORGOTTEN_BEATS) == []


def test_a_stream_whose_ingest_is_lost_has_no_session_and_needs_none(rig: Rig) -> None:
    worker = live(rig).worker
    rig.down("ingest:0")
    assert beats(rig, worker, 2 * FORGOTTEN_BEATS) == []


def test_a_session_of_no_stream_is_ended(rig: Rig) -> None:
    stray = TranscodeStatus(StreamId("live/gone"), Generation(7), 0, 0, 0.0, 0, ())
    assert beats(rig, "worker:cpu:0", STRAY_BEATS - 1, stray) == []
    (message,) = beats(rig, "worker:cpu:0", 1, stray)
    assert isinstance(message, StreamOrphaned)
    assert (message.stream_id, message.generation) == (stray.stream_id, 7)


def test_a_session_of_an_older_placement_is_ended_and_not_the_streams_own(rig: Rig) -> None:
    placed = live(rig)
    old = rig.transcode(generation=placed.generation - 1)
    messages = beats(rig, placed.worker, STRAY_BEATS, old, rig.transcode())
    (message,) = messages
    assert isinstance(message, StreamOrphaned)
    assert message.generation == old.generation
