"""egress/streams/rates.py: rates over a window."""

from egress.streams.rates import WINDOW, Rates


def test_the_first_sample_tells_nothing() -> None:
    assert Rates().sample(1.0, 100, 1000) == (0.0, 0.0)


def test_rates_are_over_the_window_only() -> None:
    rates = Rates()
    for i in range(WINDOW):
        rates.sample(float(i), 0, 0)
    frames = size = 0
    for i in range(WINDOW, 2 * WINDOW):
        frames += 30
        size += 1000
        last = rates.sample(float(i), frames, size)
    assert last == (30.0, 8000.0)


def test_no_time_between_samples_is_no_division() -> None:
    rates = Rates()
    rates.sample(1.0, 0, 0)
    assert rates.sample(1.0, 5, 5) == (0.0, 0.0)
