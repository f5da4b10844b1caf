"""common/config/ladder.py: what a source of some size gets from a template."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.config.ladder import (
    RateControl,
    Rendition,
    SourceFormat,
    Template,
    display_size,
    fit_ladder,
)
from common.config.settings import Settings

TEMPLATE = Settings().templates[0]

# name, source, {rendition: (frame width, frame height, picture x, y, width, height)}
CASES = [
    ("the top rendition's own size", SourceFormat(1280, 720), {
        "720p": (1280, 720, 0, 0, 1280, 720),
        "480p": (854, 480, 0, 0, 854, 480),
        "360p": (640, 360, 0, 0, 640, 360),
    }),
    ("wide footage is letterboxed", SourceFormat(640, 272), {
        "360p": (640, 360, 0, 44, 640, 272),
    }),
    ("anamorphic PAL is shown at 16:9", SourceFormat(720, 576, Fraction(64, 45)), {
        "480p": (854, 480, 0, 0, 854, 480),
        "360p": (640, 360, 0, 0, 640, 360),
    }),
    ("a portrait picture is pillarboxed", SourceFormat(1080, 1920), {
        "720p": (1280, 720, 438, 0, 404, 720),
        "480p": (854, 480, 292, 0, 270, 480),
        "360p": (640, 360, 218, 0, 202, 360),
    }),
    ("a source below every rendition gets one of its own size", SourceFormat(176, 144), {
        "360p": (176, 144, 0, 0, 176, 144),
    }),
    ("an odd size is rounded to even", SourceFormat(175, 143), {
        "360p": (176, 144, 0, 0, 176, 144),
    }),
]  # fmt: skip


@pytest.mark.parametrize(("name", "source", "renditions"), CASES, ids=[case[0] for case in CASES])
def test_the_ladder_of_a_source(
    name: str, source: SourceFormat, renditions: dict[str, tuple[int, int, int, int, int, int]]
) -> None:
    ladder = fit_ladder(TEMPLATE, source)
    assert {
        fitted.name: (
            fitted.width,
            fitted.height,
            fitted.picture_x,
            fitted.picture_y,
            fitted.picture_width,
            fitted.picture_height,
        )
        for fitted in ladder.renditions
    } == renditions
    made = {fitted.name for fitted in ladder.renditions}
    assert {entry.name for entry in ladder.omitted} == {
        rendition.name for rendition in TEMPLATE.renditions
    } - made


def test_what_is_left_out_says_why() -> None:
    (first, _) = fit_ladder(TEMPLATE, SourceFormat(640, 360)).omitted
    assert first.name == "720p"
    assert first.reason == "1280x720 would enlarge the source's 640x360"


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


@given(
    st.integers(16, 4096),
    st.integers(16, 4096),
    st.fractions(Fraction(1, 4), 4, max_denominator=64),
)
def test_a_fitted_picture_is_even_inside_its_frame_and_keeps_the_aspect(
    width: int, height: int, sar: Fraction
) -> None:
    source = SourceFormat(width, height, sar)
    shown_width, shown_height = display_size(source)
    for fitted in fit_ladder(TEMPLATE, source).renditions:
        numbers = (fitted.picture_x, fitted.picture_y, fitted.picture_width, fitted.picture_height)
        assert all(number % 2 == 0 and number >= 0 for number in numbers)
        assert fitted.picture_x + fitted.picture_width <= fitted.width
        assert fitted.picture_y + fitted.picture_height <= fitted.height
        # within the rounding to even numbers and the two samples that count as filled
        assert abs(fitted.picture_width - shown_width * fitted.picture_height / shown_height) <= (
            4 + 4 * shown_width / shown_height
        )


@pytest.mark.parametrize(
    ("rate_control", "maxrate_bps", "peak_bps"),
    [
        (RateControl.CBR, None, 1_000_000),
        (RateControl.VBR, None, 1_500_000),
        (RateControl.VBR, 4_000_000, 4_000_000),
    ],
)
def test_the_peak_of_a_rendition_follows_its_rate_control(
    rate_control: RateControl, maxrate_bps: int | None, peak_bps: int
) -> None:
    rendition = Rendition(
        "a", 320, 180, 1_000_000, vbv_ms=500, rate_control=rate_control, maxrate_bps=maxrate_bps
    )
    for source in (SourceFormat(640, 360), SourceFormat(160, 90)):  # fitted, and stood in for
        (fitted,) = fit_ladder(Template("live", (rendition,)), source).renditions
        assert (fitted.bitrate_bps, fitted.peak_bps) == (1_000_000, peak_bps)
        assert fitted.vbv_bits == peak_bps // 2
