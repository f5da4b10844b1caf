"""Luma in host memory, kept for a comparison."""

import numpy as np
import pytest

from worker.devices.letterbox import Rectangle
from worker.quality.kept_luma import HostLuma
from worker.quality.ssim import Likeness


def test_black_bars_are_not_compared() -> None:
    frame = np.full((64, 96), 16, np.uint8)
    frame[8:56] = np.arange(96, dtype=np.uint8)
    coded = frame.copy()
    coded[:8] = 200  # only the bar differs
    place = Rectangle(0, 8, 96, 48)
    assert HostLuma(frame).compare(coded, place) == Likeness(1.0, 100.0)
    assert HostLuma(frame).compare(coded, Rectangle(0, 0, 96, 64)).ssim < 0.95


def test_pictures_of_other_sizes_are_refused() -> None:
    luma = HostLuma(np.zeros((64, 96), np.uint8))
    with pytest.raises(ValueError, match="for one of"):
        luma.compare(np.zeros((64, 98), np.uint8), Rectangle(0, 0, 96, 64))
