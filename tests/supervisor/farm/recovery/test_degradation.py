"""What an overloaded device's streams are told, and how they get it all back."""

from typing import Any

from common.config.ladder import Pipeline, Template
from common.config.settings import DEFAULT_RENDITIONS, Settings, WorkerSettings
from common.ipc.capture_messages import CaptureStream
from common.ipc.control_messages import Degrade, Placement
from supervisor.farm.actions import Action, Send
from supervisor.farm.recovery.overload import BEHIND_S, OVERFLOWS, STEP_S, WELL_S, DegradationLevel
from supervisor.farm.stream_states import StreamState
from tests.kit.children import CPU0, CPU1
from tests.kit.farm_rig import HD, MakeRig, Rig


def beats(rig: Rig, seconds: float, **fields: Any) -> list[Action]:
    """Four heartbeats a second of cpu:0 with what it has; it does as it is told at once."""
    actions: list[Action] = []
    for _ in range(round(seconds * 4)):
        rig.now += 0.25
        told: dict[str, tuple[int, int]] = {
            o.message.stream_id: (o.message.top_rate_divisor, o.message.dropped_renditions)
            for o in rig.actions
            if isinstance(o, Send) and isinstance(o.message, Degrade)
        }
        transcodes = []
        for stream in rig.farm.state.on_device(CPU0):
            key = stream.stream_id
            divisor, dropped = told.get(key, (1, 0))
            is_new = stream.transcode is None or stream.transcode.generation != stream.generation
            if is_new:
                divisor, dropped = 1, 0
            transcodes.append(
                rig.transcode(key, top_rate_divisor=divisor, dropped_renditions=dropped, **fields)
            )
        actions += rig.beat(CPU0, transcodes=tuple(transcodes))
    return actions


def of(actions: list[Action], kind: type) -> list[Any]:
    return [o.message for o in actions if isinstance(o, Send) and isinstance(o.message, kind)]


def test_a_queue_that_is_full_again_and_again_closes_its_device(make_rig: MakeRig) -> None:
    rig = make_rig(workers=1, cores=4)
    rig.publish("live/a", HD)
    for overflows in range(OVERFLOWS + 1):
        assert rig.farm.state.overloaded == set()
        beats(rig, 2.0, overflows=overflows)
    assert rig.farm.state.overloaded == {CPU0}


def test_where_nobody_wants_that_nothing_is_taken(make_rig: MakeRig) -> None:
    rig = make_rig(workers=1, cores=4)
    rig.farm.state.settings = Settings(worker=WorkerSettings(is_adapting=False))
    rig.publish("live/a", HD)
    assert beats(rig, BEHIND_S + 10 * STEP_S, queue_ms=700.0) == []
    assert rig.farm.state.overloaded == set()
    assert rig.stream("live/a").degradation is DegradationLevel.FULL


def test_it_goes_down_the_ladder_and_up_again(make_rig: MakeRig) -> None:
    rig = make_rig(workers=1, cores=4)
    placed = rig.publish("live/a", HD)
    state = rig.farm.state
    assert beats(rig, BEHIND_S + 0.5, queue_ms=700.0) == []
    assert state.overloaded == {CPU0}
    assert "takes no new streams: it is behind" in rig.refused(rig.ask("live/b")).refusal.detail

    (half,) = of(beats(rig, STEP_S, queue_ms=700.0), Degrade)
    assert (half.generation, half.top_rate_divisor, half.dropped_renditions) == (
        placed.generation,
        2,
        0,
    )
    actions = beats(rig, STEP_S, queue_ms=700.0)
    (without,) = of(actions, Degrade)
    assert (without.top_rate_divisor, without.dropped_renditions) == (1, 1)
    (fewer,) = of(actions, Placement)
    assert (fewer.generation, fewer.renditions) == (placed.generation, placed.renditions[1:])

    (passed,) = of(beats(rig, STEP_S, queue_ms=700.0), Placement)
    assert (passed.worker, passed.renditions) == (None, ())
    assert rig.stream().state is StreamState.SOURCE_ONLY

    (back,) = of(beats(rig, WELL_S + 1), Placement)
    assert (back.worker, back.renditions) == (CPU0, placed.renditions[1:])
    assert back.generation > passed.generation
    beats(rig, 4 * WELL_S)
    assert state.overloaded == set()
    assert rig.stream().degradation is DegradationLevel.FULL
    assert rig.stream().renditions() == placed.renditions
    last = of(rig.actions, Degrade)[-1]
    assert (last.top_rate_divisor, last.dropped_renditions) == (1, 0)
    assert rig.only(rig.ask("live/b"), Placement).worker == CPU0


def test_a_worker_that_does_not_show_it_is_told_again(make_rig: MakeRig) -> None:
    rig = make_rig(workers=1, cores=4)
    rig.publish("live/a", HD)
    rig.stream().degrade(DegradationLevel.HALF_RATE, "")
    for _ in range(2):
        (message,) = of(rig.beat(CPU0, transcodes=(rig.transcode(),)), Degrade)
        assert message.top_rate_divisor == 2
    assert of(rig.beat(CPU0, transcodes=(rig.transcode(top_rate_divisor=2),)), Degrade) == []


def test_a_rendition_that_an_earlier_supervisor_took_is_back_at_egress_too(
    make_rig: MakeRig,
) -> None:
    rig = make_rig(workers=1, cores=4)
    renditions = rig.publish("live/a", HD).renditions
    actions = rig.beat(CPU0, transcodes=(rig.transcode(dropped_renditions=1),))
    assert [message.dropped_renditions for message in of(actions, Degrade)] == [0]
    assert [message.renditions for message in of(actions, Placement)] == [renditions]
    assert rig.beat(CPU0, transcodes=(rig.transcode(),)) == []


def test_a_corrupt_stream_is_no_overload(make_rig: MakeRig) -> None:
    rig = make_rig(workers=1, cores=4)
    rig.publish("live/a", HD)
    for count in range(100):
        rig.now += 0.25
        status = rig.transcode(decode_errors=count, dropped=10 * count)
        actions = rig.beat(CPU0, transcodes=(status,))
        assert [sent for sent in actions if not of([sent], CaptureStream)] == []


def test_a_lost_worker_leaves_no_stream_behind(make_rig: MakeRig) -> None:
    policy = (Pipeline.SOFTWARE, Pipeline.PASSTHROUGH)
    settings = Settings(templates=(Template("live", DEFAULT_RENDITIONS, policy=policy),))
    rig = make_rig(settings, workers=1, cores=4)
    rig.publish("live/a", HD)
    beats(rig, BEHIND_S + 0.5 + 3 * STEP_S, queue_ms=700.0)
    assert rig.stream().overloaded_worker == CPU0
    rig.down(CPU0)
    assert rig.farm.state.overloaded == set()
    placed = rig.only(rig.up(CPU0), Placement)
    assert placed.worker == CPU0
    assert rig.stream().degradation is DegradationLevel.FULL


def test_what_a_drained_device_passed_through_goes_on_elsewhere(make_rig: MakeRig) -> None:
    rig = make_rig(workers=2, cores=4)
    rig.operator.drain([CPU1], rig.now)
    rig.publish("live/a", HD)
    beats(rig, BEHIND_S + 0.5 + 3 * STEP_S, queue_ms=700.0)
    assert rig.stream().state is StreamState.SOURCE_ONLY
    rig.operator.undrain([CPU1], rig.now)
    (placed,) = of(rig.operator.drain([CPU0], rig.now), Placement)
    assert placed.worker == CPU1
    assert rig.stream().degradation is DegradationLevel.FULL
    assert of(beats(rig, 6 * WELL_S), Placement) == [], "it stays there"
