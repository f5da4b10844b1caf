"""Which rungs of a session are encoded by its decode lane, and which in lanes of their own. Pure.

On the host's cores, lanes in parallel give the least delay while there are cores to spare, and cost
a wake-up, a wait for the GIL and cold caches a picture and rung. So rungs that are done with a good
part of a picture's interval left stay with the decode lane, the smallest first: in a ladder of
three, two lanes then have about the same to do. Where the worker has as many streams as cores
nothing is gained by a second lane for one stream, and the largest rung stays too.
"""

from collections.abc import Sequence
from typing import Final

SHARE: Final = 0.6  # of a picture's interval that the decode lane may be busy
_WEIGHT: Final = 0.1  # of the latest picture in a cost
DEFAULT_INTERVAL_S: Final = 1 / 30


class Cost:
    """CPU seconds that a picture takes, as a moving mean."""

    __slots__ = ("seconds",)

    def __init__(self) -> None:
        self.seconds = 0.0  # 0: not known yet

    def add(self, seconds: float) -> None:
        known = self.seconds
        self.seconds = seconds if not known else known + (seconds - known) * _WEIGHT


def stay(
    costs: Sequence[float], decode_s: float, interval_s: float, *, is_crowded: bool
) -> list[bool]:
    """Whether each rung of a picture stays with the decode lane; `costs` largest rung first.

    A rung whose cost is not known yet, 0, does not.
    """
    busy_s = decode_s
    staying = [False] * len(costs)
    for index in range(len(costs) - 1, -1, -1):
        cost_s = costs[index]
        if not cost_s or (index == 0 and not is_crowded):
            continue
        if busy_s + cost_s > SHARE * interval_s:
            break
        busy_s += cost_s
        staying[index] = True
    return staying
