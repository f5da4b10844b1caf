import numpy as np
import pytest

from worker.devices.gpu.filters import (
    MAX_STRETCH,
    ROW_SCALE,
    chroma_columns,
    even_taps,
    fixed_point,
    luma_axis,
)

AXES = [(1080, 720), (1920, 854), (1920, 640), (720, 720), (360, 480), (16, 2), (9, 3), (4096, 16)]


@pytest.mark.parametrize(("source", "target"), AXES)
def test_windows_lie_in_the_source_and_weights_sum_to_one(source: int, target: int) -> None:
    for table in (luma_axis(source, target), chroma_columns(source, target)):
        assert len(table.first) == target
        assert (table.first >= 0).all()
        assert (table.first + table.taps <= source).all()
        assert (np.diff(table.first) >= 0).all()
        assert np.allclose(table.weights.sum(axis=1), 1)


@pytest.mark.parametrize(("source", "target"), AXES)
def test_even_taps_change_nothing_but_the_layout(source: int, target: int) -> None:
    table = luma_axis(source, target)
    even = even_taps(table, source)
    assert even.taps % 2 == 0
    assert (even.first >= 0).all()
    assert (even.first + even.taps <= source).all()
    if table.taps < source:
        signal = np.random.default_rng(1).random(source)
        made = [
            (row.weights * signal[row.first[:, None] + np.arange(row.taps)]).sum(axis=1)
            for row in (table, even)
        ]
        assert np.allclose(*made)


@pytest.mark.parametrize(("source", "target"), AXES)
def test_fixed_point_keeps_a_flat_picture_flat(source: int, target: int) -> None:
    table = even_taps(luma_axis(source, target), source)
    fixed = fixed_point(table.weights)
    assert (fixed.astype(np.int64).sum(axis=1) == ROW_SCALE).all()
    assert np.abs(fixed / ROW_SCALE - table.weights).max() < 0.001


def test_the_same_size_copies() -> None:
    table = luma_axis(64, 64)
    weights = np.zeros((64, 64))
    for tap in range(table.taps):
        weights[np.arange(64), table.first + tap] += table.weights[:, tap]
    assert np.allclose(weights, np.eye(64))


def test_a_slope_stays_a_slope() -> None:
    for ratio_source, target in ((300, 200), (900, 300), (200, 400)):
        table = luma_axis(ratio_source, target)
        ramp = np.arange(ratio_source, dtype=float) + 0.5
        made = (table.weights * ramp[table.first[:, None] + np.arange(table.taps)]).sum(axis=1)
        wanted = (np.arange(target) + 0.5) * ratio_source / target
        inner = slice(target // 10, -target // 10)
        assert np.allclose(made[inner], wanted[inner], atol=0.02)


def test_chroma_is_left_sited() -> None:
    """A chroma slope over luma positions 2k is a slope over 2k in the target too."""
    source, target = 960, 320
    table = chroma_columns(source, target)
    luma_of_source = 2.0 * np.arange(source) + 0.5  # from the left edge of luma sample 0
    at = table.first[:, None] + np.arange(table.taps)
    made = (table.weights * luma_of_source[at]).sum(axis=1)
    wanted = (2.0 * np.arange(target) + 0.5) * source / target
    assert np.allclose(made[20:-20], wanted[20:-20], atol=0.02)


def test_antialiasing_widens_with_the_ratio_up_to_a_limit() -> None:
    assert luma_axis(1080, 720).taps == 6
    assert luma_axis(1080, 360).taps == 12
    assert luma_axis(4096, 16).taps <= 4 * MAX_STRETCH + 1


def test_an_empty_axis_is_refused() -> None:
    with pytest.raises(ValueError, match="axis of 0"):
        luma_axis(0, 10)
