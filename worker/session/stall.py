"""How long work has waited at one place without any of it getting done. Pure.

Looked at a few times a second. Time that the place's thread spent waiting for a core is none: on a
starved host a picture may take seconds, and nothing hangs.
"""

from collections.abc import Callable


class Stall:
    """One place where work waits: a decoder, an encoder, the opening."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._done: int | None = None  # None: nothing waited at the last look
        self._starved_s: float | None = None  # of the thread, when the stall was first seen

    def observe(
        self,
        is_waiting: bool,
        done: int,
        elapsed_s: float,
        starved_s: Callable[[], float] = lambda: 0.0,
    ) -> float:
        """Count `elapsed_s` since the last look if all that waited then still waits.

        `done` counts what was done there so far; `starved_s` gives how long its thread has waited
        for a core so far, and is only called during a stall.
        """
        if not is_waiting or self._done != done:
            self._done = done if is_waiting else None
            self._starved_s = None
            self.seconds = 0.0
            return 0.0
        starved_now_s = starved_s()
        before_s = starved_now_s if self._starved_s is None else self._starved_s
        self._starved_s = starved_now_s
        self.seconds += max(0.0, elapsed_s - (starved_now_s - before_s))
        return self.seconds
