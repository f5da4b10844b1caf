"""From a picture and the rungs of a ladder to one kernel launch: tiles, tables, arguments. Pure.

A launch makes every plane of every wanted rung. A block makes one tile of one plane: its rows are
filtered first, straight from the decoded frame (8 columns a thread, integers), into shared memory;
its columns after that. Widths and columns are counted in bytes, so that interleaved chroma is a
plane like luma, with steps of two. Planes that shrink most have the heaviest tiles and go first.

`LAUNCH` and `PLANE` mirror the structs of `scale.cu`, field by field; the launch struct goes to the
kernel by value, the tables once a plan into device memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.gpu.filters import AxisTable, chroma_columns, luma_axis, row_weights
from worker.letterbox import Rectangle

THREADS = 128
TILE_ROWS = 16
MAX_RUNGS = 16  # in one launch
MAX_RATIO = 256  # source samples a target sample; NVDEC ends at 4096, rungs begin at 16
_MAX_TILE_BYTES = 128
_TILE_COLUMNS = 300  # source columns a tile should not exceed, for shared memory's sake
_PITCH_ALIGNMENT = 256

PLANE = np.dtype(
    [
        (name, np.int32)
        for name in (
            "slot",  # index of the rung among the launch's targets
            "is_chroma",
            "width",  # of the frame's plane, bytes
            "height",
            "pitch",  # of the target
            "offset",  # of the plane in the target
            "picture_x",  # where the picture lies in the plane, bytes and rows
            "picture_y",
            "picture_width",
            "picture_height",
            "tile_shift",  # log2 of the tile's width in bytes
            "tiles_x",
            "source_width",  # bytes
            "source_height",
            "row_first",  # the tables, as offsets in 4-byte words
            "row_weights",
            "row_pairs",
            "column_first",
            "column_weights",
            "column_taps",
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
        ("targets", np.uint64, (MAX_RUNGS,)),
        ("pitch", np.int32),
        ("plane_count", np.int32),
        ("first_block", np.int32, (2 * MAX_RUNGS,)),
        ("planes", PLANE, (2 * MAX_RUNGS,)),
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
    """What stays the same from frame to frame: a picture's format and the rungs made of it."""

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

    Raises ValueError for sizes that are odd, too many rungs, or an absurd ratio.
    """
    if not 1 <= len(fits) <= MAX_RUNGS:
        raise ValueError(f"{len(fits)} rungs in one launch, 1 to {MAX_RUNGS} are possible")
    if width % 2 or height % 2 or width < 2 or height < 2:
        raise ValueError(f"picture of {width}x{height}: NV12 has even sizes")
    table = _TableBuilder()
    planes: list[tuple[float, dict[str, int]]] = []
    for slot, fit in enumerate(fits):
        planes.append(_plane(table, slot, fit, width, height, False, black_luma(full_range)))
        planes.append(_plane(table, slot, fit, width, height, True, 128))
    planes.sort(key=lambda entry: -entry[0])

    launch = np.zeros(1, LAUNCH)
    block = 0
    shared = 0
    for index, (_, fields) in enumerate(planes):
        launch["first_block"][0, index] = block
        for name, value in fields.items():
            launch["planes"][name][0, index] = value
        block += fields["tiles_x"] * -(-fields["height"] // TILE_ROWS)
        shared = max(shared, _shared_bytes(fields, table))
    launch["plane_count"] = len(planes)
    return PicturePlan(launch, table.words(), block, shared)


def _plane(
    table: "_TableBuilder",
    slot: int,
    fit: Fit,
    width: int,
    height: int,
    is_chroma: bool,
    black: int,
) -> tuple[float, dict[str, int]]:
    half = 2 if is_chroma else 1
    rows = luma_axis(height // half, fit.picture_height // half)
    columns = (chroma_columns if is_chroma else luma_axis)(width // half, fit.picture_width // half)
    ratio = width / fit.picture_width
    steepness = ratio * height / fit.picture_height
    if max(ratio, height / fit.picture_height) > MAX_RATIO:
        raise ValueError(
            f"{width}x{height} to {fit.picture_width}x{fit.picture_height}: "
            f"more than {MAX_RATIO} samples to one"
        )
    tile = _MAX_TILE_BYTES
    while tile > 2 and tile * ratio + columns.taps * half > _TILE_COLUMNS:
        tile //= 2
    pitch = target_pitch(fit.width)
    weights = row_weights(rows)
    return steepness, {
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
        "tile_shift": tile.bit_length() - 1,
        "tiles_x": -(-fit.width // tile),
        "source_width": width,
        "source_height": height // half,
        "row_first": table.add(rows.first),
        "row_weights": table.add(np.ascontiguousarray(weights).view(np.int32)),
        "row_pairs": weights.shape[1] // 2,
        "column_first": table.add(columns.first),
        "column_weights": table.add(_tap_major(columns).view(np.int32)),
        "column_taps": columns.taps,
        "black": black,
    }


def _tap_major(columns: AxisTable) -> NDArray[np.float32]:
    """Weights by tap, then by target sample: neighbouring threads read neighbouring words."""
    return np.ascontiguousarray(columns.weights.T, np.float32)


def _shared_bytes(fields: dict[str, int], table: "_TableBuilder") -> int:
    """What the widest tile of a plane needs: the kernel's own sums, for every tile."""
    tile = 1 << fields["tile_shift"]
    step = 2 if fields["is_chroma"] else 1
    first = table.at(fields["column_first"], fields["picture_width"] // step)
    picture_end = fields["picture_x"] + fields["picture_width"]
    widest = 0
    for x in range(0, fields["width"], tile):
        begin = max(x, fields["picture_x"])
        end = min(x + tile, picture_end)
        if begin >= end:
            continue
        low = int(first[(begin - fields["picture_x"]) // step]) * step // 8 * 8
        last = int(first[(end - 1 - fields["picture_x"]) // step])
        high = min((last + fields["column_taps"]) * step, fields["source_width"])
        widest = max(widest, -(-(high - low) // 8) * 9)
    return widest * TILE_ROWS * 4


class _TableBuilder:
    """Joins tables into one array of 4-byte words."""

    def __init__(self) -> None:
        self._parts: list[NDArray[np.int32]] = []
        self._size = 0

    def add(self, part: NDArray[Any]) -> int:
        """The offset of `part`."""
        flat = part.reshape(-1).view(np.int32)
        at = self._size
        self._parts.append(flat)
        self._size += len(flat)
        return at

    def at(self, offset: int, count: int) -> NDArray[np.int32]:
        at = 0
        for part in self._parts:
            if at == offset:
                return part[:count]
            at += len(part)
        raise KeyError(offset)

    def words(self) -> NDArray[np.int32]:
        return np.concatenate(self._parts)
