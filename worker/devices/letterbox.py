"""Where a picture lies in a rendition's frame when the source has changed its size.

The frame keeps its size for the whole session (docs/architecture.md), so a source that
changes its size is fitted anew into it: aspect kept, centred, enlarged if need be. Pure.
"""

from dataclasses import dataclass
from fractions import Fraction

from common.config.ladder import RenditionFormat, SourceFormat, display_size


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A part of a frame, in luma samples, all even."""

    x: int
    y: int
    width: int
    height: int


def rendition_picture(rendition: RenditionFormat) -> Rectangle:
    """The rectangle that the ladder gave the rendition."""
    return Rectangle(
        rendition.picture_x, rendition.picture_y, rendition.picture_width, rendition.picture_height
    )


def fit_picture(source: SourceFormat, width: int, height: int) -> Rectangle:
    """The rectangle of `source` in a frame of `width` x `height` (both even).

    As `common.config.ladder` does it: one sample row or column of rounding is no letterbox.
    """
    display_width, display_height = display_size(source)
    scale = min(width / display_width, height / display_height)
    picture_width = _side(display_width * scale, width)
    picture_height = _side(display_height * scale, height)
    return Rectangle(
        (width - picture_width) // 4 * 2,
        (height - picture_height) // 4 * 2,
        picture_width,
        picture_height,
    )


def _side(wanted: Fraction, side: int) -> int:
    even = min(side, max(2, round(wanted / 2) * 2))
    return side if side - even <= 2 else even
