"""The scaler in float64 numpy: what the kernel's pictures are compared with. Pure.

The same filter (`filters.py`), plane by plane, without fixed point and without tiles.
"""

import numpy as np
from numpy.typing import NDArray

from worker.devices.gpu.filters import AxisTable, chroma_columns, luma_axis
from worker.devices.gpu.plan import Fit, black_luma

BLACK_CHROMA = 128


def scale_nv12(
    source: NDArray[np.generic], height: int, fit: Fit, *, full_range: bool = False
) -> NDArray[np.float64]:
    """One NV12 frame, shape (height * 3 // 2, width), fitted into a frame; not rounded.

    Black bars stand around the picture, as `fit` says.
    """
    width = source.shape[1]
    rows = height // 2
    luma = source[:height].astype(np.float64)
    chroma = source[height : height + rows].reshape(rows, width // 2, 2).astype(np.float64)
    picture_rows = fit.picture_height // 2
    picture_columns = fit.picture_width // 2
    scaled_luma = _resample(
        luma, luma_axis(height, fit.picture_height), luma_axis(width, fit.picture_width)
    )
    row_table = luma_axis(rows, picture_rows)
    column_table = chroma_columns(width // 2, picture_columns)
    scaled_chroma = np.stack(
        [_resample(chroma[:, :, c], row_table, column_table) for c in range(2)], axis=2
    )

    frame = np.empty((fit.height * 3 // 2, fit.width))
    frame[: fit.height] = black_luma(full_range)
    frame[fit.height :] = BLACK_CHROMA
    x, y = fit.picture_x, fit.picture_y
    frame[y : y + fit.picture_height, x : x + fit.picture_width] = scaled_luma
    top = fit.height + y // 2
    frame[top : top + picture_rows, x : x + fit.picture_width] = scaled_chroma.reshape(
        picture_rows, fit.picture_width
    )
    return np.clip(frame, 0.0, 255.0)


def ssim(a: NDArray[np.generic], b: NDArray[np.generic]) -> float:
    """Structural similarity of two planes of 8 bits, in windows of 8x8 that do not overlap."""
    rows, columns = (side // 8 * 8 for side in a.shape)
    shape = (rows // 8, 8, columns // 8, 8)
    x, y = (plane[:rows, :columns].astype(np.float64).reshape(shape) for plane in (a, b))
    mean_x, mean_y = x.mean((1, 3)), y.mean((1, 3))
    var_x, var_y = x.var((1, 3)), y.var((1, 3))
    both = (x * y).mean((1, 3)) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    found = ((2 * mean_x * mean_y + c1) * (2 * both + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    )
    return float(found.mean())


def psnr(a: NDArray[np.generic], b: NDArray[np.generic]) -> float:
    """Peak signal to noise in dB for 8-bit samples; infinite when equal."""
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return float("inf") if error == 0 else float(10 * np.log10(255.0**2 / error))


def _resample(
    plane: NDArray[np.float64], rows: AxisTable, columns: AxisTable
) -> NDArray[np.float64]:
    return _resample_rows(_resample_rows(plane, rows).T, columns).T


def _resample_rows(plane: NDArray[np.float64], table: AxisTable) -> NDArray[np.float64]:
    out = np.zeros((len(table.first), plane.shape[1]))
    for tap in range(table.taps):
        out += table.weights[:, tap, None] * plane[table.first + tap]
    return out
