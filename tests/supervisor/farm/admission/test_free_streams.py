"""How many more streams fit: so many are let in and transcoded, and one more is not."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.config.ladder import Pipeline, SourceFormat, Template
from common.config.settings import DEFAULT_RENDITIONS, Devices, Settings, Software
from common.ipc.control_messages import DeviceInfo, Refused
from common.ipc.identity import gpu_worker
from common.media.pictures import DecodeLimits
from common.media.units import VideoCodec
from supervisor.farm.admission.free_streams import (
    LOOK_S,
    FreeStreams,
    FreeStreamsByApp,
    free_streams,
)
from supervisor.placement.capacity import HD30, streams_that_fit
from supervisor.placement.cost import FULL_HD30
from tests.kit.children import INGEST0
from tests.kit.farm_rig import Rig
from tests.supervisor.farm.test_announced_room import (
    MOST,
    farm_of,
    outcome,
    publish,
    templates,
)

LIVE = Template("live", DEFAULT_RENDITIONS, policy=(Pipeline.SOFTWARE,))
SMALL = SourceFormat(640, 360, fps=Fraction(25))
SOURCES = st.sampled_from([HD30, FULL_HD30, SMALL])


def free(rig: Rig, source: SourceFormat = HD30, template: Template | None = None) -> FreeStreams:
    template = template or rig.farm.state.settings.templates[0]
    return free_streams(rig.farm.state, template, source, most=MOST)


def one_more(rig: Rig, source: SourceFormat) -> None:
    rig.ask("live/one-more")
    if "live/one-more" in rig.farm.state.streams:
        rig.format("live/one-more", source)


@settings(max_examples=60, deadline=None)
@given(
    templates(),
    st.floats(1, 300),
    st.lists(st.sampled_from([Pipeline.GPU_ONLY, Pipeline.HYBRID]), max_size=2),
    st.integers(0, 6),
    SOURCES,
    SOURCES,
)
def test_so_many_are_let_in_beside_what_runs_and_one_more_is_not(
    template: Template,
    capacity: float,
    gpus: list[Pipeline],
    running: int,
    of_those: SourceFormat,
    source: SourceFormat,
) -> None:
    rig = farm_of(template, capacity, Devices(), gpus)
    for number in range(running):
        rig.ask(f"live/before-{number}")
        if f"live/before-{number}" in rig.farm.state.streams:
            rig.format(f"live/before-{number}", of_those)
    rig.actions.clear()
    transcoded, _ = outcome(rig)
    found = free(rig, source)
    publish(rig, source, found.count, together=False, announced=False)
    assert outcome(rig) == (transcoded + found.count, 0)
    if found.is_more:
        return
    one_more(rig, source)
    assert outcome(rig) == (transcoded + found.count, 0 if found.is_passed_through else 1)
    assert found.why


@settings(max_examples=40, deadline=None)
@given(templates(), st.floats(1, 300), st.lists(st.just(Pipeline.GPU_ONLY), max_size=2), SOURCES)
def test_of_an_empty_farm_it_is_what_banner_and_doctor_announce(
    template: Template, capacity: float, gpus: list[Pipeline], source: SourceFormat
) -> None:
    rig = farm_of(template, capacity, Devices(), gpus)
    announced = streams_that_fit(rig.farm.state.fleet, template, source)
    found = free_streams(rig.farm.state, template, source)
    if not found.is_more:
        assert found.by_pipeline == {p: count for p, count in announced.items() if count}


def test_what_ends_first_is_named() -> None:
    rig = Rig(Settings(templates=(LIVE,), software=Software(capacity=120)))
    found = free(rig)
    assert (found.count, found.ends_first) == (2, "cores")
    assert "units of cores free on the host" in found.why


def test_a_stream_whose_publisher_is_away_gives_its_room() -> None:
    rig = Rig(Settings(templates=(LIVE,), software=Software(capacity=120)))
    publish(rig, HD30, 2, together=False, announced=False)
    assert free(rig).count == 0
    rig.beat(INGEST0, publishers=(rig.publisher("live/0", is_live=False), rig.publisher("live/1")))
    assert free(rig).count == 1


def test_what_is_booked_for_sources_that_are_not_known_gives_way() -> None:
    rig = Rig(Settings(templates=(LIVE,), software=Software(capacity=120)))
    rig.ask("live/unknown")
    assert free(rig).count == 2


def test_a_farm_that_is_drained_takes_none_and_says_so() -> None:
    rig = Rig(Settings(templates=(LIVE,)))
    found = free_streams(rig.farm.state, LIVE, HD30, closed="the farm is drained")
    assert (found.count, found.why, found.ends_first) == (0, "the farm is drained", "")


def test_the_apps_own_limit_counts_what_is_there() -> None:
    limited = replace(LIVE, limits=replace(LIVE.limits, publishers=2))
    rig = Rig(Settings(templates=(limited,), software=Software(capacity=1000)))
    publish(rig, SMALL, 1, together=False, announced=False)
    found = free(rig, SMALL, limited)
    assert found.count == 1
    assert "max_publishers" in found.why


def test_what_is_passed_through_takes_no_room() -> None:
    through = replace(LIVE, policy=(Pipeline.SOFTWARE, Pipeline.PASSTHROUGH))
    rig = Rig(Settings(templates=(through,), software=Software(capacity=60)))
    found = free(rig)
    assert (found.count, found.is_passed_through) == (1, True)
    one_more(rig, HD30)
    assert not [m for m in rig.messages(rig.actions) if isinstance(m, Refused)]


def test_nobody_counts_beyond_the_most() -> None:
    rig = Rig(Settings(templates=(LIVE,), software=Software(capacity=1e6)))
    found = free_streams(rig.farm.state, LIVE, SMALL, most=7)
    assert (found.count, found.is_more) == (7, True)


@pytest.mark.parametrize(
    ("codec", "bits", "fits"), [("avc1", 8, True), ("hvc1", 10, True), ("av01", 8, False)]
)
def test_devices_that_do_not_decode_the_codec_are_left_out(
    codec: str, bits: int, fits: bool
) -> None:
    """As an H200 announces it: no AV1."""
    template = replace(LIVE, policy=(Pipeline.GPU_ONLY, Pipeline.REFUSE))
    rig = Rig(Settings(templates=(template,)))
    name = gpu_worker("GPU-0")
    info = DeviceInfo(name.device, "gpu", "H200", Pipeline.GPU_ONLY, "0:65:00.0", 8 << 30)
    decodes = tuple(
        DecodeLimits(codec, depth, 144, 144, 8192, 8192)
        for codec, depth in ((VideoCodec.H264, 8), (VideoCodec.H265, 8), (VideoCodec.H265, 10))
    )
    rig.farm.devices.expect(name, Pipeline.GPU_ONLY, rig.now)
    rig.up(name, device=replace(info, decodes=decodes))
    source = replace(HD30, bit_depth=bits)
    found = free_streams(rig.farm.state, template, source, codec=codec, most=5)
    assert (found.count > 0) is fits
    if not fits:
        assert "AV1" in found.why


def test_the_apps_are_looked_at_again_when_something_changed() -> None:
    rig = Rig(Settings(templates=(LIVE,), software=Software(capacity=120)))
    by_app = FreeStreamsByApp(rig.farm.state)
    assert by_app.look("", rig.now)["live"].count == 2
    first = by_app.look("", rig.now + LOOK_S)
    publish(rig, HD30, 1, together=False, announced=False)
    assert by_app.look("", rig.now + LOOK_S - 0.1) is first
    assert by_app.look("", rig.now + LOOK_S)["live"].count == 1
