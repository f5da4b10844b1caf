"""The memory of workers as a cost: placed until it is full, then refused; measured, it corrects."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.config.ladder import SourceFormat
from common.config.settings import Settings, WorkerSettings
from common.ipc.control_messages import DeviceInfo, Refused
from common.ipc.identity import ChildId, cpu_worker
from supervisor.farm.actions import Send
from supervisor.farm.devices import HOST_SHARE, IDLE_WORKER_BYTES
from supervisor.placement.cost import Resource
from tests.kit.children import CPU0, CPU1
from tests.kit.farm_rig import SMALL, MakeRig, Rig

GIB = 1024**3
HUGE = SourceFormat(12288, 12288, fps=Fraction(1), reference_frames=1)


def limited(make_rig: MakeRig, gib: float) -> Rig:
    worker = WorkerSettings(max_memory_bytes=round(gib * GIB))
    return make_rig(replace(Settings(), worker=worker), cores=64)


def offer(rig: Rig, key: str, source: SourceFormat) -> str:
    """Why a publisher is refused; "": it is in."""
    stream = f"live/{key}"
    actions = rig.ask(stream)
    if stream in rig.farm.state.streams:
        actions = rig.format(stream, source)
    found = [a.message for a in actions if isinstance(a, Send)]
    return next((m.refusal.for_log for m in found if isinstance(m, Refused)), "")


def booked(rig: Rig, worker: ChildId) -> float:
    return rig.farm.state.fleet.used(Resource.WORKER_MEMORY, worker)


def test_six_huge_sources_are_placed_until_memory_is_full_and_a_small_one_still_fits(
    make_rig: MakeRig,
) -> None:
    rig = limited(make_rig, gib=3.0)
    answers = [offer(rig, f"huge{n}", HUGE) for n in range(6)]
    assert [bool(answer) for answer in answers] == [False, False, True, True, True, True]
    assert "no room for a source of 12288x12288" in answers[-1]
    assert "MiB worker memory free on worker:cpu:" in answers[-1]
    for worker in (CPU0, CPU1):
        assert booked(rig, worker) <= 3 * GIB - IDLE_WORKER_BYTES
    assert not offer(rig, "small", SMALL)


SOURCES = st.builds(
    SourceFormat,
    st.integers(16, 16384),
    st.integers(16, 16384),
    fps=st.just(Fraction(1)),
    reference_frames=st.integers(0, 16),
    bits_per_pixel=st.sampled_from([8, 12, 16, 24, 48]),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(SOURCES, max_size=12), st.floats(0.1, 4))
def test_whatever_comes_no_worker_books_more_than_it_may_have(
    sources: list[SourceFormat], gib: float
) -> None:
    rig = limited(Rig, gib)
    for number, source in enumerate(sources):
        offer(rig, str(number), source)
        for worker in (CPU0, CPU1):
            assert booked(rig, worker) <= max(0, gib * GIB - IDLE_WORKER_BYTES) + 1


def test_what_is_measured_beyond_what_is_booked_takes_room_until_it_is_given_back(
    make_rig: MakeRig,
) -> None:
    rig = limited(make_rig, gib=1.0)
    assert not offer(rig, "a", SMALL)
    here = rig.farm.state.device_of(rig.stream())
    assert here is not None
    there = CPU1 if here == CPU0 else CPU0
    for worker in (here, there):
        rig.farm.devices.measure(worker, round(0.99 * GIB))
    assert not offer(rig, "b", SMALL)
    assert rig.farm.state.device_of(rig.stream("live/b")) == there, "what an idle one keeps is free"
    rig.farm.devices.measure(there, round(0.99 * GIB))
    assert "worker memory free" in offer(rig, "c", SMALL)
    rig.farm.devices.measure(here, 200 * 1024**2)
    rig.now += 60.0
    assert not offer(rig, "c", SMALL)
    assert rig.farm.state.device_of(rig.stream("live/c")) == here


def test_a_worker_that_has_died_has_nothing(make_rig: MakeRig) -> None:
    rig = limited(make_rig, gib=1.0)
    offer(rig, "a", SMALL)
    here = rig.farm.state.device_of(rig.stream())
    assert here is not None
    rig.farm.devices.measure(here, GIB)
    rig.down(here, crashed=False)
    assert rig.farm.state.fleet.devices[here].unbooked_bytes == 0


@pytest.mark.parametrize(("host_gib", "gib"), [(64, 8.0), (2, 2 * HOST_SHARE), (0, 8.0)])
def test_one_worker_never_gets_more_than_most_of_the_hosts_memory(
    make_rig: MakeRig, host_gib: int, gib: float
) -> None:
    rig = make_rig(workers=0)
    worker = cpu_worker(0)
    rig.expect(worker)
    info = DeviceInfo("cpu:0", "software", "x264", memory_bytes=host_gib * GIB)
    rig.up(worker, device=info)
    limit = rig.farm.state.fleet.devices[worker].limits[Resource.WORKER_MEMORY]
    assert limit == pytest.approx(gib * GIB - IDLE_WORKER_BYTES)
