"""Where the scaled pictures of one session lie in its pool. Pure.

A picture is NV12: rows of luma, then of chroma, `pitch` bytes each. Every rendition has the same
number of places, so that the pool is bounded by the session's opening: a picture that finds no
place free waits for one, or is dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

PITCH_BYTES: Final = 256  # what a row's length is a multiple of; the GPU's scaler wants it
# Of a rendition: those that may wait for its encoder (`SURFACE_BACKLOG`), and what one call of a
# decoder may give beyond them.
PICTURES: Final = 8
MAX_POOL_BYTES: Final = 2 * 1024**3
MAX_PICTURES: Final = 64
MAX_SIDE: Final = 16_384


@dataclass(frozen=True, slots=True)
class Places:
    """The places of one rendition's pictures."""

    width: int
    height: int
    pitch: int
    offset: int  # of the first place

    @property
    def size(self) -> int:
        """Bytes of one picture."""
        return self.height * 3 // 2 * self.pitch

    def at(self, slot: int) -> int:
        """The offset of a place."""
        return self.offset + slot * self.size


@dataclass(frozen=True, slots=True)
class PoolLayout:
    """A whole pool."""

    renditions: tuple[Places, ...]
    pictures: int  # places a rendition
    size: int


def lay_out(sizes: Sequence[tuple[int, int]], pictures: int = PICTURES) -> PoolLayout:
    """Places for renditions of these widths and heights, which are even."""
    places, at = [], 0
    for width, height in sizes:
        place = Places(width, height, -(-width // PITCH_BYTES) * PITCH_BYTES, at)
        places.append(place)
        at += pictures * place.size
    return PoolLayout(tuple(places), pictures, at)


def problem(renditions: Sequence[Places], pictures: int, size: int) -> str:
    """What is wrong with places that another process names in a pool of `size` bytes; "" if none.

    Whoever takes them as they are reads beyond the memory's end.
    """
    if not 0 < pictures <= MAX_PICTURES:
        return f"{pictures} pictures a rendition"
    for place in renditions:
        width, height = place.width, place.height
        is_even = width % 2 == height % 2 == 0
        if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and is_even):
            return f"pictures of {width}x{height}"
        if not width <= place.pitch <= 2 * MAX_SIDE:
            return f"rows of {place.pitch} bytes for {width} samples"
        if place.offset < 0 or place.at(pictures) > size:
            return f"pictures up to {place.at(pictures)} in a pool of {size} bytes"
    return ""
