"""common/codecs/h265_sps.py: sequence parameter sets, x265's and others made bit by bit."""

from dataclasses import dataclass
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.codecs.bits import BitWriter
from common.codecs.h265 import HevcConfig
from common.codecs.h265_sps import HevcSps, parse_sps
from common.errors import HevcError
from common.media.units import Colour, VideoCodec
from tests.kit.coded_video import CodedSpec, coded_video
from tests.kit.h264_bits import escape, ue

PLAIN = CodedSpec(VideoCodec.H265, frames=1)


def coded_sps(spec: CodedSpec) -> HevcSps:
    return parse_sps(HevcConfig.parse(coded_video(spec).record).sps[0])


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        (PLAIN, {"width": 192, "height": 108, "profile": 1, "fps": 25, "reorder_frames": 0}),
        (
            CodedSpec(VideoCodec.H265, frames=1, width=190, height=106, sar=Fraction(4, 3)),
            {"width": 190, "height": 106, "sar": Fraction(4, 3)},
        ),
        (
            CodedSpec(VideoCodec.H265, frames=1, fps=Fraction(30000, 1001), b_frames=3),
            {"fps": Fraction(30000, 1001), "reorder_frames": 2, "reference_frames": 4},
        ),
        (
            CodedSpec(
                VideoCodec.H265,
                frames=1,
                pixel_format="yuv420p10le",
                colour=(9, 16, 9),
                is_full_range=True,
            ),
            {
                "bit_depth": 10,
                "bit_depth_chroma": 10,
                "profile": 2,
                "colour": Colour(9, 16, 9, is_full_range=True),
                "bits_per_pixel": 24,
            },
        ),
        (
            CodedSpec(VideoCodec.H265, frames=1, pixel_format="yuv422p10le"),
            {"chroma_format": 2, "profile": 4},
        ),
        (
            CodedSpec(VideoCodec.H265, frames=1, pixel_format="yuv444p"),
            {"chroma_format": 3, "bit_depth": 8},
        ),
        (
            CodedSpec(VideoCodec.H265, frames=1, parameters=("scaling-list=default",)),
            {"fps": 25, "width": 192},
        ),
        (
            CodedSpec(
                VideoCodec.H265,
                frames=1,
                width=320,
                height=256,
                b_frames=2,
                parameters=("temporal-layers=2",),
            ),
            {"temporal_layers": 2, "width": 320, "fps": 25},
        ),
    ],
)
def test_what_x265_writes_is_read(spec: CodedSpec, wanted: dict[str, object]) -> None:
    found = coded_sps(spec)
    assert {name: getattr(found, name) for name in wanted} == wanted


@dataclass(frozen=True)
class Made:
    """An SPS of 1920x1080, and what is odd about it."""

    width: int = 1920
    height: int = 1088
    window: tuple[int, int, int, int] | None = (0, 0, 0, 4)  # left, right, top, bottom
    chroma: int = 1
    depth: int = 8
    sps_id: int = 0
    sub_layers: tuple[tuple[bool, bool], ...] = ()
    has_scaling_lists: bool = False
    has_pcm: bool = False
    predicted_sets: int = 0
    long_term: int = 0
    timing: tuple[int, int] | None = (1, 60)
    ends_in_vui: bool = False


# long: the fields of 7.3.2.2.1, in their order
def make(made: Made) -> bytes:  # noqa: C901
    writer = BitWriter().bits(0, 4).bits(len(made.sub_layers), 3).bits(1, 1)
    writer.bits(1, 8).bits(0x60000000, 32).bits(0, 48).bits(120, 8)
    for profile, level in made.sub_layers:
        writer.bits(profile, 1).bits(level, 1)
    if made.sub_layers:
        writer.bits(0, 2 * (8 - len(made.sub_layers)))
    for profile, level in made.sub_layers:
        writer.bits(0, 88 * profile + 8 * level)
    ue(writer, made.sps_id)
    ue(writer, made.chroma)
    if made.chroma == 3:
        writer.bits(0, 1)
    ue(writer, made.width)
    ue(writer, made.height)
    writer.bits(made.window is not None, 1)
    for side in made.window or ():
        ue(writer, side)
    ue(writer, made.depth - 8)
    ue(writer, made.depth - 8)
    ue(writer, 4)  # log2_max_pic_order_cnt_lsb_minus4
    writer.bits(1, 1)
    for layer in range(len(made.sub_layers) + 1):
        ue(ue(ue(writer, layer + 3), layer + 1), 0)
    for value in (0, 3, 0, 3, 0, 0):
        ue(writer, value)
    writer.bits(made.has_scaling_lists, 1)
    if made.has_scaling_lists:
        writer.bits(1, 1)
        for size in range(4):
            for _ in range(0, 6, 3 if size == 3 else 1):
                writer.bits(1, 1)
                for _ in range(min(64, 1 << (4 + (size << 1))) + (size > 1)):
                    ue(writer, 1)
    writer.bits(3, 2)
    writer.bits(made.has_pcm, 1)
    if made.has_pcm:
        ue(ue(writer.bits(0x77, 8), 0), 1).bits(0, 1)
    ue(writer, 1 + made.predicted_sets)
    ue(ue(writer, 2), 1)  # the first set: two before, one behind
    for _ in range(3):
        ue(writer, 0).bits(1, 1)
    count = 3
    for _ in range(made.predicted_sets):
        ue(writer.bits(1, 1).bits(0, 1), 0)
        for _ in range(count):
            writer.bits(1, 1)
        writer.bits(0, 2)  # of the picture predicted from: neither used nor kept
    writer.bits(made.long_term > 0, 1)
    if made.long_term:
        ue(writer, made.long_term)
        writer.bits(0, 9 * made.long_term)
    writer.bits(3, 2).bits(1, 1)
    if made.ends_in_vui:
        return b"\x42\x01" + escape(writer.to_bytes())
    writer.bits(0, 1).bits(0, 1)  # aspect, overscan
    writer.bits(1, 1).bits(5, 3).bits(0, 1).bits(1, 1).bits(9, 8).bits(18, 8).bits(9, 8)
    ue(ue(writer.bits(1, 1), 2), 2)
    writer.bits(0, 3).bits(0, 1)
    writer.bits(made.timing is not None, 1)
    for value in made.timing or ():
        writer.bits(value, 32)
    writer.bits(0, 2).bits(1, 1)
    return b"\x42\x01" + escape(writer.to_bytes())


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (Made(), {"width": 1920, "height": 1080, "fps": 60, "level": 120, "sps_id": 0}),
        (Made(chroma=3), {"width": 1920, "height": 1084}),
        (Made(chroma=2, window=(1, 1, 2, 2)), {"width": 1916, "height": 1084}),
        (Made(chroma=0, window=(0, 0, 0, 8), depth=12), {"height": 1080, "bit_depth_chroma": 12}),
        (Made(window=None), {"height": 1088}),
        (Made(sub_layers=((True, True), (False, True))), {"reorder_frames": 3, "fps": 60}),
        (Made(has_scaling_lists=True, has_pcm=True), {"fps": 60}),
        (Made(predicted_sets=5, long_term=3), {"fps": 60, "colour": Colour(9, 18, 9)}),
        (Made(timing=None), {"fps": None, "colour": Colour(9, 18, 9)}),
        (Made(timing=(0, 60)), {"fps": None}),
        (Made(ends_in_vui=True), {"fps": None, "height": 1080, "colour": Colour()}),
        (Made(sps_id=15), {"sps_id": 15}),
    ],
)
def test_every_part_is_read_or_passed_over(made: Made, wanted: dict[str, object]) -> None:
    found = parse_sps(make(made))
    assert {name: getattr(found, name) for name in wanted} == wanted


@pytest.mark.parametrize(
    ("nal", "words"),
    [
        (b"", "no SPS"),
        (b"\x42", "no SPS"),
        (b"\x40\x01" + make(Made())[2:], "no SPS"),
        (make(Made())[:20], "bits wanted"),
        (make(Made()) + bytes(5000), "exceeds 4096"),
        (make(Made(width=20_000)), "exceeds 16384"),
        (make(Made(width=0)), "picture of 0x"),
        (make(Made(window=(0, 0, 400, 400))), "leaves a picture of 1920x-512"),
        (make(Made(depth=17)), "bit depth 17"),
        (make(Made(chroma=4)), "chroma format 4"),
        (make(Made(sps_id=16)), "SPS id 16"),
    ],
)
def test_what_cannot_be_read_is_an_error(nal: bytes, words: str) -> None:
    with pytest.raises(HevcError, match=words):
        parse_sps(nal)


@given(st.binary(max_size=80))
def test_any_bytes_are_an_sps_or_an_error(data: bytes) -> None:
    try:
        found = parse_sps(b"\x42\x01" + data)
    except HevcError:
        return
    assert found.width > 0
    assert found.height > 0


@given(st.integers(0, 79))
def test_every_cut_is_an_sps_or_an_error(end: int) -> None:
    try:
        assert parse_sps(make(Made())[:end]).height == 1080
    except HevcError:
        return
