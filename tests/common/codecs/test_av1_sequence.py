"""common/codecs/av1_sequence.py: sequence headers, SVT-AV1's and others made bit by bit."""

from dataclasses import dataclass
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.codecs.av1 import Av1Config, sequence_header_of
from common.codecs.av1_sequence import SequenceHeader, parse_sequence_header
from common.codecs.bits import BitWriter
from common.errors import Av1Error
from common.media.units import Colour, VideoCodec
from tests.kit.coded_video import CodedSpec, coded_video
from tests.kit.h264_bits import ue


def coded_header(spec: CodedSpec) -> SequenceHeader:
    return sequence_header_of(Av1Config.parse(coded_video(spec).record).sequence_header)


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        (
            CodedSpec(VideoCodec.AV1),
            {"width": 192, "height": 108, "fps": None, "bit_depth": 8, "colour": Colour()},
        ),
        (
            CodedSpec(VideoCodec.AV1, frames=1, pixel_format="yuv420p10le", colour=(9, 18, 9)),
            {"bit_depth": 10, "colour": Colour(9, 18, 9), "bits_per_pixel": 24},
        ),
        (
            CodedSpec(VideoCodec.AV1, frames=1, width=190, height=106, is_full_range=True),
            {"width": 190, "height": 106, "full_range": True},
        ),
    ],
)
def test_what_svt_av1_writes_is_read(spec: CodedSpec, wanted: dict[str, object]) -> None:
    found = coded_header(spec)
    assert {name: getattr(found, name) for name in wanted} == wanted


@dataclass(frozen=True)
class Made:
    """A sequence header of 1920x1080, and what is odd about it."""

    profile: int = 0
    is_reduced: bool = False
    timing: tuple[int, int, int] | None = None  # ticks of a second, of a picture; 0: not equal
    has_model: bool = False
    has_delays: bool = False
    points: tuple[int, ...] = (8,)  # levels
    frame_ids: bool = False
    has_order: bool = True
    screen: int = 2
    depth: int = 8
    is_monochrome: bool = False
    colour: tuple[int, int, int] | None = None
    is_full_range: bool = False
    subsampling: tuple[int, ...] = ()  # where profile 2 of 12 bits tells it


def make(made: Made) -> bytes:  # 5.5.1 in order
    writer = BitWriter().bits(made.profile, 3).bits(0, 1).bits(made.is_reduced, 1)
    if made.is_reduced:
        writer.bits(made.points[0], 5)
    else:
        _operating_points(writer, made)
    writer.bits(10, 4).bits(10, 4).bits(1919, 11).bits(1079, 11)
    if not made.is_reduced:
        writer.bits(made.frame_ids, 1)
        if made.frame_ids:
            writer.bits(0, 7)
    writer.bits(0, 3)
    if not made.is_reduced:
        writer.bits(0, 4).bits(made.has_order, 1)
        if made.has_order:
            writer.bits(0, 2)
        writer.bits(made.screen == 2, 1)
        if made.screen != 2:
            writer.bits(made.screen, 1)
        if made.screen:
            writer.bits(0, 1).bits(1, 1)
        if made.has_order:
            writer.bits(6, 3)
    writer.bits(0, 3)
    writer.bits(made.depth > 8, 1)
    if made.profile == 2 and made.depth > 8:
        writer.bits(made.depth == 12, 1)
    if made.profile != 1:
        writer.bits(made.is_monochrome, 1)
    writer.bits(made.colour is not None, 1)
    for value in made.colour or ():
        writer.bits(value, 8)
    if made.colour != (1, 13, 0):
        writer.bits(made.is_full_range, 1)
        for value in made.subsampling:
            writer.bits(value, 1)
        if not made.is_monochrome:
            writer.bits(1, 2)
    writer.bits(0, 2)
    return writer.to_bytes()


def _operating_points(writer: BitWriter, made: Made) -> None:
    writer.bits(made.timing is not None, 1)
    if made.timing is not None:
        units, scale, ticks = made.timing
        writer.bits(units, 32).bits(scale, 32).bits(ticks > 0, 1)
        if ticks:
            ue(writer, ticks - 1)
        writer.bits(made.has_model, 1)
        if made.has_model:
            writer.bits(9, 5).bits(1, 32).bits(0, 10)
    writer.bits(made.has_delays, 1).bits(len(made.points) - 1, 5)
    for level in made.points:
        writer.bits(0, 12).bits(level, 5)
        if level > 7:
            writer.bits(1, 1)
        if made.has_model:
            writer.bits(1, 1).bits(0, 21)
        if made.has_delays:
            writer.bits(1, 1).bits(3, 4)


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (Made(), {"width": 1920, "height": 1080, "level": 8, "tier": 1, "fps": None}),
        (Made(timing=(1, 60, 2)), {"fps": 30}),
        (Made(timing=(1001, 30000, 1), has_model=True), {"fps": Fraction(30000, 1001)}),
        (Made(timing=(1, 60, 0)), {"fps": None, "width": 1920}),
        (Made(timing=(0, 60, 1)), {"fps": None}),
        (Made(has_delays=True, points=(5, 8, 4)), {"level": 5, "tier": 0, "height": 1080}),
        (Made(is_reduced=True, points=(4,)), {"level": 4, "width": 1920, "chroma_format": 1}),
        (Made(frame_ids=True, has_order=False, screen=0), {"bit_depth": 8, "chroma_format": 1}),
        (Made(screen=1), {"chroma_position": 1}),
        (Made(depth=10, colour=(9, 16, 9)), {"bit_depth": 10, "colour": Colour(9, 16, 9)}),
        (Made(is_monochrome=True, is_full_range=True), {"chroma_format": 0, "full_range": True}),
        (Made(profile=1), {"chroma_format": 3}),
        (Made(profile=1, colour=(1, 13, 0)), {"chroma_format": 3, "full_range": True}),
        (Made(profile=2, depth=10), {"chroma_format": 2, "bit_depth": 10}),
        (Made(profile=2, depth=12, subsampling=(1, 1)), {"chroma_format": 1, "bit_depth": 12}),
        (Made(profile=2, depth=12, subsampling=(1, 0)), {"chroma_format": 2}),
        (Made(profile=2, depth=12, subsampling=(0,)), {"chroma_format": 3}),
    ],
)
def test_every_part_is_read_or_passed_over(made: Made, wanted: dict[str, object]) -> None:
    found = parse_sequence_header(make(made))
    assert {name: getattr(found, name) for name in wanted} == wanted


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"", "bits wanted"),
        (make(Made())[:8], "bits wanted"),
        (make(Made()) + bytes(1024), "exceeds 1024"),
        (b"\x60" + make(Made())[1:], "profile 3"),
    ],
)
def test_what_cannot_be_read_is_an_error(payload: bytes, words: str) -> None:
    with pytest.raises(Av1Error, match=words):
        parse_sequence_header(payload)


def test_a_picture_of_more_than_the_largest_side_is_an_error() -> None:
    writer = BitWriter().bits(0b00001, 5).bits(8, 5).bits(15, 4).bits(15, 4).bits(0xFFFF, 16)
    with pytest.raises(Av1Error, match="65536x1 exceeds"):
        parse_sequence_header(writer.bits(0, 16).bits(0, 32).to_bytes())


@given(st.binary(max_size=60))
def test_any_bytes_are_a_sequence_header_or_an_error(data: bytes) -> None:
    try:
        found = parse_sequence_header(data)
    except Av1Error:
        return
    assert found.width > 0
    assert found.bits_per_pixel > 0
