"""ingest/pull/pacing.py."""

import math

from hypothesis import given
from hypothesis import strategies as st

from ingest.pull.pacing import AGAIN_S, SLACK_S, Pacing


def test_a_segment_that_came_at_once_goes_on_as_its_times_say() -> None:
    pacing = Pacing()
    assert [pacing.due_s(10 + i / 10, 100.0) for i in range(4)] == [100.0, 100.1, 100.2, 100.3]


def test_the_other_track_goes_with_what_is_before_it() -> None:
    pacing = Pacing()
    assert pacing.due_s(10.0, 100.0) == 100.0
    assert pacing.due_s(10.5, 100.0) == 100.5
    assert pacing.due_s(10.2, 100.5) == 100.5, "sound of before that picture"
    assert pacing.due_s(11.0, 100.5) == 101.0, "it has not moved the pace"


def test_timers_that_are_late_do_not_slow_it_down() -> None:
    pacing, now = Pacing(), 100.0
    for step in range(1000):
        due_s = pacing.due_s(step / 25, now)
        assert due_s is not None
        now = due_s + 0.01
    assert now < 100.0 + 40.0 + SLACK_S


def test_after_a_segment_that_was_late_nothing_is_hurried() -> None:
    pacing = Pacing()
    pacing.due_s(0.0, 100.0)
    assert pacing.due_s(1.0, 105.0) == 105.0
    assert pacing.due_s(2.0, 105.0) == 106.0


def test_a_source_that_begins_anew_is_paced_from_there() -> None:
    pacing = Pacing()
    pacing.due_s(5000.0, 100.0)
    assert pacing.due_s(3.0, 101.0) == 101.0
    assert pacing.due_s(4.0, 101.0) == 102.0


def test_what_the_connection_before_brought_is_left_out_at_the_begin() -> None:
    pacing = Pacing(before_s=50.0)
    assert [pacing.due_s(at, 100.0) for at in (46.0, 48.0, 50.0)] == [None] * 3
    assert pacing.due_s(50.1, 100.0) == 100.0
    assert pacing.due_s(50.05, 100.0) == 100.0, "behind the begin nothing is left out"
    assert Pacing(before_s=50.0).due_s(0.0, 100.0) is None, "within a playlist's length"
    restarted = Pacing(before_s=AGAIN_S * 3)
    assert restarted.due_s(0.0, 100.0) == 100.0, "its encoder began anew"


@given(st.lists(st.floats(-1e6, 1e6), max_size=50), st.floats(-1e6, 1e6))
def test_nothing_is_due_in_the_past_and_newest_grows_with_what_came(
    times: list[float], before_s: float
) -> None:
    pacing = Pacing(before_s)
    for number, media_s in enumerate(times):
        due_s = pacing.due_s(media_s, float(number))
        assert due_s is None or number <= due_s < math.inf
