"""Rates over the last seconds."""

import pytest

from worker.session.throughput import SECONDS, Throughput


def test_rates_are_of_the_last_seconds() -> None:
    output = Throughput()
    assert output.rates(100.0) == (0.0, 0.0)
    for index in range(30 * 20):
        output.add(1000, 100.3 + index / 30)
    fps, bitrate_bps = output.rates(120.3)
    assert fps == pytest.approx(30, rel=0.02)
    assert bitrate_bps == pytest.approx(240_000, rel=0.02)
    assert (output.frames, output.bytes) == (600, 600_000)


def test_rates_are_right_from_the_first_second_on() -> None:
    output = Throughput()
    for index in range(40):
        output.add(500, 7.9 + index / 25)
    fps, _ = output.rates(7.9 + 40 / 25)
    assert fps == pytest.approx(25, rel=0.05)


def test_rates_fall_to_zero_when_nothing_comes() -> None:
    output = Throughput()
    for index in range(100):
        output.add(500, 50 + index / 25)
    assert output.rates(54.0)[0] == pytest.approx(25, rel=0.02)
    assert output.rates(57.0)[0] < 20
    assert output.rates(54.0 + SECONDS + 2) == (0.0, 0.0)
