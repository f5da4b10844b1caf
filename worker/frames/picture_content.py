"""Whether a source's pictures are black, or stand still, by a coarse grid of their luma. Pure.

A grid has `ROWS` x `COLUMNS` samples of one picture, looked at once a second of stream time: of a
black picture nearly all are black, of a still one none changes by more than coding it anew does.
"""

from typing import Final

ROWS: Final = 16
COLUMNS: Final = 32
EVERY_MS: Final = 1_000
BLACK: Final = 32  # luma, 16 in limited range: a covered lens has some noise
BLACK_SHARE: Final = 0.98  # of the samples: a clock or a logo may be shown
SAME: Final = 6  # luma: what a keyframe that is coded anew changes in a sample, at most …
SAME_MEAN: Final = 0.75  # … and on average: a camera's noise is more


class PictureContent:
    """Of one source. Read `black_ms` and `still_ms` from any thread."""

    def __init__(self) -> None:
        self.black_ms = 0  # of stream time, so far
        self.still_ms = 0
        self._last_ms: int | None = None  # of the last look
        self._began_ms = 0  # when the picture was last another one
        self._black_since_ms: int | None = None
        self._shown: bytes = b""  # the grid that the picture stands still at

    def is_due(self, pts_ms: int) -> bool:
        """Whether to look at this picture."""
        last_ms = self._last_ms
        return last_ms is None or not 0 <= pts_ms - last_ms < EVERY_MS

    def look(self, grid: bytes | None, pts_ms: int) -> None:
        """Take a picture's grid; None where there is none."""
        last_ms, self._last_ms = self._last_ms, pts_ms
        if grid is None or (last_ms is not None and pts_ms < last_ms):
            self._restart()
            return
        if not self._shown or not is_same(grid, self._shown):
            self._shown, self._began_ms = grid, pts_ms
        self.still_ms = pts_ms - self._began_ms
        if not is_black(grid):
            self._black_since_ms = None
        elif self._black_since_ms is None:
            self._black_since_ms = pts_ms
        black_since_ms = self._black_since_ms
        self.black_ms = pts_ms - black_since_ms if black_since_ms is not None else 0

    def _restart(self) -> None:
        self.black_ms = self.still_ms = 0
        self._black_since_ms, self._shown = None, b""


def is_black(grid: bytes) -> bool:
    """Whether nearly all samples are black."""
    dark = sum(sample <= BLACK for sample in grid)
    return dark >= BLACK_SHARE * len(grid)


def is_same(grid: bytes, other: bytes) -> bool:
    """Whether it is the same picture, coded anew perhaps."""
    if grid == other:
        return True
    if len(grid) != len(other):
        return False
    apart = [abs(a - b) for a, b in zip(grid, other, strict=True)]
    return max(apart) <= SAME and sum(apart) <= SAME_MEAN * len(apart)


def grid_of(rows: "memoryview | bytes", pitch: int, width: int, height: int) -> bytes:
    """The grid of a plane of 8-bit luma whose rows are `pitch` bytes apart."""
    step, first = max(1, width // COLUMNS), width // COLUMNS // 2
    found = bytearray()
    for row in range(ROWS):
        begin = (2 * row + 1) * height // (2 * ROWS) * pitch
        found += bytes(rows[begin + first : begin + width : step][:COLUMNS])
    return bytes(found)
