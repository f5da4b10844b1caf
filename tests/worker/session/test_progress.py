"""Work that waits, work that is done, and threads that get no core."""

import pytest

from worker.session.progress import Stall


def looks(*steps: tuple[bool, int]) -> list[float]:
    """The stall after each look, a quarter second apart: (something waits, done so far)."""
    stall = Stall()
    return [stall.observe(waiting, done, 0.25) for waiting, done in steps]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([(True, 0), (True, 0), (True, 0)], [0.0, 0.25, 0.5]),
        ([(True, 0), (True, 1), (True, 2)], [0.0, 0.0, 0.0]),
        ([(True, 0), (True, 0), (True, 1), (True, 1)], [0.0, 0.25, 0.0, 0.25]),
        ([(False, 5), (False, 5), (True, 5), (True, 5)], [0.0, 0.0, 0.0, 0.25]),
        ([(True, 0), (True, 0), (False, 0), (True, 0)], [0.0, 0.25, 0.0, 0.0]),
    ],
    ids=["stuck", "flowing", "goes on", "nothing to do", "emptied"],
)
def test_a_stall_is_work_that_waits_while_none_is_done(
    steps: list[tuple[bool, int]], expected: list[float]
) -> None:
    assert looks(*steps) == expected


def test_waiting_for_a_core_is_no_stall() -> None:
    stall = Stall()
    starved = iter((7.0, 7.25, 7.40))
    stall.observe(True, 0, 0.25, lambda: next(starved))
    assert stall.observe(True, 0, 0.25, lambda: next(starved)) == 0.25
    assert stall.observe(True, 0, 0.25, lambda: next(starved)) == 0.25
    assert stall.observe(True, 0, 0.25, lambda: next(starved)) == pytest.approx(0.35)


def test_a_thread_that_flows_is_not_looked_at() -> None:
    stall = Stall()
    for done in range(3):
        assert stall.observe(True, done, 0.25, lambda: pytest.fail("looked at")) == 0.0
