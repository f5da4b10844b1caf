"""Only the time that a process was awake counts."""

from common.process.awake_clock import AwakeClock


def test_turns_on_time_count_whole() -> None:
    clock = AwakeClock(0.5)
    assert [clock.tick(10.0), clock.tick(10.25), clock.tick(10.75)] == [0.0, 0.25, 0.5]


def test_what_was_overslept_does_not_count() -> None:
    clock = AwakeClock(0.5)
    clock.tick(10.0)
    assert clock.tick(17.0) == 0.5
    assert clock.tick(17.25) == 0.25


def test_a_turn_that_was_to_take_longer_counts_up_to_that() -> None:
    clock = AwakeClock(0.5)
    clock.tick(10.0)
    assert clock.tick(17.0, 2.0) == 2.0
    assert clock.tick(18.0, 2.0) == 1.0
    assert clock.tick(19.0) == 0.5


def test_a_clock_that_steps_back_counts_nothing() -> None:
    clock = AwakeClock(0.5)
    clock.tick(10.0)
    assert clock.tick(9.0) == 0.0
