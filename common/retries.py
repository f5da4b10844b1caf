"""How long to wait before what failed is tried again. Pure.

Each failure doubles the wait, up to a most; what went well for a while begins anew. Of a connection
to another server a part of each wait is chance, so that what broke at once does not come back at
once.
"""

from collections.abc import Callable
from typing import Final

FIRST_S: Final = 1.0
MOST_S: Final = 30.0
STEADY_S: Final = 10.0


class DoublingWait:
    """The waits of one thing that is tried again and again."""

    def __init__(self, first_s: float, most_s: float) -> None:
        self._first_s, self._most_s = first_s, most_s
        self._next_s = first_s

    def take(self) -> float:
        """How long to wait after a failure; the next wait is twice as long."""
        wait_s, self._next_s = self._next_s, min(self._most_s, self._next_s * 2)
        return wait_s

    def begin_anew(self) -> None:
        """It went well: the next failure is a first one."""
        self._next_s = self._first_s


class Retries:
    """Those of one connection."""

    def __init__(
        self, chance: Callable[[], float], first_s: float = FIRST_S, most_s: float = MOST_S
    ) -> None:
        """`chance` gives numbers from 0 to 1."""
        self._chance = chance
        self._wait = DoublingWait(first_s, most_s)

    def wait_s(self, ran_s: float) -> float:
        """How long to wait now that a connection has ended which ran so long; 0: it never did."""
        if ran_s >= STEADY_S:
            self._wait.begin_anew()
        return self._wait.take() * (0.5 + self._chance() / 2)
