"""Steps of viewers: how they are shared out, and what one more of them costs."""

import pytest

from tests.bench.viewers import Step, is_full, sizes, slope


def steps(*found: tuple[int, float, float]) -> list[Step]:
    return [Step(viewers, cores, 0.0, rate, {}) for viewers, cores, rate in found]


@pytest.mark.parametrize(
    ("viewers", "most", "wanted"),
    [(1, 25, [1]), (25, 25, [25]), (26, 25, [13, 13]), (100, 25, [25] * 4), (51, 25, [17] * 3)],
)
def test_viewers_are_shared_out_evenly(viewers: int, most: int, wanted: list[int]) -> None:
    assert sizes(viewers, most) == wanted


def test_what_one_more_costs_is_the_slope_without_what_a_process_costs_anyway() -> None:
    assert slope(steps((10, 0.15, 300), (50, 0.35, 300), (100, 0.6, 299))) == pytest.approx(0.005)


def test_a_process_that_serves_its_viewers_no_more_does_not_make_them_look_cheap() -> None:
    found = steps((100, 0.2, 12), (500, 0.8, 12), (1000, 1.0, 7))
    assert [is_full(one, found) for one in found] == [True, True, False]
    assert slope(found) == pytest.approx(0.0015)
