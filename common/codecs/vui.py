"""What the VUI of H.264 and of H.265 begins with, alike (ITU-T H.264 E.1.1, H.265 E.2.1). Pure."""

from dataclasses import dataclass, field
from fractions import Fraction

from common.codecs.bits import BitReader

_EXTENDED_SAR = 255
_SAMPLE_ASPECT_RATIOS = (
    (0, 1),  # unspecified
    (1, 1),
    (12, 11),
    (10, 11),
    (16, 11),
    (40, 33),
    (24, 11),
    (20, 11),
    (32, 11),
    (80, 33),
    (18, 11),
    (15, 11),
    (64, 33),
    (160, 99),
    (4, 3),
    (3, 2),
    (2, 1),
)


@dataclass(slots=True)
class Vui:
    """What one tells, as far as it could be read."""

    sar: Fraction = field(default_factory=lambda: Fraction(1))
    full_range: bool = False
    primaries: int = 2  # ISO/IEC 23091-2 code points, 2 = unspecified
    transfer: int = 2
    matrix: int = 2
    fps: Fraction | None = None
    reorder_frames: int | None = None  # H.264's alone


def read_signal(reader: BitReader, vui: Vui) -> None:
    """Read aspect ratio, overscan, signal type, colour, and where chroma lies."""
    if reader.flag():
        vui.sar = read_sar(reader)
    if reader.flag():
        reader.flag()  # overscan_appropriate_flag
    if reader.flag():
        reader.bits(3)  # video_format
        vui.full_range = reader.flag()
        if reader.flag():
            vui.primaries, vui.transfer, vui.matrix = (reader.bits(8) for _ in range(3))
    if reader.flag():
        reader.ue()  # chroma_sample_loc_type_top_field
        reader.ue()  # chroma_sample_loc_type_bottom_field


def read_sar(reader: BitReader) -> Fraction:
    """The sample aspect ratio of a VUI; 1 when unspecified."""
    index = reader.bits(8)
    if index == _EXTENDED_SAR:
        horizontal, vertical = reader.bits(16), reader.bits(16)
    elif index < len(_SAMPLE_ASPECT_RATIOS):
        horizontal, vertical = _SAMPLE_ASPECT_RATIOS[index]
    else:
        horizontal = vertical = 0
    return Fraction(horizontal, vertical) if horizontal and vertical else Fraction(1)
