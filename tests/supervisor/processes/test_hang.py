"""A child without heartbeats, and ones whose host is slow."""

import pytest

from supervisor.processes.hang import MissedHeartbeats, ThreadState


def silence(
    *looks: ThreadState | None, awake_s: float = 0.25, beat_s: float = 0.25, timeout_s: float = 1.5
) -> tuple[float, str] | None:
    """When, by its clock, and why a child is given up that says nothing after one heartbeat.

    The last look goes on for ever.
    """
    watch = MissedHeartbeats(timeout_s)
    left = list(looks)

    def look() -> ThreadState | None:
        return left.pop(0) if len(left) > 1 else left[0]

    assert watch.observe(1, awake_s, beat_s, look) is None
    for turn in range(1, 400):
        reason = watch.observe(1, awake_s, beat_s, look)
        if reason is not None:
            return turn * awake_s, reason
    return None


def test_a_stopped_process_is_given_up_within_two_seconds() -> None:
    given_up = silence(ThreadState("T", 7))
    assert given_up is not None
    at_s, reason = given_up
    assert at_s + 0.25 + 0.25 < 2.0  # and the last heartbeat, and the turn
    assert reason == "stopped: no heartbeat for 1.2 s"


def test_one_that_sleeps_all_the_time_is_blocked() -> None:
    assert silence(ThreadState("S", 7)) == (1.5, "blocked: no heartbeat for 1.5 s")


def test_one_that_is_given_a_core_now_and_then_gets_longer() -> None:
    given_up = silence(*[ThreadState("S", slices) for slices in range(400)])
    assert given_up is not None
    assert given_up[0] > 5.0


@pytest.mark.parametrize("state", ["R", "D"])
def test_one_that_waits_for_a_core_or_the_disk_is_left_alone(state: str) -> None:
    assert silence(ThreadState(state, 7)) is None


def test_one_that_cannot_be_looked_at_is_left_alone() -> None:
    assert silence(None) is None


def test_a_heartbeat_begins_it_anew() -> None:
    watch = MissedHeartbeats(1.5)
    for beats in range(100):
        for _ in range(4):
            assert watch.observe(beats, 0.25, 0.25, lambda: ThreadState("S", 1)) is None


def test_processes_that_beat_slowly_are_given_their_time() -> None:
    given_up = silence(ThreadState("T", 7), beat_s=1.0)
    assert given_up is not None
    assert given_up[0] == 2.0


def test_one_that_is_given_something_to_do_is_judged_by_its_quick_beats_from_then_on() -> None:
    """It beats once a second while it is idle, and may be in the middle of that."""
    watch = MissedHeartbeats(1.5)
    sleeping = ThreadState("S", 1)
    assert watch.observe(1, 0.25, 1.0, lambda: sleeping) is None
    for _ in range(3):
        assert watch.observe(1, 0.25, 1.0, lambda: sleeping) is None
    assert watch.observe(1, 0.25, 0.25, lambda: sleeping) is None  # after a second
    assert watch.observe(2, 0.25, 0.25, lambda: sleeping) is None
