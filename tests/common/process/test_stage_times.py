"""Histograms of stage durations."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.process.stage_times import (
    DELAY_BOUNDS_S,
    REPORT_S,
    WINDOW_S,
    DelayCounts,
    StageDelays,
    StageTimes,
)


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


def test_delays_are_those_of_all_streams_and_are_never_forgotten() -> None:
    delays = StageDelays()
    one, other = StageTimes(delays), StageTimes(delays)
    one.turn(0.0)
    one.add("decode", 0.010)
    other.add("decode", 0.010)
    one.turn(WINDOW_S)
    one.turn(2 * WINDOW_S)
    one.add("decode", 7.0)
    (found,) = delays.counts().values()
    assert found.counts[DELAY_BOUNDS_S.index(0.010)] == 2  # a bound is in its bucket
    assert found.counts[-1] == 1
    assert sum(found.counts) == 3
    assert found.seconds == pytest.approx(7.02, rel=1 / 16)


@given(st.lists(st.floats(0.0001, 9.0), min_size=1, max_size=20))
def test_each_duration_is_in_the_bucket_of_its_bounds(durations: list[float]) -> None:
    delays = StageDelays()
    times = StageTimes(delays)
    for seconds in durations:
        times.add("decode", seconds)
    bounds = (0.0, *DELAY_BOUNDS_S, float("inf"))
    # in ms, as they are counted: a product may be rounded over a bound
    wanted = [
        sum(low * 1000 < seconds * 1000 <= high * 1000 for seconds in durations)
        for low, high in pairwise(bounds)
    ]
    found = delays.counts()["decode"]
    assert list(found.counts) == wanted
    assert found.seconds == pytest.approx(sum(durations), rel=1 / 16)


def test_delays_are_reported_every_few_seconds() -> None:
    delays = StageDelays()
    times = StageTimes(delays)
    assert delays.reported(50.0) == {}
    times.add("decode", 0.010)
    assert delays.reported(50.0 + REPORT_S / 2) == {}
    reported = delays.reported(50.0 + REPORT_S)
    assert reported == {"decode": delays.counts()["decode"]}
    assert isinstance(reported["decode"], DelayCounts)
