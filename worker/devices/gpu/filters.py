"""The resampling filter as tables: which source samples make a target sample, with what weights.

Catmull-Rom bicubic (a = -0.5), stretched by the ratio where the picture shrinks, so that every
source sample counts (antialiasing); at the borders the window is cut and its weights normalised.
Luma is aligned by centres. Chroma columns are left-sited, as H.264's default has it (chroma sample
k lies on luma column 2k; table E-3, type 0), chroma rows lie midway.

Pure. `reference.py` and the kernel's tables (`plan.py`) are both made from these.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

MAX_STRETCH = 32.0  # beyond this ratio source samples are skipped: nobody looks at such a picture
ROW_SCALE_BITS = 14
ROW_SCALE = 1 << ROW_SCALE_BITS  # row weights are integers, each row's sum is exactly this


@dataclass(frozen=True, slots=True)
class AxisTable:
    """One axis: target sample i is the sum of weights[i, t] * source[first[i] + t] over t."""

    first: NDArray[np.int32]  # shape (target,), grows
    weights: NDArray[np.float64]  # shape (target, taps), rows sum to 1

    @property
    def taps(self) -> int:
        return int(self.weights.shape[1])


def luma_axis(source: int, target: int) -> AxisTable:
    """The table of a luma axis, or of chroma rows, given in their own samples."""
    return _axis_table(source, target, 0.0)


def chroma_columns(source: int, target: int) -> AxisTable:
    """The table of left-sited chroma columns; sizes in chroma samples."""
    return _axis_table(source, target, 0.25 * (1.0 - source / target))


def catmull_rom(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The kernel of width 4 with a = -0.5."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


@lru_cache(maxsize=256)
def _axis_table(source: int, target: int, shift: float) -> AxisTable:
    if source < 1 or target < 1:
        raise ValueError(f"axis of {source} to {target} samples")
    ratio = source / target
    stretch = min(max(ratio, 1.0), MAX_STRETCH)
    # Positions count from the left edge of sample 0, so that sample k's centre is k + 0.5.
    centres = (np.arange(target) + 0.5) * ratio + shift
    begin = np.clip(np.floor(centres - 2.0 * stretch + 0.5).astype(np.int64), 0, source - 1)
    end = np.clip(np.floor(centres + 2.0 * stretch + 0.5).astype(np.int64), begin + 1, source)
    taps = int((end - begin).max())
    # A window cut at the far border begins earlier, with zero weights, so that all are as long.
    first = np.minimum(begin, source - taps)
    at = first[:, None] + np.arange(taps)
    inside = (at >= begin[:, None]) & (at < end[:, None])
    weights = np.where(inside, catmull_rom((at + 0.5 - centres[:, None]) / stretch), 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    table = AxisTable(first.astype(np.int32), weights)
    table.first.setflags(write=False)
    table.weights.setflags(write=False)
    return table


def even_taps(table: AxisTable, source: int) -> AxisTable:
    """The same with an even count of taps, no window reaching beyond the `source` samples.

    (Where all of an odd number of samples are taps, the window's last one is given up.)
    """
    taps = min(table.taps + table.taps % 2, source // 2 * 2)
    first = np.minimum(table.first, source - taps)
    weights = np.zeros((len(first), taps))
    targets = np.arange(len(first))
    for tap in range(table.taps):
        at = table.first - first + tap
        inside = at < taps
        weights[targets[inside], at[inside]] = table.weights[inside, tap]
    weights /= weights.sum(axis=1, keepdims=True)
    return AxisTable(first.astype(np.int32), weights)


def fixed_point(weights: NDArray[np.float64]) -> NDArray[np.int16]:
    """Weights in units of 1 / ROW_SCALE, each target's sum kept exactly.

    What rounding leaves over goes to the largest one.
    """
    scaled = np.rint(weights * ROW_SCALE).astype(np.int32)
    largest = np.abs(scaled).argmax(axis=1)
    scaled[np.arange(len(scaled)), largest] += ROW_SCALE - scaled.sum(axis=1)
    return scaled.astype(np.int16)
