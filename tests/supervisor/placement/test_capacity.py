"""How many streams a fleet takes: what is announced, and what `place` finds room for."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.config.ladder import Pipeline, SourceFormat, Template
from common.config.settings import DEFAULT_RENDITIONS
from common.ipc.identity import ChildId, Generation, StreamId, cpu_worker, gpu_worker
from supervisor.placement.capacity import (
    HD30,
    kind_name,
    streams_that_fit,
    typical_source,
)
from supervisor.placement.cost import FULL_HD30, Resource, stream_cost
from supervisor.placement.fleet import Device, Fleet, Need, NoRoom, place

LIVE = Template("live", DEFAULT_RENDITIONS)
MANY = 400


def placed_one_by_one(fleet: Fleet, template: Template, source: SourceFormat) -> dict[str, int]:
    """By pipeline, what finds room on a device until nothing does."""
    found: dict[str, int] = {}
    policy = tuple(p for p in template.policy if p is not Pipeline.PASSTHROUGH)
    for number in range(MANY):
        generation, stream = Generation(number + 1), StreamId(f"live/{number}")
        room = place(fleet, Need(generation, stream, policy, stream_cost(template, source)))
        if isinstance(room, NoRoom):
            return found
        fleet = room.fleet
        pipeline = room.allocation.pipeline
        found[pipeline] = found.get(pipeline, 0) + 1
    return found


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    amounts = st.floats(1, 900, allow_nan=False)
    devices: dict[ChildId, Device] = {}
    for index in range(draw(st.integers(0, 2))):
        devices[cpu_worker(index)] = Device(cpu_worker(index), Pipeline.SOFTWARE)
    for number in range(draw(st.integers(0, 3))):
        pipeline = draw(st.sampled_from([Pipeline.GPU_ONLY, Pipeline.HYBRID]))
        limits = {Resource.LOAD: draw(amounts), Resource.MEMORY: draw(st.integers(1, 24)) * 2.0**28}
        for index in range(draw(st.integers(1, 2))):
            name = gpu_worker(f"GPU-{number}", index)
            devices[name] = Device(name, pipeline, limits)
    host = {Resource.CORES: draw(amounts)}
    if draw(st.booleans()):
        host[Resource.SESSIONS] = float(draw(st.integers(0, 20)))
    if draw(st.booleans()):
        host[Resource.HYBRID_CORES] = draw(amounts)
    return Fleet(host, devices)


POLICIES = st.sampled_from(
    [
        LIVE.policy,
        (Pipeline.SOFTWARE, Pipeline.PASSTHROUGH),
        (Pipeline.GPU_ONLY, Pipeline.REFUSE),
        (Pipeline.HYBRID, Pipeline.SOFTWARE),
    ]
)
SOURCES = st.sampled_from([HD30, FULL_HD30, SourceFormat(640, 360, fps=Fraction(25))])


@settings(deadline=None)
@given(fleets(), POLICIES, SOURCES, st.sampled_from([None, 20.0]))
def test_so_many_are_announced_as_are_placed_one_by_one(
    fleet: Fleet, policy: tuple[Pipeline, ...], source: SourceFormat, cost: float | None
) -> None:
    template = replace(LIVE, policy=policy, cost=cost)
    announced = streams_that_fit(fleet, template, source)
    placed = placed_one_by_one(fleet, template, source)
    assert {pipeline: count for pipeline, count in announced.items() if count} == placed


def test_a_gpu_that_still_starts_is_not_counted_nor_a_worker_of_one_stream() -> None:
    gpu, own = gpu_worker("GPU-1"), cpu_worker(5)
    fleet = Fleet(
        {Resource.CORES: 200.0},
        {
            gpu: Device(gpu, Pipeline.GPU_ONLY, is_up=False),
            own: Device(own, Pipeline.SOFTWARE, reserved_for=StreamId("live/a")),
        },
    )
    assert streams_that_fit(fleet, LIVE, HD30) == {}


@pytest.mark.parametrize("policy", [(Pipeline.PASSTHROUGH,), (Pipeline.REFUSE,)])
def test_what_is_passed_through_or_refused_is_not_counted(policy: tuple[Pipeline, ...]) -> None:
    fleet = Fleet(
        {Resource.CORES: 200.0}, {cpu_worker(0): Device(cpu_worker(0), Pipeline.SOFTWARE)}
    )
    assert streams_that_fit(fleet, replace(LIVE, policy=policy), HD30) == {}
    assert streams_that_fit(fleet, replace(LIVE, renditions=()), HD30) == {}


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (HD30, "720p30"),
        (SourceFormat(1920, 1080, fps=Fraction(60_000, 1001)), "1080p59.94"),
        (SourceFormat(128, 96, fps=Fraction(5)), "128x96@5"),
        (SourceFormat(720, 1280, fps=Fraction(30)), "720x1280@30"),
    ],
)
def test_kinds_have_names(source: SourceFormat, name: str) -> None:
    assert kind_name(source) == name


def test_the_usual_source_is_720p30_or_what_is_expected_at_most() -> None:
    assert typical_source(LIVE) == HD30
    assert typical_source(replace(LIVE, max_source=(640, 360, 25))) == SourceFormat(
        640, 360, fps=Fraction(25)
    )
