"""Finds a child that hangs, by the absence of its heartbeats. Pure.

That may be the fault of the host. A process that is stopped, or sleeps all the time, is at fault
itself; one that runs, or waits for a core or for the disk, gets longer. A worker that hangs though
its heartbeats come is found in `supervisor/farm/recovery/hang.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass

MISSED_S = 1.0  # beyond the heartbeat that is due: a stopped process is seen then
BUSY_S = 5.0  # without a heartbeat, though it runs


@dataclass(frozen=True, slots=True)
class ThreadState:
    """The state of a process's main thread, from /proc."""

    state: str  # "R", "S", "D", "T", …
    slices: int  # how often it was given a core


class MissedHeartbeats:
    """Counts how long one incarnation of a child has sent nothing; fed a few times a second."""

    def __init__(self, timeout_s: float) -> None:
        """`timeout_s`: without a heartbeat while it sleeps."""
        self._timeout_s = timeout_s
        self._messages = -1
        self._missed_s = 0.0
        self._first: ThreadState | None = None

    def observe(
        self,
        messages: int,
        awake_s: float,
        interval_s: float,
        read: Callable[[], ThreadState | None],
    ) -> str | None:
        """Why it must be killed, or None.

        `messages` counts all that came from it, `awake_s` is how long the caller was awake since
        the last call, `interval_s` is between two heartbeats by what it has to do now, `read` is
        called only when a heartbeat is overdue.
        """
        if messages != self._messages:
            self._messages, self._missed_s, self._first = messages, 0.0, None
            return None
        self._missed_s += awake_s
        if self._missed_s < interval_s + MISSED_S / 2:
            return None
        seen = read()
        if seen is None:
            return None
        if self._first is None:
            self._first = seen
        missed = f"no heartbeat for {self._missed_s:.1f} s"
        if seen.state in ("T", "t"):
            is_due = self._missed_s >= interval_s + MISSED_S
            return f"stopped: {missed}" if is_due else None
        if seen.state == "S" and seen.slices == self._first.slices:
            is_due = self._missed_s >= max(self._timeout_s, 2 * interval_s)
            return f"blocked: {missed}" if is_due else None
        if seen.state == "S" and self._missed_s >= BUSY_S + interval_s:
            return f"wedged: {missed}"
        return None
