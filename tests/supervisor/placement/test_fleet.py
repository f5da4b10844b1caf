"""Placement, by examples and by properties."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from common.config.ladder import Pipeline
from common.config.settings import Calibration
from common.errors import UsageError
from common.ipc.identity import ChildId, Generation, StreamId, cpu_worker, gpu_worker
from supervisor.placement.cost import (
    DECODE_WEIGHT,
    ENGINES,
    HOST_WIDE,
    HYBRID_WEIGHT,
    Resource,
    StreamCost,
)
from supervisor.placement.fleet import (
    Allocation,
    Device,
    Fleet,
    Need,
    NoRoom,
    correct,
    move,
    place,
    release,
)
from tests.kit.children import CPU0, CPU1, CPU2, GPU0, GPU1

ANY = (Pipeline.GPU_ONLY, Pipeline.HYBRID, Pipeline.SOFTWARE)


def cpu(index: int, is_up: bool = True, is_open: bool = True) -> Device:
    name = cpu_worker(index)
    return Device(name, Pipeline.SOFTWARE, is_up=is_up, is_open=is_open)


def gpu(
    index: int, load: float, path: Pipeline = Pipeline.GPU_ONLY, memory: float = 1e12
) -> Device:
    limits = {Resource.LOAD: load, Resource.MEMORY: memory}
    return Device(gpu_worker(f"GPU-{index}"), path, limits)


def fleet_of(*devices: Device, cores: float = 200.0, sessions: float | None = None) -> Fleet:
    host = {Resource.CORES: cores}
    if sessions is not None:
        host[Resource.SESSIONS] = sessions
    return Fleet(host, {device.name: device for device in devices})


def need(
    generation: int,
    total: float = 50.0,
    policy: tuple[Pipeline, ...] = ANY,
    renditions: int = 3,
    is_reservation: bool = False,
) -> Need:
    cost = StreamCost(total * 0.25, total * 0.75, renditions, 3_000_000)
    stream = StreamId(f"live/{generation}")
    return Need(Generation(generation), stream, policy, cost, is_reservation)


def placed(result: tuple[Fleet, Allocation] | NoRoom) -> tuple[Fleet, Allocation]:
    assert not isinstance(result, NoRoom), result.reason
    return result


def place_all(fleet: Fleet, needs: list[Need]) -> tuple[Fleet, list[ChildId | None]]:
    names = []
    for item in needs:
        fleet, placement = placed(place(fleet, item))
        names.append(placement.device)
    return fleet, names


def test_equal_devices_get_equal_shares() -> None:
    fleet, names = place_all(fleet_of(gpu(0, 900), gpu(1, 900)), [need(i) for i in range(12)])
    assert names.count(GPU0) == names.count(GPU1) == 6
    assert fleet.used(Resource.LOAD, GPU0) == 300.0


def test_a_device_twice_as_large_gets_twice_as_many() -> None:
    _, names = place_all(fleet_of(gpu(0, 1000), gpu(1, 500)), [need(i) for i in range(12)])
    assert names.count(GPU0) == 8


def test_software_workers_share_the_hosts_cores_and_take_turns() -> None:
    fleet, names = place_all(fleet_of(cpu(0), cpu(1)), [need(i) for i in range(4)])
    assert names.count(CPU0) == names.count(CPU1) == 2
    refused = place(fleet, need(9, 1.0))
    assert isinstance(refused, NoRoom)
    assert "0 units of cores free on the host (200 in all)" in refused.reason


def test_the_first_path_of_the_policy_with_room_is_taken_and_the_reason_says_why() -> None:
    fleet = fleet_of(gpu(0, 60), cpu(0))
    fleet, first = placed(place(fleet, need(1)))
    fleet, second = placed(place(fleet, need(2)))
    assert (first.pipeline, second.pipeline) == (Pipeline.GPU_ONLY, Pipeline.SOFTWARE)
    assert "gpu-only: needs 50 of the 10 load free" in second.reason
    assert "hybrid" not in second.reason  # there is none that it was passed by for


def test_passthrough_takes_no_room_and_refuse_ends_the_search() -> None:
    full = fleet_of(cpu(0), cores=10)
    fleet, placement = placed(
        place(full, need(1, policy=(Pipeline.SOFTWARE, Pipeline.PASSTHROUGH)))
    )
    assert (placement.device, placement.amounts) == (None, {})
    assert fleet.used(Resource.CORES) == 0
    policy = (Pipeline.SOFTWARE, Pipeline.REFUSE, Pipeline.PASSTHROUGH)
    assert isinstance(place(full, need(2, policy=policy)), NoRoom)


def test_encoder_sessions_are_one_budget_for_all_gpus() -> None:
    fleet = fleet_of(gpu(0, 900), gpu(1, 900), sessions=5)
    fleet, _ = placed(place(fleet, need(1, policy=(Pipeline.GPU_ONLY,))))
    refused = place(fleet, need(2, policy=(Pipeline.GPU_ONLY,)))
    assert isinstance(refused, NoRoom)
    assert "needs 3 of the 2 encoder sessions free on the host" in refused.reason


def test_memory_limits_a_device_that_has_load_to_spare() -> None:
    fleet = fleet_of(gpu(0, 900, memory=1e6), gpu(1, 900))
    _, placement = placed(place(fleet, need(1)))
    assert placement.device == GPU1


def test_hybrid_encoding_draws_on_the_cores_that_software_uses_too() -> None:
    fleet = fleet_of(gpu(0, 900, Pipeline.HYBRID), cpu(0), cores=80 * HYBRID_WEIGHT)
    fleet, first = placed(place(fleet, need(1, 80.0)))
    assert first.pipeline is Pipeline.HYBRID
    assert fleet.used(Resource.CORES) == 60.0 * HYBRID_WEIGHT
    fleet, second = placed(place(fleet, need(3, 40.0)))
    assert second.pipeline is Pipeline.SOFTWARE
    assert isinstance(place(fleet, need(2, 80.0)), NoRoom)


def test_devices_that_are_down_closed_or_left_out_take_nothing() -> None:
    closed = fleet_of(cpu(0, is_up=False), cpu(1, is_open=False), cpu(2))
    result = place(closed, need(1), exclude={CPU2: ""})
    assert isinstance(result, NoRoom)
    for words in ("cpu:0 is down", "cpu:1 takes no new streams", "cpu:2 is excluded"):
        assert words in result.reason


def test_a_correction_shrinks_a_reservation_and_one_that_does_not_fit_changes_nothing() -> None:
    fleet, placement = placed(place(fleet_of(cpu(0), cores=60), need(1, is_reservation=True)))
    assert fleet.has_reservations()
    fleet, corrected = placed(correct(fleet, placement.generation, StreamCost(1, 9, 1, 1)))
    assert not fleet.has_reservations()
    assert not corrected.is_reservation
    assert fleet.used(Resource.CORES) == 10.0
    too_much = correct(fleet, placement.generation, StreamCost(1, 60, 1, 1))
    assert isinstance(too_much, NoRoom)


def test_a_move_may_use_the_room_that_it_frees() -> None:
    fleet = fleet_of(cpu(0), cpu(1), cores=60)
    fleet, old = placed(place(fleet, need(1)))
    assert old.device is not None
    fleet, new = placed(move(fleet, Generation(1), need(2), exclude={old.device: ""}))
    assert {old.device, new.device} == set(fleet.devices)
    assert list(fleet.allocations) == [2]


def test_nothing_is_given_back_twice() -> None:
    fleet, _ = placed(place(fleet_of(cpu(0)), need(1)))
    with pytest.raises(UsageError):
        place(fleet, need(1))
    fleet = release(fleet, Generation(1))
    for call in (
        lambda: release(fleet, Generation(1)),
        lambda: correct(fleet, Generation(1), StreamCost(1, 1, 1, 1)),
        lambda: move(fleet, Generation(1), need(2)),
    ):
        with pytest.raises(UsageError):
            call()


def measured_gpu(
    index: int,
    *,
    streams: int,
    path: Pipeline = Pipeline.GPU_ONLY,
    taken: dict[str, float] | None = None,
) -> Device:
    """A GPU on which a stream of `need` was calibrated; a tenth of each is the default."""
    shares: dict[str, float] = {"decode": 0.1, "scale": 0.1, "encode": 0.1} | (taken or {})
    calibration = Calibration(
        device=f"GPU-{index}",
        template="t",
        path=path,
        source=(1000, 1000, 1),
        streams=streams,
        units=4 * DECODE_WEIGHT,
        load=900.0 / streams,
        decode=shares["decode"],
        scale=shares["scale"],
        encode=shares["encode"],
        memory_bytes=1,
        cores=shares.get("cores", 0.0),
    )
    limits = {Resource.LOAD: 900.0, **dict.fromkeys(ENGINES, 1.0)}
    return Device(gpu_worker(f"GPU-{index}"), path, limits, measured={"t": calibration})


def measured_need(generation: int, policy: tuple[Pipeline, ...] = (Pipeline.GPU_ONLY,)) -> Need:
    cost = StreamCost(DECODE_WEIGHT, 3 * DECODE_WEIGHT, 3, 1_500_000, "t")
    return Need(Generation(generation), StreamId(f"live/{generation}"), policy, cost)


def fill(fleet: Fleet, policy: tuple[Pipeline, ...] = (Pipeline.GPU_ONLY,)) -> tuple[Fleet, str]:
    """As many calibrated streams as fit, and what the next one was refused for."""
    for generation in range(1, 1000):
        result = place(fleet, measured_need(generation, policy))
        if isinstance(result, NoRoom):
            return fleet, result.reason
        fleet = result[0]
    raise AssertionError("no limit at all")


@pytest.mark.parametrize("engine", ["decode", "scale", "encode"])
def test_each_engine_is_a_limit_of_its_own(engine: str) -> None:
    fleet, reason = fill(fleet_of(measured_gpu(0, streams=50, taken={engine: 0.25})))
    assert len(fleet.allocations) == 4
    assert f"{engine} free on worker:GPU-0 (1 in all)" in reason


def test_a_calibrated_device_takes_as_many_streams_as_kept_real_time() -> None:
    fleet, reason = fill(fleet_of(measured_gpu(0, streams=7)))
    assert len(fleet.allocations) == 7
    assert "load free" in reason


def test_unequal_calibrated_devices_share_by_what_each_was_measured_to_take() -> None:
    fleet = fleet_of(measured_gpu(0, streams=8), measured_gpu(1, streams=4))
    for generation in range(1, 7):
        fleet, _ = placed(place(fleet, measured_need(generation)))
    assert len(fleet.on_device(GPU0)) == 4
    assert len(fleet.on_device(GPU1)) == 2


def test_hybrid_encoding_has_a_budget_of_its_own_within_the_hosts_cores() -> None:
    host = {Resource.CORES: 200.0, Resource.HYBRID_CORES: 100.0}
    shares = {"cores": 40.0, "decode": 0.01, "scale": 0.01}
    hybrid = measured_gpu(0, streams=50, path=Pipeline.HYBRID, taken=shares)
    fleet, reason = fill(Fleet(host, {hybrid.name: hybrid}), (Pipeline.HYBRID,))
    assert len(fleet.allocations) == 2
    assert "needs 40 of the 20 units of hybrid cores free on the host (100 in all)" in reason
    assert fleet.used(Resource.CORES) == 80.0  # the rest is software's


def test_a_hybrid_gpu_is_named_where_the_policy_wants_one_that_encodes() -> None:
    fleet = fleet_of(gpu(0, 900, Pipeline.HYBRID))
    _, placement = placed(place(fleet, need(1)))
    assert placement.pipeline is Pipeline.HYBRID
    assert "gpu-only: no such device (worker:GPU-0 is hybrid)" in placement.reason
    refused = place(fleet, need(2, policy=(Pipeline.GPU_ONLY, Pipeline.REFUSE)))
    assert isinstance(refused, NoRoom)
    assert "worker:GPU-0 is hybrid" in refused.reason


def test_a_correction_goes_by_the_calibration_of_its_device() -> None:
    fleet = fleet_of(measured_gpu(0, streams=10))
    fleet, placement = placed(place(fleet, measured_need(1)))
    half = StreamCost(DECODE_WEIGHT / 2, 1.5 * DECODE_WEIGHT, 3, 750_000, "t")
    fleet, _ = placed(correct(fleet, placement.generation, half))
    assert fleet.used(Resource.LOAD) == pytest.approx(45.0)
    assert fleet.used(Resource.DECODE) == pytest.approx(0.05)


COSTS = st.floats(0.1, 120.0)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 30),
    st.fixed_dictionaries({e: st.floats(0.001, 1.0) for e in ("decode", "scale", "encode")}),
)
def test_the_tightest_measured_limit_decides(streams: int, shares: dict[str, float]) -> None:
    fleet, _ = fill(fleet_of(measured_gpu(0, streams=streams, taken=shares)))
    most = min(streams, *(int(1 / share + 1e-6) for share in shares.values()))
    assert len(fleet.allocations) == most


@settings(max_examples=60, deadline=None)
@given(st.lists(COSTS, max_size=12), COSTS)
def test_the_chosen_device_was_a_least_used_one_with_room(loads: list[float], last: float) -> None:
    fleet = fleet_of(gpu(0, 400), gpu(1, 300), gpu(2, 200))
    for index, load in enumerate(loads):
        result = place(fleet, need(index, load, (Pipeline.GPU_ONLY,)))
        if not isinstance(result, NoRoom):
            fleet = result[0]
    asked = need(999, last, (Pipeline.GPU_ONLY,))
    result = place(fleet, asked)
    rooms = {
        name: device.limits[Resource.LOAD] - fleet.used(Resource.LOAD, name)
        for name, device in fleet.devices.items()
    }
    fitting = {
        name: fleet.used(Resource.LOAD, name) / fleet.devices[name].limits[Resource.LOAD]
        for name, room in rooms.items()
        if room >= last
    }
    if isinstance(result, NoRoom):
        assert not fitting
    else:
        assert result[1].device is not None
        assert fitting[result[1].device] == min(fitting.values())
    assert result == place(fleet, asked)


@settings(max_examples=60, deadline=None)
@given(st.lists(COSTS, max_size=12))
def test_releasing_all_restores_the_fleet(loads: list[float]) -> None:
    start = fleet_of(gpu(0, 400), cpu(0), sessions=12)
    fleet = start
    for index, load in enumerate(loads):
        result = place(fleet, need(index, load))
        if not isinstance(result, NoRoom):
            fleet = result[0]
    for generation in list(fleet.allocations):
        fleet = release(fleet, generation)
    assert (fleet.allocations, fleet.devices, fleet.host) == ({}, start.devices, start.host)
    assert all(fleet.used(resource) == 0 for resource in Resource)


class FleetMachine(RuleBasedStateMachine):
    """Any order of placing, correcting, moving and releasing keeps every limit."""

    live = Bundle("live")

    def __init__(self) -> None:
        super().__init__()
        hybrid = gpu(1, 150, Pipeline.HYBRID)
        self.fleet = fleet_of(gpu(0, 300), hybrid, cpu(0), cpu(1), cores=150, sessions=9)
        self.next = 1

    def _need(self, load: float, renditions: int, is_reservation: bool) -> Need:
        self.next += 1
        return need(self.next, load, ANY, renditions, is_reservation)

    @rule(target=live, load=COSTS, renditions=st.integers(0, 4), is_reservation=st.booleans())
    def place(self, load: float, renditions: int, is_reservation: bool) -> Generation | None:
        result = place(self.fleet, self._need(load, renditions, is_reservation))
        if isinstance(result, NoRoom):
            return None
        self.fleet, placement = result
        return placement.generation

    @rule(generation=live, load=COSTS)
    def correct(self, generation: Generation | None, load: float) -> None:
        if generation is not None and generation in self.fleet.allocations:
            result = correct(self.fleet, generation, StreamCost(load * 0.2, load * 0.8, 2, 1e6))
            if not isinstance(result, NoRoom):
                self.fleet = result[0]

    @rule(target=live, generation=consumes(live), load=COSTS)
    def move(self, generation: Generation | None, load: float) -> Generation | None:
        if generation is None or generation not in self.fleet.allocations:
            return None
        result = move(self.fleet, generation, self._need(load, 2, False))
        if isinstance(result, NoRoom):
            return generation
        self.fleet, placement = result
        assert generation not in self.fleet.allocations
        return placement.generation

    @rule(generation=consumes(live))
    def release(self, generation: Generation | None) -> None:
        if generation is not None and generation in self.fleet.allocations:
            self.fleet = release(self.fleet, generation)

    @invariant()
    def no_limit_is_exceeded(self) -> None:
        for device in self.fleet.devices.values():
            for resource in Resource:
                limit = self.fleet.limit(resource, device)
                if limit is not None:
                    owner = None if resource in HOST_WIDE else device.name
                    assert self.fleet.used(resource, owner) <= limit + 1e-6


TestFleetMachine = FleetMachine.TestCase
TestFleetMachine.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
