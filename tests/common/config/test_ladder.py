"""common/config/ladder.py: what a source of some size gets from a template."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.config.ladder import (
    MIN_BITRATE_BPS,
    MIN_SIDE,
    MIN_SIDE_AV1,
    RENDITION_CODECS,
    RateControl,
    Rendition,
    RenditionFit,
    RenditionFormat,
    SourceFormat,
    Template,
    display_size,
    fit_ladder,
    is_turned,
    min_side,
)
from common.config.settings import Settings
from common.media.units import VideoCodec

TEMPLATE = Settings().templates[0]
BOX = replace(TEMPLATE, fit=RenditionFit.BOX)

# name, source, {rendition: (frame width, frame height)}; the picture fills the frame
CASES = [
    ("the top rendition's own size", SourceFormat(1280, 720), {
        "720p": (1280, 720), "480p": (854, 480), "360p": (640, 360),
    }),
    ("an upright source gets upright renditions", SourceFormat(1080, 1920), {
        "720p": (720, 1280), "480p": (480, 854), "360p": (360, 640),
    }),
    ("upright, and no larger than the top rendition", SourceFormat(720, 1280), {
        "720p": (720, 1280), "480p": (480, 854), "360p": (360, 640),
    }),
    ("a whole phone screen, 19.5:9 upright", SourceFormat(886, 1920), {
        "720p": (590, 1280), "480p": (394, 854), "360p": (296, 640),
    }),
    ("upright by its samples' aspect", SourceFormat(640, 576, Fraction(1, 2)), {
        "480p": (474, 854), "360p": (356, 640),
    }),
    ("lying by its samples' aspect", SourceFormat(540, 600, Fraction(64, 27)), {
        "720p": (1280, 600), "480p": (854, 400), "360p": (640, 300),
    }),
    ("square", SourceFormat(1080, 1080), {
        "720p": (720, 720), "480p": (480, 480), "360p": (360, 360),
    }),
    ("4:3", SourceFormat(1440, 1080), {
        "720p": (960, 720), "480p": (640, 480), "360p": (480, 360),
    }),
    ("4:3 upright", SourceFormat(1080, 1440), {
        "720p": (720, 960), "480p": (480, 640), "360p": (360, 480),
    }),
    ("21:9", SourceFormat(2560, 1080), {
        "720p": (1280, 540), "480p": (854, 360), "360p": (640, 270),
    }),
    ("wide footage", SourceFormat(640, 272), {"360p": (640, 272)}),
    ("a width that is a sample over another's", SourceFormat(1920, 1078), {
        "720p": (1280, 720), "480p": (854, 480), "360p": (640, 360),
    }),
    ("anamorphic PAL is shown at 16:9", SourceFormat(720, 576, Fraction(64, 45)), {
        "480p": (854, 480), "360p": (640, 360),
    }),
    ("a source below every rendition gets one of its own size", SourceFormat(176, 144), {
        "360p": (176, 144),
    }),
    ("upright and below every rendition", SourceFormat(144, 256), {"360p": (144, 256)}),
    ("an odd size is rounded to even", SourceFormat(175, 143), {"360p": (176, 144)}),
]  # fmt: skip

# name, source, {rendition: (frame width, frame height, picture x, y, width, height)}
BOX_CASES = [
    ("the top rendition's own size", SourceFormat(1280, 720), {
        "720p": (1280, 720, 0, 0, 1280, 720),
        "480p": (854, 480, 0, 0, 854, 480),
        "360p": (640, 360, 0, 0, 640, 360),
    }),
    ("wide footage is letterboxed", SourceFormat(640, 272), {
        "360p": (640, 360, 0, 44, 640, 272),
    }),
    ("an upright picture is pillarboxed", SourceFormat(1080, 1920), {
        "720p": (1280, 720, 438, 0, 404, 720),
        "480p": (854, 480, 292, 0, 270, 480),
        "360p": (640, 360, 218, 0, 202, 360),
    }),
    ("a source below every rendition gets one of its own size", SourceFormat(176, 144), {
        "360p": (176, 144, 0, 0, 176, 144),
    }),
]  # fmt: skip


SOURCES = st.builds(
    SourceFormat,
    st.integers(16, 4096),
    st.integers(16, 4096),
    st.fractions(Fraction(1, 4), 4, max_denominator=64),
)


def made(fitted: RenditionFormat) -> tuple[int, int, int, int, int, int]:
    picture = fitted.picture_x, fitted.picture_y, fitted.picture_width, fitted.picture_height
    return fitted.width, fitted.height, *picture


@pytest.mark.parametrize(("name", "source", "renditions"), CASES, ids=[case[0] for case in CASES])
def test_the_ladder_of_a_source(
    name: str, source: SourceFormat, renditions: dict[str, tuple[int, int]]
) -> None:
    ladder = fit_ladder(TEMPLATE, source)
    assert {fitted.name: made(fitted) for fitted in ladder.renditions} == {
        name: (*size, 0, 0, *size) for name, size in renditions.items()
    }
    assert {entry.name for entry in ladder.omitted} == {
        rendition.name for rendition in TEMPLATE.renditions
    } - set(renditions)


@pytest.mark.parametrize(
    ("name", "source", "renditions"), BOX_CASES, ids=[case[0] for case in BOX_CASES]
)
def test_the_ladder_of_a_source_in_boxes(
    name: str, source: SourceFormat, renditions: dict[str, tuple[int, int, int, int, int, int]]
) -> None:
    ladder = fit_ladder(BOX, source)
    assert {fitted.name: made(fitted) for fitted in ladder.renditions} == renditions


@given(
    st.lists(
        st.tuples(st.sampled_from(RENDITION_CODECS), st.integers(8, 1000), st.integers(8, 1000)),
        min_size=1,
        max_size=6,
    ),
    st.integers(8, 2000),
    st.integers(8, 2000),
    st.sampled_from(RenditionFit),
)
def test_where_a_ladder_has_h264_every_source_gets_some_and_frames_that_encoders_take(
    written: list[tuple[VideoCodec, int, int]], width: int, height: int, fit: RenditionFit
) -> None:
    renditions = [
        Rendition(f"r{number}", 2 * wide, 2 * high, 1_000_000, codec=codec)
        for number, (codec, wide, high) in enumerate(written)
        if codec is not VideoCodec.AV1 or min(wide, high) >= MIN_SIDE_AV1 / 2
    ]
    renditions.append(Rendition("plain", 4000, 4000, 1_000_000))
    template = Template("live", tuple(renditions), fit=fit)
    ladder = fit_ladder(template, SourceFormat(2 * width, 2 * height))
    assert any(one.codec is VideoCodec.H264 for one in ladder.renditions)
    made = {one.name: one for one in ladder.renditions}
    assert len(made) + len(ladder.omitted) == len(renditions)
    for one in renditions:
        if one.name in made:
            fitted = made[one.name]
            assert fitted.codec is one.codec
            assert min(fitted.width, fitted.height) >= min_side(one.codec)


def test_a_rendition_of_h264_stands_in_where_others_alone_would_be_made() -> None:
    hevc = Rendition("hevc", 320, 180, 500_000, codec=VideoCodec.H265)
    ladder = fit_ladder(
        replace(TEMPLATE, renditions=(*TEMPLATE.renditions, hevc)), SourceFormat(480, 270)
    )
    assert [(one.name, one.width, one.height) for one in ladder.renditions] == [
        ("360p", 480, 270),
        ("hevc", 320, 180),
    ]


def test_a_rendition_may_have_a_fit_of_its_own() -> None:
    wall = Rendition("wall", 1280, 720, 2_000_000, fit=RenditionFit.BOX)
    phone = Rendition("phone", 640, 360, 700_000)
    source = SourceFormat(1080, 1920)
    sizes = [(720, 1280), (1280, 720), (360, 640), (640, 360)]
    for fit, wanted in (
        (RenditionFit.SHORT_SIDE, (sizes[1], sizes[2])),
        (RenditionFit.BOX, (sizes[1], sizes[3])),
    ):
        ladder = fit_ladder(Template("live", (wall, phone), fit=fit), source)
        assert tuple((fitted.width, fitted.height) for fitted in ladder.renditions) == wanted


def test_a_rendition_that_is_written_upright_lies_down_for_a_source_that_does() -> None:
    template = Template("live", (Rendition("720p", 720, 1280, 2_000_000),))
    (fitted,) = fit_ladder(template, SourceFormat(1920, 1080)).renditions
    assert (fitted.width, fitted.height) == (1280, 720)


@given(SOURCES, SOURCES, st.sampled_from(RenditionFit))
def test_a_ladder_is_turned_when_it_lies_otherwise_than_its_source_by_now(
    before: SourceFormat, after: SourceFormat, fit: RenditionFit
) -> None:
    template = replace(TEMPLATE, fit=fit)
    sizes = {r.name: (r.width, r.height) for r in fit_ladder(template, before).renditions}
    (width, height), (now_width, now_height) = display_size(before), display_size(after)
    if fit is RenditionFit.BOX or (width - height) * (now_width - now_height) >= 0:
        assert not is_turned(template, sizes, after)
    elif all(width != height for width, height in sizes.values()):
        assert is_turned(template, sizes, after)


def test_what_is_left_out_says_why() -> None:
    (first, _) = fit_ladder(TEMPLATE, SourceFormat(640, 360)).omitted
    assert first.name == "720p"
    assert first.reason == "1280x720 would enlarge the source's 640x360"
    (upright, _) = fit_ladder(TEMPLATE, SourceFormat(360, 640)).omitted
    assert upright.reason == "720x1280 would enlarge the source's 360x640"
    (boxed, *_) = fit_ladder(BOX, SourceFormat(360, 640)).omitted
    assert boxed.reason == "1280x720 would enlarge the source's 360x640"


def test_the_largest_rendition_comes_first_however_the_template_is_written() -> None:
    listed = ("360p", "720p", "480p")
    by_name = {rendition.name: rendition for rendition in TEMPLATE.renditions}
    slow = replace(by_name["720p"], name="720p15", fps=Fraction(15))
    template = replace(TEMPLATE, renditions=(slow, *(by_name[name] for name in listed)))
    names = [fitted.name for fitted in fit_ladder(template, SourceFormat(1280, 720)).renditions]
    assert names == ["720p", "720p15", "480p", "360p"]


def test_a_template_without_renditions_is_passthrough_only() -> None:
    assert fit_ladder(Template("relay", ()), SourceFormat(640, 360)).renditions == ()


def test_sample_aspect_ratio_stretches_and_never_shrinks() -> None:
    assert display_size(SourceFormat(720, 480, Fraction(8, 9))) == (Fraction(720), Fraction(540))
    assert display_size(SourceFormat(720, 576, Fraction(16, 15))) == (Fraction(768), Fraction(576))


SIDES = st.integers(8, 2048).map(lambda half: 2 * half)
RENDITIONS = st.builds(Rendition, st.just("a"), SIDES, SIDES, st.integers(16_000, 10_000_000))


@given(SOURCES, st.sampled_from([TEMPLATE, BOX]))
def test_a_fitted_picture_is_even_inside_its_frame_and_keeps_the_aspect(
    source: SourceFormat, template: Template
) -> None:
    shown_width, shown_height = display_size(source)
    for fitted in fit_ladder(template, source).renditions:
        _, _, *numbers = made(fitted)
        assert all(number % 2 == 0 and number >= 0 for number in numbers)
        assert fitted.picture_x + fitted.picture_width <= fitted.width
        assert fitted.picture_y + fitted.picture_height <= fitted.height
        # within the rounding to even numbers and the two samples that count as filled
        assert abs(fitted.picture_width - shown_width * fitted.picture_height / shown_height) <= (
            4 + 4 * shown_width / shown_height
        )


@given(SOURCES, RENDITIONS)
def test_by_the_short_side_a_frame_is_the_picture_and_never_more_than_asked_for(
    source: SourceFormat, rendition: Rendition
) -> None:
    (fitted,) = fit_ladder(Template("live", (rendition,)), source).renditions
    shown_width, shown_height = display_size(source)
    width, height = fitted.width, fitted.height
    assert width % 2 == height % 2 == 0
    assert fitted.picture_width == width or width == MIN_SIDE
    assert fitted.picture_height == height or height == MIN_SIDE
    # inside the template's sides, and inside the source, but for an odd one's last row
    assert max(width, height) <= max(rendition.width, rendition.height)
    assert min(width, height) <= min(rendition.width, rendition.height)
    assert fitted.picture_width <= shown_width + 2
    assert fitted.picture_height <= shown_height + 2
    if width < height:
        assert shown_width < shown_height
    if shown_width < shown_height:
        assert width <= height


@given(SOURCES, RENDITIONS, st.sampled_from(RenditionFit))
def test_a_smaller_frame_has_that_much_less_of_the_bitrate(
    source: SourceFormat, rendition: Rendition, fit: RenditionFit
) -> None:
    (fitted,) = fit_ladder(Template("live", (rendition,), fit=fit), source).renditions
    by_pixels = (
        rendition.bitrate_bps * fitted.width * fitted.height / (rendition.width * rendition.height)
    )
    assert fitted.bitrate_bps <= rendition.bitrate_bps
    assert fitted.bitrate_bps == pytest.approx(max(MIN_BITRATE_BPS, by_pixels), abs=1)


# source, rendition: (frame width, frame height, bitrate)
BITRATES = [
    (SourceFormat(1920, 1080), "720p", (1280, 720, 2_500_000)),
    (SourceFormat(1080, 1920), "720p", (720, 1280, 2_500_000)),
    (SourceFormat(1080, 1080), "720p", (720, 720, 1_406_250)),
    (SourceFormat(2560, 1080), "720p", (1280, 540, 1_875_000)),
    (SourceFormat(1920, 1080, fps=Fraction(15)), "720p", (1280, 720, 2_500_000)),
    (SourceFormat(128, 96), "360p", (128, 96, 37_333)),  # a source of 210 kbit/s
    (SourceFormat(16, 16), "360p", (16, 16, MIN_BITRATE_BPS)),
]


@pytest.mark.parametrize(("source", "name", "wanted"), BITRATES)
def test_the_bitrate_of_a_frame(
    source: SourceFormat, name: str, wanted: tuple[int, int, int]
) -> None:
    fitted = next(r for r in fit_ladder(TEMPLATE, source).renditions if r.name == name)
    assert (fitted.width, fitted.height, fitted.bitrate_bps) == wanted


def test_a_source_that_stands_in_for_a_larger_rendition_gets_bits_by_its_pixels() -> None:
    """Of 911 kbit/s, 640x360 was made a "480p" of 1,281 kbit/s."""
    template = Template("live", (Rendition("480p", 854, 480, 1_200_000),))
    (fitted,) = fit_ladder(template, SourceFormat(640, 360)).renditions
    assert (fitted.name, fitted.width, fitted.height) == ("480p", 640, 360)
    assert fitted.bitrate_bps == 674_473


@pytest.mark.parametrize(
    ("rate_control", "maxrate_bps", "peak_bps"),
    [
        (RateControl.CBR, None, 1_000_000),
        (RateControl.VBR, None, 1_500_000),
        (RateControl.VBR, 4_000_000, 4_000_000),
        (RateControl.QUALITY, None, 1_000_000),
    ],
)
def test_the_peak_of_a_rendition_follows_its_rate_control(
    rate_control: RateControl, maxrate_bps: int | None, peak_bps: int
) -> None:
    rendition = Rendition(
        "a", 320, 180, 1_000_000, vbv_ms=500, rate_control=rate_control, maxrate_bps=maxrate_bps
    )
    for source, share in ((SourceFormat(640, 360), 1), (SourceFormat(160, 90), 4)):
        (fitted,) = fit_ladder(Template("live", (rendition,)), source).renditions
        assert (fitted.bitrate_bps, fitted.peak_bps) == (1_000_000 // share, peak_bps // share)
        assert fitted.vbv_bits == peak_bps // share // 2
