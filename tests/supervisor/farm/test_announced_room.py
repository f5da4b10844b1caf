"""What is announced is what is let in: a farm takes so many streams of a kind, and no more."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.access.refusal import RefusalReason
from common.config.ladder import Pipeline, Rendition, SourceFormat, Template
from common.config.settings import Devices, Settings, Software
from common.ipc.control_messages import DeviceInfo, Placement, Refused
from common.ipc.identity import gpu_worker
from supervisor.placement.capacity import HD30, streams_that_fit
from supervisor.placement.cost import FULL_HD30, largest_source
from tests.kit.farm_rig import Rig

B1 = Template(
    "live",
    (
        Rendition("1080p60", 1920, 1080, 6_000_000, Fraction(60)),
        Rendition("480p", 854, 480, 1_000_000, Fraction(30)),
    ),
    max_source=(1920, 1080, 60),
)
MOST = 60


def farm_of(template: Template, capacity: float, devices: Devices, gpus: list[Pipeline]) -> Rig:
    farm = Settings(software=Software(capacity=capacity), templates=(template,), devices=devices)
    rig = Rig(farm)
    for number, pipeline in enumerate(gpus):
        name = gpu_worker(f"GPU-{number}")
        info = DeviceInfo(name.device, "gpu", "NVIDIA L4", pipeline, f"{number}:65:00.0", 2 << 30)
        rig.farm.devices.expect(name, pipeline, rig.now)
        rig.up(name, device=info)
    rig.actions.clear()
    return rig


def outcome(rig: Rig) -> tuple[int, int]:
    """How many streams are transcoded, and how many were refused."""
    streams = rig.farm.state.streams.values()
    refused = {m.stream_id for m in rig.messages(rig.actions) if isinstance(m, Refused)}
    return sum(rig.farm.state.device_of(stream) is not None for stream in streams), len(refused)


def publish(rig: Rig, source: SourceFormat, count: int, *, together: bool, announced: bool) -> None:
    names = [f"live/{number}" for number in range(count)]
    for name in names:
        rig.ask(name)
        if not together:
            tell(rig, source, [name], announced=announced)
    if together:
        tell(rig, source, names, announced=announced)


def tell(rig: Rig, source: SourceFormat, names: list[str], *, announced: bool) -> None:
    """Their sizes; those that are queued are let in as the others become known."""
    waiting = list(names)
    while True:
        known = [name for name in waiting if name in rig.farm.state.streams]
        if not known:
            return
        for name in known if announced else ():
            rig.estimate(name, source)
        for name in known:
            rig.format(name, source)
            waiting.remove(name)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize(("source", "count"), [(HD30, 12), (FULL_HD30, 2)])
def test_twelve_that_are_announced_are_twelve_that_are_let_in(
    source: SourceFormat, count: int, together: bool, announced: bool
) -> None:
    rig = farm_of(B1, 200.0, Devices(), [])
    fleet = rig.farm.state.fleet
    assert streams_that_fit(fleet, B1, source) == {Pipeline.SOFTWARE: count}
    publish(rig, source, count, together=together, announced=announced)
    assert outcome(rig) == (count, 0)
    rig.ask("live/more")
    if "live/more" in rig.farm.state.streams:
        rig.format("live/more", source)
    assert outcome(rig) == (count, 1)
    (refused,) = [m for m in rig.messages(rig.actions) if isinstance(m, Refused)]
    assert refused.refusal.reason is RefusalReason.FULL
    assert "units" not in refused.refusal.words


@pytest.mark.parametrize("max_source", [(1920, 1080, 60), (128, 96, 5), (3840, 2160, 60)])
@pytest.mark.parametrize("source", [HD30, FULL_HD30])
@pytest.mark.parametrize("capacity", [1.0, 2.0, 4.0, 10.0])
def test_a_cost_by_hand_is_met_by_a_source_that_is_hardly_encoded(
    capacity: float, source: SourceFormat, max_source: tuple[int, int, int]
) -> None:
    """On a GPU that decodes, the host's cores are asked for the encoding part alone."""
    template = Template(
        "live",
        (Rendition("180p", 320, 180, 1_000_000, Fraction(30)),),
        max_source=max_source,
        cost=12.5,
        policy=(Pipeline.HYBRID, Pipeline.REFUSE),
    )
    rig = farm_of(template, capacity, Devices(capacity=(("GPU-0", 80.0),)), [Pipeline.HYBRID])
    count = streams_that_fit(rig.farm.state.fleet, template, source)[Pipeline.HYBRID]
    publish(rig, source, count, together=False, announced=True)
    assert outcome(rig) == (count, 0)


@st.composite
def templates(draw: st.DrawFn) -> Template:
    heights = draw(st.lists(st.sampled_from([180, 360, 480, 720, 1080]), min_size=1, unique=True))
    fps = draw(st.sampled_from([Fraction(30), Fraction(60), None]))
    renditions = tuple(
        Rendition(f"{height}p", height * 16 // 9 // 2 * 2, height, 1_000_000, fps)
        for height in heights
    )
    return Template(
        "live",
        renditions,
        max_source=draw(st.sampled_from([(1920, 1080, 60), (128, 96, 5), (3840, 2160, 60)])),
        cost=draw(st.sampled_from([None, None, None, 12.5])),
        policy=draw(
            st.sampled_from(
                [
                    (Pipeline.GPU_ONLY, Pipeline.HYBRID, Pipeline.SOFTWARE),
                    (Pipeline.SOFTWARE, Pipeline.PASSTHROUGH),
                    (Pipeline.GPU_ONLY, Pipeline.SOFTWARE, Pipeline.REFUSE),
                ]
            )
        ),
    )


@settings(max_examples=60, deadline=None)
@given(
    templates(),
    st.floats(1, 300),
    st.lists(st.sampled_from([Pipeline.GPU_ONLY, Pipeline.HYBRID]), max_size=2),
    st.sampled_from([None, 0, 4, 9]),
    st.sampled_from(["720p30", "1080p30", "max_source"]),
    st.booleans(),
    st.booleans(),
)
def test_what_is_announced_is_let_in_and_not_one_more(
    template: Template,
    capacity: float,
    gpus: list[Pipeline],
    sessions: int | None,
    kind: str,
    together: bool,
    announced: bool,
) -> None:
    source = {"720p30": HD30, "1080p30": FULL_HD30}.get(kind, largest_source(template))
    by_gpu = tuple((f"GPU-{number}", 80.0) for number in range(len(gpus)))
    devices = Devices(capacity=by_gpu, max_encoder_sessions=sessions)
    rig = farm_of(template, capacity, devices, gpus)
    count = sum(streams_that_fit(rig.farm.state.fleet, template, source).values())
    if count > MOST:
        return
    publish(rig, source, count, together=together, announced=announced)
    assert outcome(rig) == (count, 0)
    rig.ask("live/more")
    if "live/more" in rig.farm.state.streams:
        rig.format("live/more", source)
    is_refused = Pipeline.PASSTHROUGH not in template.policy
    assert outcome(rig) == (count, 1 if is_refused else 0)


@settings(deadline=None)
@given(st.integers(0, 20), st.randoms(use_true_random=False))
def test_in_whatever_order_their_sizes_come(more: int, random: object) -> None:
    rig = farm_of(B1, 200.0, Devices(), [])
    names = [f"live/{number}" for number in range(12 + more)]
    for name in names:
        rig.ask(name)
    random.shuffle(names)  # type: ignore[attr-defined] # of hypothesis: a random.Random
    tell(rig, HD30, names, announced=False)
    assert outcome(rig) == (12, more)
    assert all(not isinstance(m, Placement) or m.worker for m in rig.messages(rig.actions))
