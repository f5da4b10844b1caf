import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.flv.clock32 import Unwrapper, wrap

SPAN = 2**32

CASES = [
    ("steady", [0, 40, 80], [0, 40, 80]),
    ("wraps ahead", [SPAN - 20, 20], [SPAN - 20, SPAN + 20]),
    ("wraps back below zero", [5, SPAN - 5], [5, -5]),
    ("wraps ahead and back", [SPAN - 1, 0, SPAN - 1], [SPAN - 1, SPAN, SPAN - 1]),
    ("two turns", [0, 2**31, 0, 2**31, 0], [0, 2**31, SPAN, SPAN + 2**31, 2 * SPAN]),
    ("first is taken as it is", [SPAN - 1], [SPAN - 1]),
]


@pytest.mark.parametrize(("timestamps", "times"), [case[1:] for case in CASES])
def test_each_time_is_the_nearest_to_the_last(timestamps: list[int], times: list[int]) -> None:
    unwrapper = Unwrapper()
    assert [unwrapper.unwrap(timestamp) for timestamp in timestamps] == times
    assert unwrapper.last == times[-1]


def test_an_unwrapper_starts_near_the_time_it_is_given() -> None:
    assert Unwrapper(3 * SPAN + 10).unwrap(5) == 3 * SPAN + 5


@settings(max_examples=50, deadline=None)
@given(st.integers(0, SPAN - 1), st.lists(st.integers(-(2**31) + 1, 2**31), max_size=20))
def test_a_walk_in_steps_below_half_the_span_is_found_again(start: int, steps: list[int]) -> None:
    unwrapper = Unwrapper()
    time = unwrapper.unwrap(start)
    for step in steps:
        time += step
        assert unwrapper.unwrap(wrap(time)) == time
