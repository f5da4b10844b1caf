"""How long to wait before a connection to another server is tried again. Pure.

Each failure doubles the wait, up to `MOST_S`; one that ran for `STEADY_S` begins anew. A part of
each wait is chance, so that what broke at once does not come back at once.
"""

from collections.abc import Callable
from typing import Final

FIRST_S: Final = 1.0
MOST_S: Final = 30.0
STEADY_S: Final = 10.0


class Retries:
    """Those of one connection."""

    def __init__(
        self, chance: Callable[[], float], first_s: float = FIRST_S, most_s: float = MOST_S
    ) -> None:
        """`chance` gives numbers from 0 to 1."""
        self._chance = chance
        self._first_s, self._most_s = first_s, most_s
        self._next_s = first_s

    def wait_s(self, ran_s: float) -> float:
        """How long to wait now that a connection has ended which ran so long; 0: it never did."""
        if ran_s >= STEADY_S:
            self._next_s = self._first_s
        wait_s, self._next_s = self._next_s, min(self._most_s, self._next_s * 2)
        return wait_s * (0.5 + self._chance() / 2)
