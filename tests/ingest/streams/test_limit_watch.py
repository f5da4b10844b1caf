"""Measured limits: sustained excess ends a publisher, bursts and pauses do not."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.config.limits import StreamLimits
from ingest.streams.limit_watch import BURST_S, FPS_S, LimitWatch

LIMITS = StreamLimits(fps=30, bitrate_bps=8_000_000)  # a MB a second
STEP_S = 0.1


def first_refusal_s(limits: StreamLimits, rate: list[float], fps: Fraction | None = None) -> float:
    """When it is refused that sends so many bytes in each step; infinity: never."""
    watch = LimitWatch(limits, 0, 100.0)
    received = 0.0
    for step, size in enumerate(rate, 1):
        received += size
        if watch.look(int(received), fps, 100.0 + step * STEP_S):
            return step * STEP_S
    return float("inf")


@pytest.mark.parametrize(
    ("factor", "at_s"), [(1.0, float("inf")), (2.0, BURST_S), (6.0, BURST_S / 5)]
)
def test_a_bitrate_above_the_limit_is_seen_the_sooner_the_higher_it_is(
    factor: float, at_s: float
) -> None:
    found = first_refusal_s(LIMITS, [1e6 * factor * STEP_S] * 1000)
    assert found == pytest.approx(at_s, abs=0.3)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 150), max_size=10), st.floats(0.1, 1.0))
def test_what_an_outage_held_up_may_come_at_once(outages: list[int], share: float) -> None:
    """Each outage is at most `idle_timeout` long; all that was held up comes in one step."""
    size = 1e6 * share * STEP_S
    rate: list[float] = []
    for steps in outages:
        rate += [0.0] * steps + [size * (steps + 1)] + [size] * 20
    assert first_refusal_s(LIMITS, rate) == float("inf")


def test_the_words_tell_the_bitrate() -> None:
    watch = LimitWatch(LIMITS, 500, 100.0)
    assert not watch.look(500, None, 100.1)
    words = watch.look(40_000_500, None, 110.0)
    assert "Mbit/s are more than the 8 " in words
    assert "max_bitrate" in words


def test_a_frame_rate_has_to_be_too_high_for_some_seconds() -> None:
    watch = LimitWatch(LIMITS, 0, 100.0)
    assert not watch.look(0, Fraction(60), 100.0)
    assert not watch.look(0, Fraction(60), 100.0 + FPS_S - 0.1)
    assert not watch.look(0, Fraction(30), 100.0 + FPS_S)
    assert not watch.look(0, Fraction(60), 101.0 + FPS_S)
    assert not watch.look(0, None, 102.0 + FPS_S)
    assert not watch.look(0, Fraction(60), 103.0 + FPS_S)
    assert "max_fps" in watch.look(0, Fraction(60), 103.0 + 2 * FPS_S)


def test_one_that_may_publish_for_a_while_is_ended_then() -> None:
    watch = LimitWatch(StreamLimits(duration_s=60), 0, 100.0)
    assert not watch.look(0, None, 159.9)
    assert "for 60 s" in watch.look(0, None, 160.0)
    assert not LimitWatch(StreamLimits(), 0, 100.0).look(0, None, 1e7)
