"""A picture and a ladder's renditions to one kernel launch: tiles, tables, arguments. Pure.

A launch makes every plane of every wanted rendition. A warp makes one tile of one plane, a block a
few tiles one above the other: rows are filtered first, straight from the decoded frame (8 columns a
thread, integers), into shared memory; columns after that. Widths and columns are counted in bytes,
so that interleaved chroma is a plane like luma, with steps of two. A tile is as wide as 32 threads
reach in the source. Planes that shrink most have the heaviest tiles and go first.

`LAUNCH` and `PLANE` mirror the structs of `scale.cu`, field by field; the launch struct goes to the
kernel by value, the tables once a plan into device memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.devices.gpu.filters import AxisTable, chroma_columns, even_taps, fixed_point, luma_axis
from worker.devices.letterbox import Rectangle

THREADS = 128
TILE_ROWS = 8  # of a warp
BLOCK_ROWS = TILE_ROWS * THREADS // 32
MAX_RENDITIONS = 16  # in one launch
MIN_SIDE = 16  # of a picture; NVDEC makes none smaller
MAX_RATIO = 256  # source samples a target sample; NVDEC ends at 4096, renditions begin at 16
_CHUNK = 8  # source bytes of a thread
_THREAD_BYTES = 32 * _CHUNK  # what a warp reaches in one go
_COLUMN_BYTES = 16  # a column's 8 rows as halves, in shared memory
_MAX_TILE_BYTES = 256
_TILE_STEP = 8
_PITCH_ALIGNMENT = 256

PLANE = np.dtype(
    [
        (name, np.int32)
        for name in (
            "slot",  # index of the rendition among the launch's targets
            "is_chroma",
            "width",  # of the frame's plane, bytes
            "height",
            "pitch",  # of the target
            "offset",  # of the plane in the target
            "picture_x",  # where the picture lies in the plane, bytes and rows
            "picture_y",
            "picture_width",
            "picture_height",
            "tile_width",  # bytes
            "tiles_x",
            "source_width",  # bytes
            "source_height",
            "rows",  # the tables, as offsets in 4-byte words: a record a row …
            "row_pairs",
            "samples",  # … and one a sample of a row
            "taps",
            "black",
        )
    ],
    align=True,
)

LAUNCH = np.dtype(
    [
        ("luma", np.uint64),
        ("chroma", np.uint64),
        ("table", np.uint64),
        ("targets", np.uint64, (MAX_RENDITIONS,)),
        ("pitch", np.int32),
        ("plane_count", np.int32),
        ("warp_columns", np.int32),  # of shared memory, for each warp
        ("reserved", np.int32),
        ("first_block", np.int32, (2 * MAX_RENDITIONS,)),
        ("planes", PLANE, (2 * MAX_RENDITIONS,)),
    ],
    align=True,
)


@dataclass(frozen=True, slots=True)
class Fit:
    """A target frame and where the picture lies in it; all even."""

    width: int
    height: int
    picture_x: int
    picture_y: int
    picture_width: int
    picture_height: int

    @classmethod
    def of(cls, width: int, height: int, picture: Rectangle) -> "Fit":
        return cls(width, height, picture.x, picture.y, picture.width, picture.height)


@dataclass(frozen=True, slots=True)
class PicturePlan:
    """What stays the same from frame to frame: a picture's format and the renditions made of it."""

    launch: NDArray[np.void]  # shape (1,), LAUNCH; the pointers are still 0
    table: NDArray[np.int32]
    blocks: int
    shared_bytes: int


def black_luma(full_range: bool) -> int:
    return 0 if full_range else 16


def target_pitch(width: int) -> int:
    """Bytes from row to row of a target frame."""
    return -(-width // _PITCH_ALIGNMENT) * _PITCH_ALIGNMENT


def plan_picture(
    width: int, height: int, fits: Sequence[Fit], *, full_range: bool = False
) -> PicturePlan:
    """The launch that makes `fits` of pictures of `width` x `height` (even) luma samples.

    Raises ValueError for sizes that are odd, too many renditions, or an absurd ratio.
    """
    if not 1 <= len(fits) <= MAX_RENDITIONS:
        raise ValueError(
            f"{len(fits)} renditions in one launch, 1 to {MAX_RENDITIONS} are possible"
        )
    if width % 2 or height % 2 or min(width, height) < MIN_SIDE:
        raise ValueError(f"picture of {width}x{height}: even sizes from {MIN_SIDE} on are needed")
    table = _TableBuilder()
    planes: list[tuple[int, dict[str, int]]] = []
    for slot, fit in enumerate(fits):
        planes.append(_plane(table, slot, fit, width, height, False, black_luma(full_range)))
        planes.append(_plane(table, slot, fit, width, height, True, 128))
    planes.sort(key=lambda entry: -entry[1]["row_pairs"])

    launch = np.zeros(1, LAUNCH)
    block = 0
    for index, (_, fields) in enumerate(planes):
        launch["first_block"][0, index] = block
        for name, value in fields.items():
            launch["planes"][name][0, index] = value
        block += fields["tiles_x"] * -(-fields["height"] // BLOCK_ROWS)
    launch["plane_count"] = len(planes)
    columns = max(9 * chunks for chunks, _ in planes)
    launch["warp_columns"] = columns
    return PicturePlan(launch, table.words(), block, columns * _COLUMN_BYTES * THREADS // 32)


def _plane(
    table: "_TableBuilder",
    slot: int,
    fit: Fit,
    width: int,
    height: int,
    is_chroma: bool,
    black: int,
) -> tuple[int, dict[str, int]]:
    """The chunks of its widest tile, and the fields of its struct."""
    half = 2 if is_chroma else 1
    rows = even_taps(luma_axis(height // half, fit.picture_height // half), height // half)
    axis = chroma_columns if is_chroma else luma_axis
    columns = even_taps(axis(width // half, fit.picture_width // half), width // half)
    if max(width / fit.picture_width, height / fit.picture_height) > MAX_RATIO:
        raise ValueError(
            f"{width}x{height} to {fit.picture_width}x{fit.picture_height}: "
            f"more than {MAX_RATIO} samples to one"
        )
    tile, chunks = _tile(fit, columns, half, width)
    pitch = target_pitch(fit.width)
    return chunks, {
        "slot": slot,
        "is_chroma": int(is_chroma),
        "width": fit.width,
        "height": fit.height // half,
        "pitch": pitch,
        "offset": pitch * fit.height if is_chroma else 0,
        "picture_x": fit.picture_x,
        "picture_y": fit.picture_y // half,
        "picture_width": fit.picture_width,
        "picture_height": fit.picture_height // half,
        "tile_width": tile,
        "tiles_x": -(-fit.width // tile),
        "source_width": width,
        "source_height": height // half,
        "rows": table.add(_records(rows.first, fixed_point(rows.weights))),
        "row_pairs": rows.taps // 2,
        "samples": table.add(_records(columns.first, columns.weights.astype(np.float16))),
        "taps": columns.taps,
        "black": black,
    }


def _records(
    first: NDArray[np.int32], weights: NDArray[np.int16] | NDArray[np.float16]
) -> NDArray[np.int32]:
    """For each target its first source sample and its weights of 2 bytes, padded to 16 bytes."""
    words = np.ascontiguousarray(weights).view(np.int32)
    records = np.zeros((len(first), (words.shape[1] + 4) // 4 * 4), np.int32)
    records[:, 0] = first
    records[:, 1 : 1 + words.shape[1]] = words
    return records


def _tile(fit: Fit, columns: AxisTable, step: int, source_width: int) -> tuple[int, int]:
    """The width of a plane's tiles in bytes, and the source chunks that the widest one needs.

    The widest that a warp's threads reach, made even over the row; where even the narrowest needs
    more, threads take several chunks.
    """
    for tile in (*range(_MAX_TILE_BYTES, 0, -_TILE_STEP), 4, 2):
        chunks = _chunks(fit, columns, step, source_width, tile)
        if chunks <= 32:
            break
    tiles = -(-fit.width // tile)
    even = -(-fit.width // tiles)
    tile = min(tile, -(-even // _TILE_STEP) * _TILE_STEP)
    return tile, _chunks(fit, columns, step, source_width, tile)


def _chunks(fit: Fit, columns: AxisTable, step: int, source_width: int, tile: int) -> int:
    """Source chunks of the widest tile: the kernel's own sums, for every tile of a row."""
    begin = np.arange(0, fit.width, tile)
    end = np.minimum(begin + tile, fit.picture_x + fit.picture_width) - fit.picture_x
    begin = np.maximum(begin, fit.picture_x) - fit.picture_x
    begin, end = begin[begin < end], end[begin < end]
    low = columns.first[begin // step] * step // _CHUNK * _CHUNK
    high = np.minimum((columns.first[(end - 1) // step] + columns.taps) * step, source_width)
    return int((-(-(high - low) // _CHUNK)).max())


class _TableBuilder:
    """Joins tables into one array of 4-byte words."""

    def __init__(self) -> None:
        self._parts: list[NDArray[np.int32]] = []
        self._size = 0

    def add(self, part: NDArray[Any]) -> int:
        """The offset of `part`, a multiple of 16 bytes."""
        flat = part.reshape(-1).view(np.int32)
        at = self._size
        padded = np.zeros(-(-len(flat) // 4) * 4, np.int32)
        padded[: len(flat)] = flat
        self._parts.append(padded)
        self._size += len(padded)
        return at

    def words(self) -> NDArray[np.int32]:
        return np.concatenate(self._parts)
