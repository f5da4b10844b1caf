"""ingest/streams/meter.py: rates by the clock, and frame rates of stream time."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.streams.meter import FrameRate, Meter, declared_rate


@pytest.mark.parametrize("start", [0.0, 0.7, 1234.56])
@pytest.mark.parametrize("seconds", [1.5, 3.0, 20.0])
def test_a_steady_stream_is_told_as_it_is(start: float, seconds: float) -> None:
    meter = Meter()
    now = start
    for step in range(round(seconds * 25)):
        now = start + step / 25
        meter.count(1, 1000, now)
    assert meter.frames_per_second(now) == pytest.approx(25, rel=0.35 if seconds < 2 else 0.05)
    if seconds > 2:
        assert meter.bits_per_second(now) == pytest.approx(200_000, rel=0.05)
    assert (meter.frames, meter.bytes) == (round(seconds * 25), round(seconds * 25) * 1000)


def test_a_stream_that_stops_falls_to_nothing() -> None:
    meter = Meter()
    for step in range(250):
        meter.count(1, 1000, step / 25)
    assert meter.frames_per_second(12.5) == pytest.approx(12.5, rel=0.1)
    assert meter.frames_per_second(30.0) == 0
    meter.count(1, 1000, 30.5)
    assert meter.frames_per_second(31.5) == pytest.approx(0.25)


def test_before_anything_came_the_rate_is_nothing() -> None:
    assert Meter().frames_per_second(5.0) == 0
    assert Meter().bits_per_second(5.0) == 0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 20), max_size=30))
def test_the_rate_is_never_more_than_what_came(steps: list[float]) -> None:
    meter = Meter()
    now = 0.0
    for step in steps:
        now += step
        meter.count(1, 100, now)
        assert 0 <= meter.frames_per_second(now) <= len(steps)


def times(fps: Fraction, frames: int) -> list[int]:
    return [round(number * 1000 / fps) for number in range(frames)]


@pytest.mark.parametrize("fps", [Fraction(30000, 1001), Fraction(25), Fraction(60), Fraction(15)])
def test_a_measured_rate_is_told_as_the_usual_one(fps: Fraction) -> None:
    rate = FrameRate()
    measured = [rate.fps for dts_ms in times(fps, 200) if rate.count(dts_ms)]
    assert measured
    assert all(found == round(fps) for found in measured)


def test_an_unusual_rate_is_told_as_it_is() -> None:
    rate = FrameRate()
    assert any(rate.count(dts_ms) for dts_ms in times(Fraction(7), 30))
    assert rate.fps is not None
    assert abs(rate.fps - 7) < 0.2


def test_a_jump_between_windows_is_not_measured() -> None:
    rate = FrameRate()
    for dts_ms in times(Fraction(25), 10):
        assert not rate.count(dts_ms)
    rate.restart()
    found = [rate.fps for dts_ms in times(Fraction(25), 60) if rate.count(1_000_000 + dts_ms)]
    assert found == [Fraction(25)]


@pytest.mark.parametrize(
    ("value", "rate"),
    [
        (30.0, Fraction(30)),
        (29.97, Fraction(30)),
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
