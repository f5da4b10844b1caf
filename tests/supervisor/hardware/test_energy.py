"""Watt-hours of a GPU."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.hardware.energy import LONGEST_S, EnergyMeter

KILOJOULE = 1_000_000  # mJ


def test_the_drivers_counter_is_taken_from_the_first_look_on() -> None:
    meter = EnergyMeter()
    assert meter.note(0.0, 100.0, 7_000 * KILOJOULE) == 0.0
    assert meter.note(2.0, 900.0, 7_036 * KILOJOULE) == pytest.approx(10.0)


def test_a_counter_that_goes_back_takes_nothing_away() -> None:
    meter = EnergyMeter()
    for counter in (0, 36 * KILOJOULE, 0):
        found = meter.note(0.0, None, counter)
    assert found == pytest.approx(10.0)
    assert meter.note(0.0, None, 36 * KILOJOULE) == pytest.approx(20.0)


def test_without_a_counter_it_is_power_over_time() -> None:
    meter = EnergyMeter()
    assert meter.note(100.0, 200.0, None) == 0.0
    assert meter.note(118.0, 400.0, None) == pytest.approx(300.0 * 18 / 3600)


def test_a_gpu_that_told_nothing_for_long_is_not_guessed_at() -> None:
    meter = EnergyMeter()
    meter.note(0.0, 360.0, None)
    assert meter.note(36_000.0, 360.0, None) == pytest.approx(360.0 * LONGEST_S / 3600)


def test_one_that_tells_neither_has_no_figure() -> None:
    meter = EnergyMeter()
    assert meter.note(0.0, None, None) is None
    meter.note(1.0, None, 0)
    assert meter.note(2.0, None, None) == 0.0


@given(st.lists(st.tuples(st.floats(0, 1000), st.none() | st.integers(0, 2**62)), max_size=30))
def test_it_never_goes_back(looks: list[tuple[float, int | None]]) -> None:
    meter, last = EnergyMeter(), 0.0
    for number, (watts, counter) in enumerate(looks):
        found = meter.note(2.0 * number, watts, counter)
        assert found is not None
        assert found >= last
        last = found
