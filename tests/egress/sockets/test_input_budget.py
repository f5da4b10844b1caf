"""egress/sockets/input_budget.py: a player's bytes against time."""

from egress.sockets.input_budget import BURST_BYTES, BYTES_PER_S, InputBudget


def test_a_burst_is_allowed_and_then_the_rate() -> None:
    budget = InputBudget(10.0)
    assert budget.allows(BURST_BYTES, 10.0)
    assert not budget.allows(1, 10.0)
    assert budget.allows(BYTES_PER_S - 1, 11.0)
    assert not budget.allows(BYTES_PER_S, 11.5)


def test_a_long_silence_saves_up_no_more_than_a_burst() -> None:
    budget = InputBudget(0.0)
    assert not budget.allows(BURST_BYTES + 1, 1_000.0)
