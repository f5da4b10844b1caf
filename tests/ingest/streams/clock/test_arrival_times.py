"""ingest/streams/clock/arrival_times.py: even times for frames that come in clumps."""

import random
from itertools import pairwise

import pytest

from ingest.streams.clock.arrival_times import ArrivalTimes

LEAD_MS = 5_000.0


def given(
    arrivals: list[float], interval_ms: float = 40.0, begin_ms: float | None = None
) -> tuple[list[float], ArrivalTimes]:
    times = ArrivalTimes(0.0, begin_ms)
    return [times.take(now, LEAD_MS, interval_ms) for now in arrivals], times


def test_the_first_lands_where_the_clock_is_and_is_marked() -> None:
    times = ArrivalTimes(100.0)
    assert times.take(1.0, LEAD_MS, 40.0) == 6_000.0
    assert times.is_set_anew
    assert times.take(1.04, LEAD_MS, 40.0) == pytest.approx(6_040.0)
    assert not times.is_set_anew


def test_nothing_is_moved_back() -> None:
    times = ArrivalTimes(9_000.0)
    assert [times.take(1.0, LEAD_MS, 40.0), times.take(1.04, LEAD_MS, 40.0)] == [9_001.0, 9_041.0]


@pytest.mark.parametrize("clump_s", [0.0, 0.1, 0.3, 1.0, 2.0])
def test_clumps_come_out_evenly(clump_s: float) -> None:
    arrivals = [-(-(n * 0.04) // clump_s) * clump_s if clump_s else n * 0.04 for n in range(1, 500)]
    times, _ = given(arrivals, begin_ms=LEAD_MS)
    steps = [b - a for a, b in pairwise(times[50:])]
    assert min(steps) >= 35.9
    assert max(steps) <= 44.1
    last = max(n for n, at in enumerate(arrivals[:-1]) if at < arrivals[-1])  # of a whole clump
    assert abs(times[last] - LEAD_MS - arrivals[last] * 1000) < 41
    spread = [time_ms - n * 40 for n, time_ms in enumerate(times)][250:]
    assert max(spread) - min(spread) <= 41  # a frame more or less in a clump


def test_it_begins_where_it_is_to_and_not_where_the_clock_is() -> None:
    """In a lump of frames the first is the latest."""
    arrivals = [-(-(n * 0.04) // 1.0) for n in range(1, 200)]
    times = ArrivalTimes(-1.0, 5_040.0)
    given_ms = [times.take(now, LEAD_MS, 40.0) for now in arrivals]
    assert [round(ms) for ms in given_ms] == [5_000 + n * 40 for n in range(1, 200)]


def test_a_wrong_cadence_is_led_to_the_clock() -> None:
    times, _ = given([n * 0.04 for n in range(500)], interval_ms=38.0)
    assert times[-1] == pytest.approx(LEAD_MS + 499 * 40, abs=60)


def test_what_a_stall_held_up_keeps_its_cadence_and_ends_at_the_clock() -> None:
    arrivals = [n * 0.04 if n < 100 else max(8.0, n * 0.04) for n in range(400)]
    times, _ = given(arrivals)
    assert max(b - a for a, b in pairwise(times[1:])) <= 44.1
    assert times[-1] == pytest.approx(LEAD_MS + 399 * 40, abs=30)


def test_after_a_pause_the_times_follow_the_clock() -> None:
    arrivals = [n * 0.04 + 5 * (n >= 100) for n in range(200)]
    times, _ = given(arrivals)
    assert times[-1] == pytest.approx(LEAD_MS + arrivals[-1] * 1000, abs=60)


def test_whatever_comes_times_grow() -> None:
    source = random.Random(5)
    times = ArrivalTimes(0.0)
    now, before = 0.0, 0.0
    for _ in range(500):
        now += source.choice([0.0, 0.001, 0.5, 3.0])
        time_ms = times.take(now, source.choice([LEAD_MS, 0.0]), source.choice([0.0, 20.0, 500.0]))
        assert time_ms >= before + 1
        before = time_ms
