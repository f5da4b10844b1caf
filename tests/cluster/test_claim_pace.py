"""cluster/claim_pace.py."""

from hypothesis import given
from hypothesis import strategies as st

from cluster.claim_pace import MOST, SLOW_S, ClaimPace


def test_fast_answers_raise_it_to_the_most() -> None:
    pace = ClaimPace()
    for _ in range(200):
        pace.took(0.005)
    assert pace.limit == MOST


def test_slow_answers_halve_it_and_leave_one() -> None:
    pace = ClaimPace()
    before = pace.limit
    pace.took(SLOW_S * 2)
    assert pace.limit == before // 2
    for _ in range(10):
        pace.took(SLOW_S * 2)
    assert pace.limit == 1


@given(st.lists(st.floats(0.0, 10.0)))
def test_it_is_always_between_one_and_the_most(took: list[float]) -> None:
    pace = ClaimPace()
    for seconds in took:
        pace.took(seconds)
        assert 1 <= pace.limit <= MOST
