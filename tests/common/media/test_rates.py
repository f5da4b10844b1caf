"""common/media/rates.py: rates by the clock, frame rates of stream time, usual rates."""

import random
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.media.rates import (
    COARSE,
    USUAL_RATES,
    WINDOW_S,
    FrameRate,
    Throughput,
    declared_rate,
    usual_rate,
)


@pytest.mark.parametrize("start", [0.0, 0.7, 1234.56])
@pytest.mark.parametrize("seconds", [1.5, 3.0, 20.0])
def test_a_steady_stream_is_told_as_it_is(start: float, seconds: float) -> None:
    meter = Throughput()
    now = start
    for step in range(round(seconds * 25)):
        now = start + step / 25
        meter.count(1, 1000, now)
    assert meter.frames_per_second(now) == pytest.approx(25, rel=0.35 if seconds < 2 else 0.05)
    if seconds > 2:
        assert meter.bits_per_second(now) == pytest.approx(200_000, rel=0.05)
    assert (meter.frames, meter.bytes) == (round(seconds * 25), round(seconds * 25) * 1000)


def test_a_stream_that_stops_falls_to_nothing() -> None:
    meter = Throughput()
    for step in range(250):
        meter.count(1, 1000, step / 25)
    assert meter.frames_per_second(12.5) == pytest.approx(12.5, rel=0.1)
    assert meter.frames_per_second(30.0) == 0
    meter.count(1, 1000, 30.5)
    assert meter.frames_per_second(31.5) == pytest.approx(0.25)


def test_the_rate_is_of_the_last_seconds() -> None:
    meter = Throughput()
    for step in range(100):
        meter.count(2, 500, 50 + step / 25)
    assert meter.frames_per_second(54.0) == pytest.approx(50, rel=0.02)
    assert meter.frames_per_second(54.0 + WINDOW_S + 2) == 0


def test_before_anything_came_the_rate_is_nothing() -> None:
    assert Throughput().frames_per_second(5.0) == 0
    assert Throughput().bits_per_second(5.0) == 0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 20), max_size=30))
def test_the_rate_is_never_more_than_what_came(steps: list[float]) -> None:
    meter = Throughput()
    now = 0.0
    for step in steps:
        now += step
        meter.count(1, 100, now)
        assert 0 <= meter.frames_per_second(now) <= len(steps)


def times(fps: Fraction | int, frames: int, start_ms: int = 0) -> list[int]:
    return [start_ms + round(number * 1000 / Fraction(fps)) for number in range(frames)]


@pytest.mark.parametrize("tolerance", [0.004, COARSE])
@pytest.mark.parametrize("fps", USUAL_RATES)
def test_a_usual_rate_is_itself_whatever_lies_beside_it(fps: Fraction, tolerance: float) -> None:
    assert usual_rate(fps, tolerance) == usual_rate(float(fps), tolerance) == fps
    assert usual_rate(round(float(fps), 2), tolerance) == fps


def test_an_unusual_rate_is_told_in_thousandths() -> None:
    assert usual_rate(7.0) == 7
    assert usual_rate(43.21) == Fraction(43_210, 1000)
    assert usual_rate(29.5) == Fraction(29_500, 1000)
    assert usual_rate(29.5, COARSE) == Fraction(30_000, 1001)
    assert usual_rate(0.0) == Fraction(1, 1000)


@pytest.mark.parametrize("fps", USUAL_RATES)
def test_a_measured_rate_is_one_in_use(fps: Fraction) -> None:
    rate = FrameRate()
    for time_ms in times(fps, 120):
        rate.observe(time_ms)
    assert rate.fps is not None
    assert usual_rate(rate.fps) == fps


def test_what_was_declared_holds_until_enough_is_measured() -> None:
    rate = FrameRate(Fraction(50), least_frames=30)
    assert rate.fps == 50
    for time_ms in times(25, 30):
        rate.observe(time_ms)
    assert (rate.fps, rate.measured_ms) == (50, 0)
    rate.observe(30 * 40)
    assert (rate.fps, rate.measured_ms) == (25, 1200)


@pytest.mark.parametrize("declared", [None, Fraction(1, 2), Fraction(1000)])
def test_without_a_sensible_declaration_nothing_is_known(declared: Fraction | None) -> None:
    assert FrameRate(declared).fps is None


@pytest.mark.parametrize("step_ms", [5_000, -40, 0])
def test_a_pause_or_a_step_starts_the_measurement_anew(step_ms: int) -> None:
    rate = FrameRate()
    for time_ms in times(25, 40):
        rate.observe(time_ms)
    rate.observe(39 * 40 + step_ms)
    assert rate.measured_ms == 0


def test_without_a_limit_of_gaps_the_slowest_rates_are_measured() -> None:
    rate = FrameRate(least_frames=1, gap_ms=None)
    rate.observe(0)
    rate.observe(4_000)
    assert rate.fps == 0.25


def test_a_measurement_may_go_on_from_the_last_frame() -> None:
    rate = FrameRate(least_frames=1, gap_ms=None)
    for time_ms in times(25, 51):
        rate.observe(time_ms)
    rate.go_on()
    assert rate.measured_ms == 0
    for time_ms in times(50, 10, 2_020):
        rate.observe(time_ms)
    assert rate.fps == 50


def test_only_the_last_frames_count() -> None:
    rate = FrameRate(frames=50)
    for time_ms in (*times(25, 100), *times(50, 50, 4_000)):
        rate.observe(time_ms)
    assert rate.fps == 50


@pytest.mark.parametrize(
    ("value", "rate"),
    [
        (30.0, Fraction(30)),
        (29.97, Fraction(30_000, 1001)),
        (Fraction(25), Fraction(25)),
        (8.0, Fraction(8)),
        (0.0, None),
        (-1.0, None),
        (90000.0, None),
        (float("nan"), None),
        ("30", None),
        (None, None),
    ],
)
def test_a_declared_rate_is_believed_when_it_is_sensible(
    value: object, rate: Fraction | None
) -> None:
    assert declared_rate(value) == rate


@pytest.mark.parametrize(("before_ms", "after_ms"), [(33, 66), (16, 33), (100, 33), (40, 20)])
def test_one_that_adapts_follows_another_rate_within_some_frames(
    before_ms: int, after_ms: int
) -> None:
    meter = FrameRate(Fraction(30), adapts=True)
    time_ms = 0
    for number in range(240):
        time_ms += before_ms if number < 200 else after_ms
        meter.observe(time_ms)
        if number == 225:
            assert meter.fps == pytest.approx(1000 / after_ms, rel=0.35)
    assert meter.fps == pytest.approx(1000 / after_ms, rel=0.02)


def test_jitter_is_no_other_rate() -> None:
    meter = FrameRate(adapts=True)
    for number in range(600):
        meter.observe(round(number * 1000 / 60) + (6 if number % 2 else -6))
        if number > 60:
            assert meter.fps == pytest.approx(60, rel=0.05)


def test_stamps_that_jump_tell_no_other_rate() -> None:
    jumps = random.Random(2)
    meter = FrameRate(adapts=True)
    time_ms = 0
    for number in range(600):
        time_ms = max(time_ms + 1, round(number * 1000 / 30) + jumps.randint(0, 300))
        meter.observe(time_ms)
        if number > 130:
            assert meter.fps == pytest.approx(30, rel=0.15)
