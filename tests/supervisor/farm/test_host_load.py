"""What workers are told of the streams that others encode on the host's cores."""

from common.config.ladder import Pipeline
from common.ipc.control_messages import HostLoad
from common.ipc.identity import ChildId, Generation, StreamId
from supervisor.farm.actions import Send
from supervisor.farm.host_load import host_load
from supervisor.farm.worker import Worker
from supervisor.placement.fleet import Allocation, Fleet
from tests.kit.children import CPU0, CPU1, GPU1
from tests.kit.farm_rig import Rig

ZERO, ONE = CPU0, CPU1
GPU = GPU1


def test_a_worker_hears_of_the_streams_of_others(rig: Rig) -> None:
    rig.publish("live/a")
    rig.publish("live/b")
    assert {rig.farm.state.device_of(rig.stream(f"live/{key}")) for key in "ab"} == {ZERO, ONE}
    assert rig.beat(ZERO) == [Send(ZERO, HostLoad(1))]
    assert rig.beat(ZERO) == [], "once"
    assert rig.beat(ONE) == [Send(ONE, HostLoad(1))]


def test_it_hears_when_they_are_gone(rig: Rig) -> None:
    rig.publish("live/a")
    rig.publish("live/b")
    worker, other = (rig.farm.state.device_of(rig.stream(f"live/{key}")) for key in "ab")
    assert worker is not None
    rig.beat(worker)
    rig.end("live/b")
    assert rig.beat(worker) == [Send(worker, HostLoad(0))]
    assert rig.beat(other) == [], "one without streams has no use for it"


def test_a_worker_that_starts_anew_is_told_again() -> None:
    worker = Worker(ONE, None)
    fleet = _fleet((ZERO, Pipeline.SOFTWARE), (ONE, Pipeline.SOFTWARE))
    assert host_load(worker, fleet) == HostLoad(1)
    worker.end_process(100.0)
    assert host_load(worker, fleet) == HostLoad(1)


def test_a_worker_that_says_hello_again_is_told_again(rig: Rig) -> None:
    rig.publish("live/a")
    rig.publish("live/b")
    assert rig.beat(ZERO) == [Send(ZERO, HostLoad(1))]
    rig.up(ZERO, transcodes=(rig.transcode("live/a"),))
    assert rig.beat(ZERO) == [Send(ZERO, HostLoad(1))]


def test_streams_that_take_no_cores_do_not_count() -> None:
    others = ((None, Pipeline.PASSTHROUGH), (GPU, Pipeline.GPU_ONLY))
    assert host_load(Worker(ZERO, None), _fleet((ZERO, Pipeline.SOFTWARE), *others)) is None
    hybrid = _fleet((ZERO, Pipeline.SOFTWARE), (GPU, Pipeline.HYBRID), *others)
    assert host_load(Worker(ZERO, None), hybrid) == HostLoad(1)
    assert host_load(Worker(GPU, None), hybrid) == HostLoad(1)


def _fleet(*placed: tuple[ChildId | None, Pipeline]) -> Fleet:
    fleet = Fleet()
    for number, (worker, path) in enumerate(placed, 1):
        stream = StreamId(f"live/{number}")
        fleet = fleet.with_allocation(
            Allocation(Generation(number), stream, worker, path, {}, "", is_reservation=False)
        )
    return fleet
