"""Histograms of stage durations."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.process.stage_times import REPORT_S, WINDOW_S, StageTimes


def test_quantiles_are_told_of_the_stages_that_were_seen() -> None:
    times = StageTimes()
    for milliseconds in range(1, 101):
        times.add("decode", milliseconds / 1000)
    assert list(times.quantiles()) == ["decode"]
    median, p99 = times.quantiles()["decode"]
    assert median == pytest.approx(50, rel=0.13)
    assert p99 == pytest.approx(99, rel=0.13)


def test_what_is_old_is_forgotten() -> None:
    times = StageTimes()
    times.turn(100.0)
    times.add("decode", 1.0)
    times.turn(100.0 + WINDOW_S)
    times.add("decode", 0.001)
    assert times.quantiles()["decode"][1] > 900
    times.turn(100.0 + 2 * WINDOW_S)
    assert times.quantiles()["decode"][1] < 2
    times.turn(100.0 + 3 * WINDOW_S)
    assert times.quantiles() == {}


@settings(max_examples=50)
@given(st.floats(-1, 1e6, allow_nan=False))
def test_any_duration_has_a_bucket(seconds: float) -> None:
    times = StageTimes()
    times.add("decode", seconds)
    median, p99 = times.quantiles()["decode"]
    assert median == p99
    if 0.00002 < seconds < 9:
        assert median == pytest.approx(seconds * 1000, rel=0.13, abs=0.001)


def test_what_is_told_is_counted_anew_every_few_seconds() -> None:
    times = StageTimes()
    times.add("decode", 0.010)
    first = times.reported(50.0)
    times.add("encode:720p", 0.020)
    assert times.reported(50.0 + REPORT_S / 2) is first
    assert set(times.reported(50.0 + REPORT_S)) == {"decode", "encode:720p"}
