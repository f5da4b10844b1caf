"""What a publisher is told of its line."""

from hypothesis import given
from hypothesis import strategies as st

from ingest.whip.line import FIRST_BPS, LEAST_BPS, MOST_BPS, LineEstimate


def test_it_grows_on_a_good_line_and_falls_below_what_came_on_a_bad_one() -> None:
    line = LineEstimate()
    assert line.update(0.0, 2e6) > FIRST_BPS
    for _ in range(20):
        line.update(0.0, 2e6)
    assert line.bps == MOST_BPS
    assert line.update(0.05, 2e6) == MOST_BPS, "that is what repeats mend"
    assert line.update(0.2, 2e6) < 2e6
    for _ in range(40):
        line.update(0.9, 0.0)
    assert line.bps == LEAST_BPS


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1e12))))
def test_it_is_bounded(seconds: list[tuple[float, float]]) -> None:
    line = LineEstimate()
    for lost, bps in seconds:
        assert LEAST_BPS <= line.update(lost, bps) <= MOST_BPS
