"""Streams that take workers down: alone on a worker of their own, refused, let in again."""

from dataclasses import replace
from fractions import Fraction

import pytest

from common.config.ladder import Pipeline, SourceFormat
from common.config.settings import Settings, Software
from common.ipc.control_messages import (
    DeviceInfo,
    EndStream,
    Placement,
    Readmit,
    Refused,
    StreamTrouble,
    SwitchGeneration,
)
from common.ipc.identity import stream_id
from supervisor.farm.actions import Action, FailChild, Send, StartWorker, StopWorker
from supervisor.farm.admission.candidates import QUEUE_STARTING_S
from supervisor.farm.admission.source_formats import REMEMBER_S
from supervisor.farm.blame.quarantine import PROBATION_S, REFUSED_S
from supervisor.farm.recovery.lost_workers import POSITIONS_TIMEOUT_S
from supervisor.farm.stream_states import StreamState
from tests.kit.children import CPU0, CPU1, GPU1, INGEST0, INGEST1, dedicated
from tests.kit.farm_rig import SMALL, MakeRig, Rig

OWN = dedicated(1)


def crash(rig: Rig, stream: str = "live/a") -> list[Action]:
    """The worker that has the stream dies, and comes back; all that is ordered meanwhile."""
    worker = rig.farm.state.device_of(rig.stream(stream))
    assert worker is not None
    actions = rig.down(worker)
    actions += rig.tick(POSITIONS_TIMEOUT_S)
    return actions + rig.up(worker)


def allocations(actions: list[Action]) -> list[Placement]:
    return [o.message for o in actions if isinstance(o, Send) and isinstance(o.message, Placement)]


def isolated(rig: Rig) -> None:
    """live/a has a worker of its own, which is up."""
    rig.publish("live/a", SMALL)
    crash(rig)
    assert StartWorker(OWN) in crash(rig)
    rig.up(OWN)
    assert rig.farm.state.device_of(rig.stream()) == OWN


def test_after_two_crashes_a_stream_goes_on_alone_and_nobody_joins_it(rig: Rig) -> None:
    rig.publish("live/a", SMALL)
    first = crash(rig)
    assert not any(isinstance(action, StartWorker) for action in first)
    second = crash(rig)
    assert StartWorker(OWN) in second
    # its worker is not there yet: source only, and no other one will do
    assert allocations(second) == []
    assert rig.stream().state is StreamState.WAITING
    placed = rig.only(rig.up(OWN), Placement)
    assert placed.worker == OWN
    for key in "bcdef":
        assert rig.publish(f"live/{key}", SMALL).worker != OWN


def test_a_poison_stream_whose_refusal_is_remembered_gets_no_worker_that_nobody_starts(
    make_rig: MakeRig,
) -> None:
    rig = make_rig(cores=1, workers=1)
    rig.ask()
    rig.only(rig.format(source=SourceFormat(3840, 2160, fps=Fraction(60))), Refused)
    for _ in range(2):
        rig.farm.state.quarantine.crashed(stream_id("live", "a"), "killed", rig.now)
    rig.refused(rig.ask())
    assert OWN not in rig.farm.state.fleet.devices
    rig.now += REMEMBER_S
    assert StartWorker(OWN) in rig.ask()


def test_when_its_own_worker_dies_too_it_is_refused_with_the_reason_and_the_worker_ends(
    rig: Rig,
) -> None:
    isolated(rig)
    *actions, stop = rig.down(OWN)
    end = rig.only(actions, EndStream)
    assert "took down 2 workers" in end.refusal.words
    assert "killed" in end.refusal.words
    assert stop == StopWorker(OWN)
    assert OWN not in rig.farm.state.fleet.devices
    assert "took down" in rig.refused(rig.ask()).refusal.words
    rig.now += REFUSED_S
    rig.only(rig.ask(), Placement)


def test_a_kick_lets_a_refused_stream_in_again_at_every_ingest(rig: Rig) -> None:
    isolated(rig)
    rig.down(OWN)
    rig.refused(rig.ask())
    rig.up(INGEST1)
    readmit = Readmit(stream_id("live", "a"))
    ingests = [Send(name, readmit) for name in (INGEST0, INGEST1)]
    assert rig.operator.clear("live", "a") == ingests
    assert rig.operator.clear("live", "a") == []
    assert rig.only(rig.ask(), Placement).worker != OWN


def test_a_poison_stream_that_ends_and_comes_back_is_alone_again(rig: Rig) -> None:
    isolated(rig)
    rig.end()
    assert rig.beat(OWN) == [StopWorker(OWN)]
    (start,) = rig.ask()
    assert isinstance(start, StartWorker)
    assert start.child != OWN
    assert rig.only(rig.up(start.child), Placement).worker == start.child


def test_a_worker_that_was_dismissed_is_no_device_that_is_starting(rig: Rig) -> None:
    isolated(rig)
    rig.end()
    assert rig.beat(OWN) == [StopWorker(OWN)]
    rig.down(OWN, crashed=False)
    rig.farm.configure(capacity(0.05), rig.now)
    rig.refused(rig.ask("live/b"))
    assert all(worker.down_since_s is None for worker in rig.farm.state.workers.values())


def test_one_that_behaves_moves_back_among_the_others(rig: Rig) -> None:
    isolated(rig)
    rig.beat(INGEST0, publishers=(rig.publisher(format=rig.stream().format),))  # tells its time
    actions = rig.tick(PROBATION_S)
    placed = rig.only(actions, Placement)
    assert placed.worker != OWN
    assert rig.stream().crashes == 0
    assert rig.beat(OWN) == [StopWorker(OWN)]
    # and two crashes are needed again
    assert not any(isinstance(action, StartWorker) for action in crash(rig))


def test_one_whose_own_worker_never_comes_up_goes_back_to_the_others(rig: Rig) -> None:
    rig.publish("live/a", SMALL)
    crash(rig)
    assert StartWorker(OWN) in crash(rig)
    assert rig.stream().state is StreamState.WAITING
    *actions, stop = rig.tick(PROBATION_S)
    assert stop == StopWorker(OWN)
    assert rig.only(actions, Placement).worker not in (None, OWN)
    assert rig.stream().state is StreamState.LIVE
    assert OWN not in rig.farm.state.fleet.devices


def test_a_worker_that_is_not_up_when_its_stream_ends_is_not_waited_for(rig: Rig) -> None:
    """It may never be: it would be started again and again, for nobody."""
    rig.publish("live/a", SMALL)
    crash(rig)
    assert StartWorker(OWN) in crash(rig)
    assert rig.end() == [StopWorker(OWN)]
    assert OWN not in rig.farm.state.fleet.devices
    assert OWN not in rig.farm.state.workers


def test_one_that_its_own_worker_could_not_serve_is_tried_on_the_others_afterwards(
    rig: Rig,
) -> None:
    isolated(rig)
    found = rig.stream()
    rig.say(OWN, StreamTrouble(OWN, found.stream_id, found.generation, "failed: a bug"))
    assert rig.stream().state is StreamState.SOURCE_ONLY
    placed = rig.only(rig.tick(PROBATION_S), Placement)
    assert placed.worker not in (None, OWN)


def test_a_hang_is_blamed_on_the_stream_whose_work_waits(make_rig: MakeRig) -> None:
    rig = make_rig(workers=1)
    for key in ("live/a", "live/b"):
        rig.publish(key, SMALL)
    for _ in range(2):
        worker = CPU0
        calm, stuck = rig.transcode("live/a"), rig.transcode("live/b", stalled_s=2.0)
        (failed,) = rig.beat(worker, transcodes=(calm, stuck))
        assert isinstance(failed, FailChild)
        rig.down(worker)
        rig.tick(POSITIONS_TIMEOUT_S)
        rig.up(worker)
    assert rig.stream("live/a").crashes == 0
    assert rig.stream("live/a").dedicated_worker is None
    assert rig.stream("live/b").dedicated_worker == OWN


def test_a_worker_that_was_told_to_end_blames_nobody(rig: Rig) -> None:
    placed = rig.publish("live/a", SMALL)
    for _ in range(3):
        worker = rig.farm.state.device_of(rig.stream())
        assert worker is not None
        rig.down(worker, crashed=False)
        rig.tick(POSITIONS_TIMEOUT_S)
        rig.up(worker)
    assert rig.stream().dedicated_worker is None
    assert rig.stream().generation > placed.generation


def test_own_workers_found_by_a_new_supervisor_are_emptied_and_ended(rig: Rig) -> None:
    status = rig.publisher("live/a", worker=OWN, format=SMALL)
    rig.up(INGEST0, publishers=(status,))
    actions = rig.up(OWN)
    assert [placed.worker != OWN for placed in allocations(actions)] == [True]
    assert rig.beat(OWN) == [StopWorker(OWN)]
    assert not any(isinstance(o, Send) and isinstance(o.message, SwitchGeneration) for o in actions)


def device_lost(rig: Rig, stream: str = "live/a") -> list[Action]:
    """The stream's session is the one that meets it; its worker ends, and comes back."""
    found = rig.stream(stream)
    worker = rig.farm.state.device_of(found)
    assert worker is not None
    lost = StreamTrouble(worker, found.stream_id, found.generation, "device lost", True)
    actions = rig.say(worker, lost)
    actions += rig.down(worker, crashed=False)
    actions += rig.tick(POSITIONS_TIMEOUT_S)
    return actions + rig.up(worker)


def test_only_the_stream_whose_session_met_the_loss_of_a_device_is_a_poison_stream(
    make_rig: MakeRig,
) -> None:
    rig = make_rig(workers=1)
    for key in ("live/a", "live/b"):
        rig.publish(key, SMALL)
    device_lost(rig)
    assert StartWorker(OWN) in device_lost(rig)
    assert [rig.stream(key).crashes for key in ("live/a", "live/b")] == [2, 0]
    assert rig.stream("live/b").dedicated_worker is None


def all_lost(rig: Rig, *, for_sure: bool = False, bystanders: str = "") -> list[Action]:
    """The worker of them all ends with its device, and comes back; each session tells of it."""
    worker = CPU0
    rig.farm.devices.lost(worker, "it fell off the bus", for_sure=for_sure)
    actions = []
    for stream in list(rig.farm.state.streams.values()):
        key = stream.stream_id.partition("/")[2]
        told = StreamTrouble(
            worker, stream.stream_id, stream.generation, "device lost", True, key in bystanders
        )
        actions += rig.say(worker, told)
    actions += rig.down(worker, crashed=False)
    actions += rig.tick(POSITIONS_TIMEOUT_S)
    return actions + rig.up(worker)


def test_those_who_meet_a_loss_after_another_are_no_poison_streams(make_rig: MakeRig) -> None:
    rig = make_rig(workers=1)
    for key in "abc":
        rig.publish(f"live/{key}", SMALL)
    all_lost(rig, bystanders="bc")
    assert StartWorker(OWN) in all_lost(rig, bystanders="bc")
    assert [rig.stream(f"live/{key}").crashes for key in "abc"] == [2, 0, 0]
    placed = [rig.farm.state.device_of(rig.stream(f"live/{key}")) for key in "bc"]
    assert placed == [CPU0] * 2


def test_nobody_is_a_poison_stream_for_the_loss_of_a_gpu_that_the_watch_saw(
    make_rig: MakeRig,
) -> None:
    rig = make_rig(workers=1)
    rig.publish("live/a", SMALL)
    for _ in range(3):
        actions = all_lost(rig, for_sure=True)
        assert not any(isinstance(action, StartWorker) for action in actions)
        assert rig.stream().state is StreamState.LIVE
    assert rig.stream().crashes == 0
    # and what it saw holds until the worker is up: from then on it is the worker that tells
    all_lost(rig)
    assert rig.stream().crashes == 1


def test_a_worker_that_is_killed_since_its_device_is_lost_blames_nobody(rig: Rig) -> None:
    rig.publish("live/a", SMALL)
    for _ in range(3):
        worker = rig.farm.state.device_of(rig.stream())
        assert worker is not None
        rig.farm.devices.lost(worker, "it has fallen off the bus")
        crash(rig)
    assert rig.stream().crashes == 0
    assert rig.stream().dedicated_worker is None


def capacity(units: float) -> Settings:
    return replace(Settings(), software=Software(capacity=units))


def test_a_poison_stream_stays_where_it_is_without_room_for_a_worker_of_its_own(
    make_rig: MakeRig,
) -> None:
    rig = make_rig(workers=1)
    rig.publish("live/a", SMALL)
    crash(rig)
    rig.farm.configure(capacity(0.05), rig.now)
    actions = rig.down(CPU0)
    assert not any(isinstance(action, StartWorker) for action in actions)
    assert rig.stream().dedicated_worker is None
    assert "not alone: software: needs" in rig.farm.state.history[-1].text
    rig.farm.configure(Settings(), rig.now)
    rig.tick(POSITIONS_TIMEOUT_S)
    assert rig.only(rig.up(CPU0), Placement).worker == CPU0


def test_a_poison_stream_whose_room_was_taken_meanwhile_goes_back_to_the_others(rig: Rig) -> None:
    rig.publish("live/a", SMALL)
    crash(rig)
    assert StartWorker(OWN) in crash(rig)
    rig.farm.configure(capacity(0.05), rig.now)
    rig.up(OWN)
    assert rig.stream().dedicated_worker is None
    assert rig.stream().state is StreamState.WAITING
    (placed,) = allocations(rig.farm.configure(Settings(), rig.now))
    assert placed.worker not in (None, OWN)
    assert rig.beat(OWN) == [StopWorker(OWN)]


def poison_stream(rig: Rig, stream: str = "a") -> None:
    """It took two workers down, and its publisher is away."""
    for _ in range(2):
        rig.farm.state.quarantine.crashed(stream_id("live", stream), "killed", rig.now)


def asks_in_vain(rig: Rig) -> None:
    """A poison stream's publisher is refused before the worker that was started for it is up."""
    poison_stream(rig)
    assert rig.ask() == [StartWorker(OWN)]
    rig.refused(rig.tick(QUEUE_STARTING_S))


def test_a_poison_stream_that_is_queued_is_told_once_to_be_not_alone(make_rig: MakeRig) -> None:
    rig = make_rig(capacity(0.05), workers=1)
    poison_stream(rig)
    rig.expect(CPU1)  # room may come
    assert rig.ask() == []
    for _ in range(50):
        rig.farm.configure(capacity(0.05), rig.now)
    notes = [note.text for note in rig.farm.state.history]
    assert [text.startswith("not alone: software: needs") for text in notes] == [True]


def test_a_poison_publisher_whose_room_was_taken_meanwhile_goes_to_the_others(
    rig: Rig,
) -> None:
    poison_stream(rig)
    (start,) = rig.ask()
    assert isinstance(start, StartWorker)
    rig.farm.configure(capacity(0.05), rig.now)
    rig.farm.devices.expect(GPU1, Pipeline.GPU_ONLY, rig.now)
    rig.up(start.child)
    assert rig.farm.admission.queued == 1, "it keeps its worker while others have no room either"
    gpu = DeviceInfo("GPU-1", "gpu", "NVIDIA L4", Pipeline.GPU_ONLY, "00000000:65:00.0", 24 << 30)
    (placed,) = allocations(rig.up(GPU1, device=gpu))
    assert placed.worker == GPU1
    assert rig.stream().dedicated_worker is None
    assert rig.beat(start.child) == [StopWorker(start.child)]


def test_a_poison_streams_publisher_finds_the_worker_that_was_started_for_its_last_attempt(
    rig: Rig,
) -> None:
    asks_in_vain(rig)
    assert rig.up(OWN) == []
    assert rig.beat(OWN) == []
    assert rig.only(rig.ask(), Placement).worker == OWN


@pytest.mark.parametrize("is_up", [True, False])
def test_a_kick_takes_a_poison_stream_the_worker_that_was_started_for_its_last_attempt(
    rig: Rig, is_up: bool
) -> None:
    asks_in_vain(rig)
    if is_up:
        rig.up(OWN)
    readmit, *actions = rig.operator.clear("live", "a")
    assert readmit == Send(INGEST0, Readmit(stream_id("live", "a")))
    actions += rig.beat(OWN) if is_up else []
    assert actions == [StopWorker(OWN)]
    assert rig.publish("live/a", SMALL).worker != OWN
    assert not any(isinstance(action, EndStream | StartWorker) for action in crash(rig))
    assert rig.stream().state is StreamState.LIVE


def test_a_poison_stream_is_alone_from_when_it_comes_not_from_when_its_worker_was_started(
    rig: Rig,
) -> None:
    asks_in_vain(rig)
    rig.up(OWN)
    rig.tick(PROBATION_S - 2 * QUEUE_STARTING_S)
    rig.publish("live/a", SMALL)
    assert rig.tick(PROBATION_S - 1) == []
    assert rig.stream().dedicated_worker == OWN
    rig.tick(1)
    assert rig.stream().dedicated_worker is None


@pytest.mark.parametrize("is_up", [True, False])
def test_a_worker_that_its_poison_stream_never_came_to_ends_and_clears_nobody(
    rig: Rig, is_up: bool
) -> None:
    asks_in_vain(rig)
    if is_up:
        rig.up(OWN)
    actions = rig.tick(PROBATION_S)
    actions += rig.beat(OWN) if is_up else []
    assert actions == [StopWorker(OWN)]
    assert OWN not in rig.farm.state.fleet.devices
    (start,) = rig.ask()
    assert isinstance(start, StartWorker)
    assert start.child != OWN
