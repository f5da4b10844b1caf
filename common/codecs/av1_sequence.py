"""AV1 sequence headers (5.5 of the specification): what a stream's pictures are.

Reads size, depth, chroma, colour, and the rate where it is told. Pure; raises Av1Error for what
cannot be read.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Final

from common.codecs.bits import BitReader
from common.errors import Av1Error
from common.media.pictures import PictureFormat

MAX_HEADER_BYTES: Final = 1024
MAX_PICTURE_SIDE: Final = 16_384
_SRGB: Final = (1, 13, 0)  # primaries, transfer, matrix: coded as 4:4:4 without saying so
_UNSPECIFIED: Final = 2
_SELECTED: Final = 2  # SELECT_SCREEN_CONTENT_TOOLS: each frame says


@dataclass(frozen=True, slots=True)
class SequenceHeader(PictureFormat):
    """What a sequence header tells; `profile` is seq_profile, `level` seq_level_idx."""

    tier: int = 0
    chroma_position: int = 0  # of 4:2:0


@lru_cache(maxsize=64)  # one comes with every key frame
def parse_sequence_header(payload: bytes) -> SequenceHeader:
    """Read what is behind an OBU's header and size. Raises Av1Error."""
    if len(payload) > MAX_HEADER_BYTES:
        raise Av1Error(f"sequence header of {len(payload)} bytes exceeds {MAX_HEADER_BYTES}")
    reader = BitReader(payload, Av1Error)
    profile = reader.bits(3)
    if profile > 2:
        raise Av1Error(f"AV1 profile {profile} exceeds 2")
    reader.flag()  # still_picture
    is_reduced = reader.flag()
    fps: Fraction | None = None
    if is_reduced:
        level, tier = reader.bits(5), 0
    else:
        fps, level, tier = _read_operating_points(reader)
    width_bits, height_bits = reader.bits(4) + 1, reader.bits(4) + 1
    width, height = reader.bits(width_bits) + 1, reader.bits(height_bits) + 1
    if max(width, height) > MAX_PICTURE_SIDE:
        raise Av1Error(f"picture of {width}x{height} exceeds {MAX_PICTURE_SIDE}")
    if not is_reduced and reader.flag():  # frame_id_numbers_present_flag
        reader.bits(7)
    reader.bits(3)  # use_128x128_superblock, enable_filter_intra, enable_intra_edge_filter
    if not is_reduced:
        _skip_tools(reader)
    reader.bits(3)  # enable_superres, enable_cdef, enable_restoration
    return _read_colour(reader, profile, level, tier, width, height, fps)


def _read_operating_points(reader: BitReader) -> tuple[Fraction | None, int, int]:
    """The rate, and level and tier of the first point, which is all layers."""
    fps: Fraction | None = None
    delay_bits = 0
    has_model = False
    if reader.flag():  # timing_info_present_flag
        units, scale = reader.bits(32), reader.bits(32)
        ticks = reader.ue() + 1 if reader.flag() else 0  # equal_picture_interval
        if units and scale and ticks:
            fps = Fraction(scale, units * ticks)
        has_model = reader.flag()
        if has_model:
            delay_bits = reader.bits(5) + 1
            reader.bits(32 + 5 + 5)
    has_delays = reader.flag()  # initial_display_delay_present_flag
    levels: list[tuple[int, int]] = []
    for _ in range(reader.bits(5) + 1):
        reader.bits(12)  # operating_point_idc
        level = reader.bits(5)
        levels.append((level, reader.bits(1) if level > 7 else 0))
        if has_model and reader.flag():
            reader.bits(2 * delay_bits + 1)
        if has_delays and reader.flag():
            reader.bits(4)
    return fps, *levels[0]


def _skip_tools(reader: BitReader) -> None:
    reader.bits(4)  # interintra, masked, warped, dual filter
    has_order = reader.flag()
    if has_order:
        reader.bits(2)  # jnt_comp, ref_frame_mvs
    screen = _SELECTED if reader.flag() else reader.bits(1)
    if screen and not reader.flag():  # seq_choose_integer_mv
        reader.flag()
    if has_order:
        reader.bits(3)  # order_hint_bits_minus_1


def _read_colour(
    reader: BitReader,
    profile: int,
    level: int,
    tier: int,
    width: int,
    height: int,
    fps: Fraction | None,
) -> SequenceHeader:
    """The rest, color_config (5.5.2) first of all."""
    depth = 10 if reader.flag() else 8
    if profile == 2 and depth == 10 and reader.flag():
        depth = 12
    is_monochrome = profile != 1 and reader.flag()
    colour = (_UNSPECIFIED,) * 3
    if reader.flag():
        colour = (reader.bits(8), reader.bits(8), reader.bits(8))
    chroma, position = 1, 0
    if is_monochrome:
        chroma, full_range = 0, reader.flag()
    elif colour == _SRGB:
        chroma, full_range = 3, True
    else:
        full_range = reader.flag()
        chroma = _read_sampling(reader, profile, depth)
        if chroma == 1:
            position = reader.bits(2)
    return SequenceHeader(
        width=width,
        height=height,
        sar=Fraction(1),
        profile=profile,
        compat=0,
        level=level,
        fps=fps,
        reorder_frames=0,  # a temporal unit shows one frame
        interlaced=False,
        chroma_format=chroma,
        bit_depth=depth,
        bit_depth_chroma=depth,
        full_range=full_range,
        colour_primaries=colour[0],
        colour_transfer=colour[1],
        colour_matrix=colour[2],
        tier=tier,
        chroma_position=position,
    )


def _read_sampling(reader: BitReader, profile: int, depth: int) -> int:
    """The chroma format: profile 0 has 4:2:0, 1 4:4:4, 2 tells it where samples have 12 bits."""
    if profile < 2:
        return 3 if profile else 1
    if depth < 12:
        return 2
    if not reader.flag():  # subsampling_x
        return 3
    return 1 if reader.flag() else 2
