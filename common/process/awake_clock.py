"""Time as a process has lived it: what it overslept does not count. Pure.

On a starved host a loop that wakes every quarter second may wake after three. Whoever judges others
by the clock then must not hold against them what was its own lateness. `tick` is called at every
turn and tells how much of the time since the last one counts.
"""


class AwakeClock:
    """Counts a turn of at most `longest_s`, or of what it was meant to take at most."""

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._last_s: float | None = None

    def tick(self, now: float, longest_s: float | None = None) -> float:
        """The seconds since the last turn that count; 0 at the first one.

        `longest_s`: of a turn that was to take longer than others.
        """
        last_s, self._last_s = self._last_s, now
        if last_s is None:
            return 0.0
        longest_s = self._longest_s if longest_s is None else longest_s
        return min(max(0.0, now - last_s), longest_s)
