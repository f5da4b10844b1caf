"""ingest/streams/clock/pace_marks.py: what had come by some moments, to be looked back at."""

import pytest

from ingest.streams.clock.pace_marks import FINE_S, KEPT_S, OLD_MARK_S, Mark, PaceMarks


def marked(seconds: float, pace: float = 1.0, step_s: float = 0.1) -> PaceMarks:
    marks = PaceMarks()
    marks.begin(Mark(100.0, 100_000.0))
    for number in range(1, round(seconds / step_s) + 1):
        at_s = 100 + number * step_s
        marks.add(Mark(at_s, 100_000 + pace * number * step_s * 1000))
    return marks


def test_the_latest_mark_that_is_old_enough_is_found_else_the_first() -> None:
    marks = marked(30.0)
    assert marks.last_s == pytest.approx(130.0)
    assert 130 - KEPT_S <= marks.first_s <= 130 - KEPT_S + 2 * OLD_MARK_S
    for ago_s in (0.0, 0.35, FINE_S - 0.2, FINE_S + 0.5, 10.0, 16.0):
        found_s = marks.since(130.0 - ago_s + 1e-6).s
        apart_s = 0.101 if ago_s < FINE_S else OLD_MARK_S + 0.101
        assert 0 <= 130.0 - ago_s + 1e-6 - found_s <= apart_s
    assert marks.since(0.0).s == marks.first_s


def test_to_begin_anew_forgets_all() -> None:
    marks = marked(30.0)
    assert not PaceMarks()
    marks.begin(Mark(131.0))
    assert (bool(marks), marks.first_s, marks.last_s) == (True, 131.0, 131.0)


@pytest.mark.parametrize("pace", [0.8, 0.9, 1.0, 1.1, 1.2])
@pytest.mark.parametrize("window_s", [3.0, 5.0, 8.0, 16.0])
def test_a_drift_is_the_same_whether_stamps_run_fast_or_slow(pace: float, window_s: float) -> None:
    marks = marked(30.0, pace)
    drift_ms = marks.drift_ms(marks.since(130.0 - window_s), 130.0)
    assert drift_ms == pytest.approx((pace - 1) * window_s * 1000, abs=abs(pace - 1) * 1500 + 1)


def test_few_marks_tell_no_drift() -> None:
    marks = marked(30.0, step_s=1.0)
    assert marks.drift_ms(marks.since(115.0), 130.0) is None


@pytest.mark.parametrize(("late_s", "is_even"), [(0.1, True), (0.5, True), (2.0, False)])
def test_frames_are_even_if_no_part_of_the_time_had_many_more(late_s: float, is_even: bool) -> None:
    marks = PaceMarks()
    marks.begin(Mark(100.0))
    came = 0
    for number in range(1, 81):
        at_s = 100 + number * 0.1
        if number * 0.1 % (2 * late_s) < late_s or late_s < 1:
            came = round(number * 3)
        marks.add(Mark(at_s, frames=came))
    assert marks.is_even(Mark(108.0, frames=came), 4.0) is is_even
