"""HDR pictures, and what they are as SDR, in float64 numpy. Pure.

The same curves (`worker.devices.tone_mapping.to_sdr`), for each sample, without tables: chroma is
taken to luma's places linearly, and back by a mean, as left-sited chroma has it.
"""

import numpy as np
from numpy.typing import NDArray

from worker.devices.tone_mapping import BT709, to_sdr

Plane = NDArray[np.float64]
# Kr, Kb of the matrices: BT.2020's without constant luminance, and BT.709's.
_WEIGHTS = {9: (0.2627, 0.0593), 1: (0.2126, 0.0722)}


def hdr_picture(width: int, height: int, seed: int = 0) -> tuple[Plane, Plane, Plane]:
    """Y', Cb, Cr of 4:2:0, limited range of 10 bits, in whole numbers: smooth, with highlights."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    luma = 64 + 876 * (0.1 + 0.75 * (0.5 + 0.5 * np.sin(x / 41 + seed) * np.cos(y / 29)))
    cx, cy = x[::2, ::2], y[::2, ::2]
    blue = 512 + 120 * np.sin(cx / 53) * np.cos(cy / 37 + seed)
    red = 512 + 120 * np.cos(cx / 47 + seed) * np.sin(cy / 61)
    return np.rint(luma), np.rint(blue), np.rint(red)


def to_rgb(planes: tuple[Plane, Plane, Plane], matrix: int = 9) -> Plane:
    """R'G'B' from 0 to 1 at luma's places."""
    luma, blue, red = planes
    height, width = luma.shape
    y = (luma - 64) / 876
    cb, cr = ((_to_luma(plane, width, height) - 512) / 896 for plane in (blue, red))
    kr, kb = _WEIGHTS[matrix]
    r = y + 2 * (1 - kr) * cr
    b = y + 2 * (1 - kb) * cb
    g = (y - kr * r - kb * b) / (1 - kr - kb)
    return np.clip(np.stack([r, g, b], axis=-1), 0.0, 1.0)


def sdr_planes(planes: tuple[Plane, Plane, Plane], transfer: int) -> tuple[Plane, Plane, Plane]:
    """Y', Cb, Cr of the SDR picture: BT.709, limited range of 8 bits, not rounded."""
    rgb = to_sdr(to_rgb(planes), transfer)
    kr, kb = _WEIGHTS[BT709]
    y = rgb @ np.array([kr, 1 - kr - kb, kb])
    cb = (rgb[..., 2] - y) / (2 * (1 - kb))
    cr = (rgb[..., 0] - y) / (2 * (1 - kr))
    return 16 + 219 * y, 128 + 224 * _to_chroma(cb), 128 + 224 * _to_chroma(cr)


def _to_luma(plane: Plane, width: int, height: int) -> Plane:
    """Chroma at luma's places: columns lie on every second of luma's, rows midway."""
    columns = np.arange(width) / 2
    rows = (np.arange(height) - 0.5) / 2
    wide = np.stack([np.interp(columns, np.arange(plane.shape[1]), row) for row in plane])
    return np.stack(
        [np.interp(rows, np.arange(plane.shape[0]), column) for column in wide.T], axis=1
    )


def _to_chroma(plane: Plane) -> Plane:
    """The mean of the two rows, and of three columns weighted 1, 2, 1."""
    rows = (plane[::2] + plane[1::2]) / 2
    padded = np.pad(rows, ((0, 0), (1, 1)), mode="edge")
    return (padded[:, :-2:2] + 2 * padded[:, 1:-1:2] + padded[:, 2::2]) / 4
