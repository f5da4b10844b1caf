"""What streams cost."""

from dataclasses import replace
from fractions import Fraction

import pytest

from common.config.ladder import MadeWhen, Pipeline, Rendition, SourceFormat, Template
from common.config.settings import DEFAULT_RENDITIONS, Calibration
from common.media.units import VideoCodec
from supervisor.placement.cost import (
    CAPACITY_PER_CORE,
    FULL_HD30,
    HOST_WEIGHTS,
    HYBRID_WEIGHT,
    Resource,
    amounts,
    largest_source,
    load_of,
    newcomer_cost,
    stream_cost,
)

LIVE = Template("live", DEFAULT_RENDITIONS)
HD30 = SourceFormat(1280, 720, fps=Fraction(30))


def test_a_720p30_source_on_the_built_in_ladder_costs_about_51() -> None:
    cost = stream_cost(LIVE, HD30)
    assert cost.total == pytest.approx(51.0, abs=0.1)
    assert cost.renditions == 3


def test_the_largest_source_has_every_rendition_at_full_rate() -> None:
    cost = stream_cost(LIVE, largest_source(LIVE))
    assert cost.decode == pytest.approx(0.15 * 1920 * 1080 * 60 / 1e6)
    assert cost.encode == pytest.approx(46.86, abs=0.01)


def test_the_largest_source_has_no_rendition_that_would_enlarge_it() -> None:
    uhd = replace(DEFAULT_RENDITIONS[0], name="2160p", width=3840, height=2160)
    template = replace(LIVE, renditions=(uhd, *DEFAULT_RENDITIONS))
    assert stream_cost(template, largest_source(template)).renditions == 3
    large = replace(template, max_source=(3840, 2160, 60))
    assert stream_cost(large, largest_source(large)).renditions == 4


def test_a_small_source_pays_only_for_the_renditions_it_gets() -> None:
    cost = stream_cost(LIVE, SourceFormat(640, 360, fps=Fraction(30)))
    assert cost.renditions == 1
    assert cost.encode == pytest.approx(640 * 360 * 30 / 1e6)


def test_a_slower_source_pays_for_its_own_rate_and_an_unknown_one_for_the_largest() -> None:
    slow = stream_cost(LIVE, replace(HD30, fps=Fraction(15)))
    assert slow.total == pytest.approx(stream_cost(LIVE, HD30).total / 2)
    unknown = stream_cost(LIVE, replace(HD30, fps=None))
    assert unknown.decode == pytest.approx(0.15 * 1280 * 720 * 60 / 1e6)


def test_a_rendition_without_a_rate_follows_the_source() -> None:
    template = Template("x", (Rendition("a", 640, 360, 500_000, None),))
    cost = stream_cost(template, replace(HD30, fps=Fraction(50)))
    assert cost.encode == pytest.approx(640 * 360 * 50 / 1e6)


def test_costs_by_hand_replace_the_pixel_rate() -> None:
    rendition = replace(DEFAULT_RENDITIONS[0], cost=28.0)
    assert stream_cost(Template("x", (rendition,)), HD30).encode == 28.0
    whole = stream_cost(replace(LIVE, cost=40.0), HD30)
    assert whole.total == pytest.approx(40.0)
    assert whole.decode > 0


def test_each_path_draws_on_its_own_resources() -> None:
    cost = stream_cost(LIVE, HD30)
    assert amounts(cost, Pipeline.SOFTWARE) == {Resource.CORES: cost.total}
    gpu = amounts(cost, Pipeline.GPU_ONLY)
    assert (gpu[Resource.LOAD], gpu[Resource.SESSIONS]) == (cost.total, 3.0)
    hybrid = amounts(cost, Pipeline.HYBRID)
    cores = HYBRID_WEIGHT * cost.encode
    assert (hybrid[Resource.LOAD], hybrid[Resource.CORES]) == (cost.decode, cores)
    assert Resource.SESSIONS not in hybrid
    assert amounts(cost, Pipeline.PASSTHROUGH) == {}
    assert hybrid[Resource.HYBRID_CORES] == cores
    by_hand = amounts(stream_cost(replace(LIVE, cost=40.0), HD30), Pipeline.HYBRID)
    assert by_hand[Resource.LOAD] + by_hand[Resource.CORES] == pytest.approx(40.0)


def test_sixteen_cores_are_full_with_the_hybrid_streams_that_kept_real_time_on_them() -> None:
    cost = stream_cost(LIVE, SourceFormat(1920, 1080, fps=Fraction(30)))
    assert int(16 * CAPACITY_PER_CORE / amounts(cost, Pipeline.HYBRID)[Resource.HYBRID_CORES]) == 15


# A 720p30 source of the built-in ladder on a GPU: 40 streams fill a capacity of 2000.
ON_GPU = Calibration(
    device="GPU-a",
    template="live",
    path=Pipeline.GPU_ONLY,
    source=(1280, 720, 30),
    streams=40,
    units=stream_cost(LIVE, HD30).total,
    load=50.0,
    decode=0.02,
    scale=0.001,
    encode=0.025,
    memory_bytes=100 * 1024**2,
    cores=3.0,
)


def test_a_calibrated_stream_takes_what_was_measured_each_resource_by_itself() -> None:
    taken = amounts(stream_cost(LIVE, HD30), Pipeline.GPU_ONLY, ON_GPU)
    assert taken == pytest.approx(
        {
            Resource.LOAD: 50.0,
            Resource.DECODE: 0.02,
            Resource.SCALE: 0.001,
            Resource.ENCODE: 0.025,
            Resource.MEMORY: 100 * 1024**2,
            Resource.CORES: 3.0,
            Resource.SESSIONS: 3.0,
        }
    )


def test_decoding_follows_the_source_and_encoding_the_renditions() -> None:
    fast = stream_cost(LIVE, replace(HD30, fps=Fraction(60)))  # the renditions stay at 30
    taken = amounts(fast, Pipeline.GPU_ONLY, ON_GPU)
    assert taken[Resource.DECODE] == pytest.approx(0.04)
    assert taken[Resource.ENCODE] == pytest.approx(0.025)
    small = amounts(
        stream_cost(LIVE, SourceFormat(640, 360, fps=Fraction(30))), Pipeline.GPU_ONLY, ON_GPU
    )
    assert small[Resource.ENCODE] < 0.025 / 4
    assert small[Resource.MEMORY] == 100 * 1024**2  # fixed parts don't shrink


def test_calibrated_hybrid_draws_on_its_own_cores_and_on_no_encoder() -> None:
    measured = replace(ON_GPU, path=Pipeline.HYBRID, encode=0.0, cores=45.0)
    taken = amounts(stream_cost(LIVE, HD30), Pipeline.HYBRID, measured)
    assert taken[Resource.CORES] == taken[Resource.HYBRID_CORES] == pytest.approx(45.0)
    assert not {Resource.ENCODE, Resource.SESSIONS} & taken.keys()


def test_calibrated_software_draws_on_cores_alone() -> None:
    measured = replace(ON_GPU, device="cpu", path=Pipeline.SOFTWARE, load=70.0)
    taken = amounts(stream_cost(LIVE, HD30), Pipeline.SOFTWARE, measured)
    assert taken == pytest.approx({Resource.CORES: 70.0})


def test_a_cost_by_hand_or_another_path_knows_no_calibration() -> None:
    by_hand = stream_cost(replace(LIVE, cost=40.0), HD30)
    assert amounts(by_hand, Pipeline.GPU_ONLY, ON_GPU)[Resource.LOAD] == pytest.approx(40.0)
    rendition = stream_cost(
        replace(LIVE, renditions=(replace(DEFAULT_RENDITIONS[0], cost=28.0),)), HD30
    )
    assert amounts(rendition, Pipeline.GPU_ONLY, ON_GPU)[Resource.LOAD] > 28.0
    plain = stream_cost(LIVE, HD30)
    assert amounts(plain, Pipeline.HYBRID, ON_GPU) == amounts(plain, Pipeline.HYBRID)


def test_the_load_of_a_device_is_its_cores_in_software() -> None:
    cost = stream_cost(LIVE, HD30)
    assert load_of(cost, Pipeline.GPU_ONLY) == load_of(cost, Pipeline.SOFTWARE) == cost.total
    assert load_of(cost, Pipeline.HYBRID) == cost.decode
    assert load_of(cost, Pipeline.PASSTHROUGH) == 0.0


@pytest.mark.parametrize(
    ("template", "most"),
    [
        (LIVE, 0.083),
        (replace(LIVE, max_source=(128, 96, 5)), 0.071),  # of such sources it is no more
        (replace(LIVE, cost=40.0), 40.0),
        (replace(LIVE, renditions=()), 0.011),
    ],
)
def test_a_newcomer_counts_as_a_small_camera_or_as_what_is_expected_at_most(
    template: Template, most: float
) -> None:
    cost = newcomer_cost(template)
    assert 0.8 * most < cost.total <= most
    for source in (largest_source(template), SourceFormat(640, 360, fps=Fraction(15)), HD30):
        known = stream_cost(template, source)
        for pipeline in (Pipeline.SOFTWARE, Pipeline.HYBRID, Pipeline.GPU_ONLY):
            wanted = amounts(known, pipeline)
            for resource, amount in amounts(cost, pipeline).items():
                assert amount <= wanted[resource] + 1e-9 or template.cost is not None


MIB = 1024**2


@pytest.mark.parametrize(
    ("width", "height", "references", "bits", "measured_mib"),
    [
        # a session of the software worker beyond an idle process: peak of the resident set
        (320, 180, 3, 12, 8),
        (640, 360, 3, 12, 13),
        (1280, 720, 1, 12, 54),
        (1280, 720, 16, 12, 79),
        (1920, 1080, 1, 12, 70),
        (1920, 1080, 16, 12, 123),
        (3840, 2160, 1, 12, 112),
        (3840, 2160, 5, 12, 153),
        (3840, 2160, 16, 12, 333),
        (3840, 2160, 16, 48, 940),
        (12288, 12288, 1, 12, 685),
    ],
)
def test_the_memory_that_is_booked_is_no_less_than_was_measured(
    width: int, height: int, references: int, bits: int, measured_mib: int
) -> None:
    source = SourceFormat(
        width, height, fps=Fraction(30), reference_frames=references, bits_per_pixel=bits
    )
    booked = stream_cost(LIVE, source).worker_memory(Pipeline.SOFTWARE) / MIB
    assert measured_mib <= booked <= 3 * measured_mib + 10


def test_memory_grows_with_threads_and_a_gpu_spares_the_host_its_pictures() -> None:
    cost = stream_cost(LIVE, SourceFormat(1920, 1080, fps=Fraction(30)))
    software = cost.worker_memory(Pipeline.SOFTWARE)
    assert cost.worker_memory(Pipeline.SOFTWARE, encoder_threads=4) > software
    assert software > cost.worker_memory(Pipeline.HYBRID) > cost.worker_memory(Pipeline.GPU_ONLY)
    assert cost.worker_memory(Pipeline.PASSTHROUGH) == 0


@pytest.mark.parametrize("codec", [VideoCodec.H265, VideoCodec.AV1])
def test_a_codec_that_takes_more_of_the_host_costs_more_there_and_not_on_a_gpu(
    codec: VideoCodec,
) -> None:
    first, *others = DEFAULT_RENDITIONS
    mixed = replace(LIVE, renditions=(replace(first, codec=codec), *others))
    plain, cost = stream_cost(LIVE, HD30), stream_cost(mixed, HD30)
    more = (HOST_WEIGHTS[codec] - 1) * 1280 * 720 * 30 / 1e6
    assert amounts(cost, Pipeline.GPU_ONLY) == amounts(plain, Pipeline.GPU_ONLY)
    for pipeline, weight in ((Pipeline.SOFTWARE, 1.0), (Pipeline.HYBRID, HYBRID_WEIGHT)):
        taken, before = amounts(cost, pipeline), amounts(plain, pipeline)
        extra = taken[Resource.CORES] - before[Resource.CORES]
        assert extra == pytest.approx(weight * more)
    assert cost.worker_memory(Pipeline.SOFTWARE) > 1.3 * plain.worker_memory(Pipeline.SOFTWARE)
    assert cost.worker_memory(Pipeline.GPU_ONLY) == plain.worker_memory(Pipeline.GPU_ONLY)


def test_a_cost_by_hand_is_taken_as_it_is_whatever_the_codec() -> None:
    hevc = replace(DEFAULT_RENDITIONS[0], codec=VideoCodec.H265, cost=30.0)
    by_hand = stream_cost(replace(LIVE, renditions=(hevc, *DEFAULT_RENDITIONS[1:])), HD30)
    plain = stream_cost(
        replace(LIVE, renditions=(replace(hevc, codec=VideoCodec.H264), *DEFAULT_RENDITIONS[1:])),
        HD30,
    )
    assert amounts(by_hand, Pipeline.SOFTWARE) == amounts(plain, Pipeline.SOFTWARE)
    whole = replace(LIVE, cost=40.0, renditions=(replace(hevc, cost=None),))
    assert amounts(stream_cost(whole, HD30), Pipeline.SOFTWARE)[Resource.CORES] == 40.0


def test_what_was_measured_of_a_codec_counts_for_other_sources_in_proportion() -> None:
    hevc = replace(LIVE, renditions=(replace(DEFAULT_RENDITIONS[0], codec=VideoCodec.H265),))
    units = stream_cost(hevc, HD30).total_on(Pipeline.SOFTWARE)
    measured = replace(ON_GPU, path=Pipeline.SOFTWARE, units=units, load=100.0)
    half = stream_cost(hevc, replace(HD30, fps=Fraction(15)))
    assert amounts(half, Pipeline.SOFTWARE, measured)[Resource.CORES] == pytest.approx(50.0)


def test_of_what_is_made_on_demand_the_expected_use_is_booked() -> None:
    """Memory and encoder sessions whole."""
    source = SourceFormat(1280, 720, fps=Fraction(30))
    whole = Template("live", DEFAULT_RENDITIONS)
    on_demand = replace(whole, renditions_when=MadeWhen.DEMANDED, expected_use=0.2)
    full, used = stream_cost(whole, source), stream_cost(on_demand, source)
    assert used.total == full.total
    cores = amounts(used, Pipeline.SOFTWARE)[Resource.CORES]
    assert cores == pytest.approx(0.2 * full.total)
    for pipeline in (Pipeline.GPU_ONLY, Pipeline.HYBRID):
        before, after = amounts(full, pipeline), amounts(used, pipeline)
        for resource, amount in before.items():
            is_shared = resource in (Resource.LOAD, Resource.CORES, Resource.HYBRID_CORES)
            assert after[resource] == pytest.approx(amount * 0.2 if is_shared else amount)
    assert used.worker_memory(Pipeline.SOFTWARE) == full.worker_memory(Pipeline.SOFTWARE)
    # one that is always made needs the decoder
    always = replace(DEFAULT_RENDITIONS[2], when=MadeWhen.ALWAYS)
    mixed = replace(on_demand, renditions=(*DEFAULT_RENDITIONS[:2], always))
    cost = stream_cost(mixed, source)
    own = 640 * 360 * 30 / 1e6
    expected = full.decode + 0.2 * (full.encode - own) + own
    assert amounts(cost, Pipeline.SOFTWARE)[Resource.CORES] == pytest.approx(expected)


def test_a_cost_by_hand_is_booked_by_its_expected_use_too() -> None:
    template = Template("live", DEFAULT_RENDITIONS, cost=40.0, expected_use=0.25)
    template = replace(template, renditions_when=MadeWhen.DEMANDED)
    for cost in (stream_cost(template, FULL_HD30), newcomer_cost(template)):
        assert amounts(cost, Pipeline.SOFTWARE)[Resource.CORES] == pytest.approx(10.0)


def test_of_what_a_publisher_sends_ready_made_nothing_is_booked_but_memory() -> None:
    whole = stream_cost(LIVE, HD30)
    names = [rendition.name for rendition in LIVE.renditions]
    passed = stream_cost(LIVE, replace(HD30, passed=(names[0],)))
    own = whole.encode - passed.as_used().encode
    assert own == pytest.approx(1280 * 720 * 30 / 1e6)
    assert passed.as_used().decode == whole.decode
    assert (passed.total, passed.renditions) == (whole.total, whole.renditions)
    assert stream_cost(LIVE, replace(HD30, passed=tuple(names))).as_used().total == 0
    for resource, amount in amounts(whole, Pipeline.HYBRID).items():
        is_cores = resource in (Resource.CORES, Resource.HYBRID_CORES)
        share = passed.as_used().encode / whole.encode if is_cores else 1.0
        assert amounts(passed, Pipeline.HYBRID)[resource] == pytest.approx(amount * share)
