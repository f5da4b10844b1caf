"""What workers are told of the streams that others encode on the host's cores."""

from common.config.ladder import Path
from common.ipc.control_messages import StreamsElsewhere
from common.ipc.identity import ChildName, Generation, StreamId
from supervisor.farm.actions import Send
from supervisor.farm.host_load import CoreStreams
from supervisor.placement.fleet import Fleet, Placement
from tests.kit.supervisor import Rig

ZERO, ONE = ChildName("worker:cpu:0"), ChildName("worker:cpu:1")
GPU = ChildName("worker:GPU-1")


def test_a_worker_hears_of_the_streams_of_others(rig: Rig) -> None:
    rig.publish("live/a")
    rig.publish("live/b")
    assert {rig.farm.roster.device_of(rig.stream(f"live/{key}")) for key in "ab"} == {ZERO, ONE}
    assert rig.beat(ZERO) == [Send(ZERO, StreamsElsewhere(1))]
    assert rig.beat(ZERO) == [], "once"
    assert rig.beat(ONE) == [Send(ONE, StreamsElsewhere(1))]


def test_it_hears_when_they_are_gone(rig: Rig) -> None:
    rig.publish("live/a")
    rig.publish("live/b")
    worker, other = (rig.farm.roster.device_of(rig.stream(f"live/{key}")) for key in "ab")
    assert worker is not None
    rig.beat(worker)
    rig.end("live/b")
    assert rig.beat(worker) == [Send(worker, StreamsElsewhere(0))]
    assert rig.beat(other) == [], "one without streams has no use for it"


def test_a_worker_that_starts_anew_is_told_again() -> None:
    told = CoreStreams()
    fleet = _fleet((ZERO, Path.SOFTWARE), (ONE, Path.SOFTWARE))
    assert told.heard(ONE, fleet) == StreamsElsewhere(1)
    told.forget(ONE)
    assert told.heard(ONE, fleet) == StreamsElsewhere(1)


def test_a_worker_that_says_hello_again_is_told_again(rig: Rig) -> None:
    rig.publish("live/a")
    rig.publish("live/b")
    assert rig.beat(ZERO) == [Send(ZERO, StreamsElsewhere(1))]
    rig.up(ZERO, "worker", transcodes=(rig.transcode("live/a"),))
    assert rig.beat(ZERO) == [Send(ZERO, StreamsElsewhere(1))]


def test_streams_that_take_no_cores_do_not_count() -> None:
    told = CoreStreams()
    others = ((None, Path.PASSTHROUGH), (GPU, Path.GPU_ONLY))
    assert told.heard(ZERO, _fleet((ZERO, Path.SOFTWARE), *others)) is None
    hybrid = _fleet((ZERO, Path.SOFTWARE), (GPU, Path.HYBRID), *others)
    assert told.heard(ZERO, hybrid) == StreamsElsewhere(1)
    assert told.heard(GPU, hybrid) == StreamsElsewhere(1)


def _fleet(*placed: tuple[ChildName | None, Path]) -> Fleet:
    fleet = Fleet()
    for number, (worker, path) in enumerate(placed, 1):
        stream = StreamId(f"live/{number}")
        fleet = fleet.with_placement(
            Placement(Generation(number), stream, worker, path, {}, "", is_reservation=False)
        )
    return fleet
