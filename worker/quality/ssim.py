"""SSIM and PSNR of two pictures' luma. Pure.

SSIM as in Wang, Bovik, Sheikh, Simoncelli: "Image Quality Assessment: From Error Visibility to
Structural Similarity", 2004, in the form that FFmpeg's filter `ssim` and x264 have: windows of 8x8
samples, all of one weight, each four samples from the next; K1 = 0.01, K2 = 0.03; the mean of all
windows. Columns and rows beyond a multiple of four are in no window. PSNR is over all samples, of
a peak of 255, as FFmpeg's filter `psnr` has it. tests/worker/quality/ compares with both filters.

All sums are of integers, and no call goes to BLAS, which has threads of its own: of 1920x1080 it
takes some 5 ms of one core (`python -m tests.bench quality_live`). Rows are taken in bands, so
that what is in between stays in the cache.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from worker.devices.letterbox import Rectangle

Luma = NDArray[np.uint8]  # (height, width); rows may have padding behind them
Sums = NDArray[np.int32]  # (4, height / 4, width / 4)

MIN_SIDE: Final = 8  # of a picture, in samples: one window
MAX_PSNR_DB: Final = 100.0  # of equal pictures, in place of infinity
_PEAK: Final = 255
_BLOCK: Final = 4
_WINDOW: Final = 64  # samples
_C1: Final = int((0.01 * _PEAK) ** 2 * _WINDOW + 0.5)
_C2: Final = int((0.03 * _PEAK) ** 2 * _WINDOW * (_WINDOW - 1) + 0.5)
_BAND: Final = 64  # rows


@dataclass(frozen=True, slots=True)
class Likeness:
    """How much a coded picture is like what was coded."""

    ssim: float  # 1: the same
    psnr_db: float  # at most MAX_PSNR_DB


def compare(reference: Luma, coded: Luma) -> Likeness:
    """Compare two pictures of one size. Raises ValueError for others, and for tiny ones."""
    if reference.shape != coded.shape or min(reference.shape) < MIN_SIDE:
        raise ValueError(f"pictures of {reference.shape} and {coded.shape} are not compared")
    sums = block_sums(reference, coded)
    return Likeness(ssim_of(sums), psnr_of(_squared_error(sums, reference, coded), coded.size))


def part_of(picture: Luma, place: Rectangle) -> Luma:
    """A view of the part of a frame that shows the source, without its black bars."""
    part: Luma = picture[place.y : place.y + place.height, place.x : place.x + place.width]
    return part


def block_sums(reference: Luma, coded: Luma) -> Sums:
    """By block of 4x4: the sums of a, b, a² + b² and ab."""
    rows, columns = (side // _BLOCK for side in reference.shape)
    sums = np.empty((4, rows, columns), np.int32)
    for begin in range(0, rows * _BLOCK, _BAND):
        end = min(begin + _BAND, rows * _BLOCK)
        a, b = (
            np.ascontiguousarray(picture[begin:end, : columns * _BLOCK], np.uint16)
            for picture in (reference, coded)
        )
        band = sums[:, begin // _BLOCK : end // _BLOCK]
        band[0] = _sum_small(a)
        band[1] = _sum_small(b)
        band[2] = _sum_large(_pairs(a * a) + _pairs(b * b))
        band[3] = _sum_large(_pairs(a * b))
    return sums


def ssim_of(sums: Sums) -> float:
    """The mean over all windows, each of 2x2 blocks."""
    pairs = sums[:, :-1] + sums[:, 1:]
    s1, s2, ss, s12 = pairs[:, :, :-1] + pairs[:, :, 1:]
    product, squares = s1 * s2, s1 * s1 + s2 * s2  # below 2**30, as all that follows
    variances, covariance = ss * _WINDOW - squares, s12 * _WINDOW - product
    windows = (2 * product + _C1).astype(np.float32) * (2 * covariance + _C2)
    windows /= (squares + _C1).astype(np.float32) * (variances + _C2)
    return float(np.mean(windows, dtype=np.float64))


def psnr_of(squared_error: int, samples: int) -> float:
    """In dB, of a sum of squared errors."""
    if squared_error <= 0:
        return MAX_PSNR_DB
    return min(MAX_PSNR_DB, float(10 * np.log10(_PEAK**2 * samples / squared_error)))


def _squared_error(sums: Sums, reference: Luma, coded: Luma) -> int:
    """Of all samples: (a - b)² is a² + b² - 2ab; what is in no block is added."""
    rows, columns = (side * _BLOCK for side in sums.shape[1:])
    error = int(sums[2].sum(dtype=np.int64) - 2 * sums[3].sum(dtype=np.int64))
    for part in (np.s_[rows:], np.s_[:rows, columns:]):
        difference = reference[part].astype(np.int32) - coded[part]
        error += int((difference * difference).sum(dtype=np.int64))
    return error


# Several samples are added at once, as parts of a wider word: there is no carry between them.


def _four_rows(words: NDArray[Any]) -> NDArray[Any]:
    rows = words.reshape(-1, _BLOCK, words.shape[1])
    total: NDArray[Any] = rows[:, 0] + rows[:, 1]
    total += rows[:, 2]
    total += rows[:, 3]
    return total


def _sum_small(samples: NDArray[np.uint16]) -> NDArray[np.uint64]:
    """By block, of samples up to 255."""
    words = _four_rows(samples).view(np.uint64)  # four sums in each
    words = words + (words >> np.uint64(32))
    words += words >> np.uint64(16)
    total: NDArray[np.uint64] = words & np.uint64(0xFFFF)
    return total


def _pairs(products: NDArray[np.uint16]) -> NDArray[np.uint32]:
    """The sums of neighbours, of products up to 255²."""
    words = products.view(np.uint32)
    halves: NDArray[np.uint32] = (words & np.uint32(0xFFFF)) + (words >> np.uint32(16))
    return halves


def _sum_large(pairs: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """By block, of sums of two products."""
    words = _four_rows(pairs).view(np.uint64)
    total: NDArray[np.uint64] = (words & np.uint64(0xFFFFFFFF)) + (words >> np.uint64(32))
    return total
