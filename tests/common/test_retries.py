"""common/retries.py."""

from hypothesis import given
from hypothesis import strategies as st

from common.retries import FIRST_S, MOST_S, STEADY_S, Retries


def test_each_failure_doubles_the_wait_up_to_the_most() -> None:
    retries = Retries(lambda: 1.0)
    assert [retries.wait_s(0.0) for _ in range(8)] == [1, 2, 4, 8, 16, 30, 30, 30]


def test_what_ran_steadily_is_tried_again_soon() -> None:
    retries = Retries(lambda: 1.0)
    for _ in range(5):
        retries.wait_s(0.0)
    assert retries.wait_s(STEADY_S) == FIRST_S
    assert retries.wait_s(STEADY_S - 1) == 2 * FIRST_S, "it ended before it was steady"


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 100))))
def test_a_wait_is_never_shorter_than_half_the_first_nor_longer_than_the_most(
    ends: list[tuple[float, float]],
) -> None:
    chance = 0.0
    retries = Retries(lambda: chance)
    for chance, ran_s in ends:  # noqa: B007 # read by the lambda
        assert FIRST_S / 2 <= retries.wait_s(ran_s) <= MOST_S
