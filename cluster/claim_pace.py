"""How many claims of a host are on their way at a time. Pure.

When etcd is back without its data, all hosts claim all of their streams at once. Answers then take
the longer the more is asked, and what is answered too late is asked again. So a host asks for less
at a time while answers are slow, and for more while they are fast.
"""

from typing import Final

MOST: Final = 16
SLOW_S: Final = 0.1  # far more than a claim takes that waits for no other
FIRST: Final = 4.0


class ClaimPace:
    """Additive increase and multiplicative decrease, as TCP has it."""

    def __init__(self) -> None:
        self._window = FIRST

    @property
    def limit(self) -> int:
        """So many at a time."""
        return int(self._window)

    def took(self, seconds: float) -> None:
        """A claim was answered, or not, after so long."""
        if seconds > SLOW_S:  # those that were asked beside it halve it again: one is always left
            self._window = max(1.0, self._window / 2)
        else:
            self._window = min(float(MOST), self._window + 1 / self._window)
