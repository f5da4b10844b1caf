"""Which rungs of a session are encoded by its decode lane, and which in lanes of their own. Pure.

On the host's cores, lanes in parallel give the least delay while there are cores to spare, and cost
CPU time: a wake-up, a wait for the GIL and cold caches a picture and rung, and two hardware threads
of one core slow one another. So rungs that are done with a good part of a picture's interval left
stay with the decode lane: in a ladder of three, two lanes then have about the same to do. Where
the host has as many streams as cores, so that a second lane for one stream gains nothing, the
largest rung stays too. So it does where nobody waits for the pictures, even if that is a little
more than the lane can do: what it falls behind by is seen in the queue, and other lanes help then.

Where a GPU decodes, a crowded worker's decode lanes encode nothing that is played: pictures would
wait while the lane waits for the GPU. One other lane has all rungs of the stream
(`worker/threads.py`).
"""

from collections.abc import Sequence
from typing import Final

SHARE: Final = 0.6  # of a picture's interval that the decode lane may be busy
UNWATCHED_SHARE: Final = 1.1  # … where nobody plays the stream
CROWDED_SHARE: Final = 0.97  # … where every core has a stream
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


def share_for(*, is_watched: bool, is_crowded: bool, packs: bool = False) -> float:
    """How much of a picture's interval the decode lane may be busy; `packs` as of its lanes."""
    if not is_watched:
        return UNWATCHED_SHARE
    if is_crowded:
        return 0.0 if packs else CROWDED_SHARE
    return SHARE


def stay(costs: Sequence[float], decode_s: float, interval_s: float, share: float) -> list[bool]:
    """Whether each rung of a picture stays with the decode lane; `costs` largest rung first.

    A rung whose cost is not known yet, 0, does not; the largest only where CPU time counts for
    more than delay.
    """
    busy_s = decode_s
    staying = [False] * len(costs)
    for index in range(len(costs) - 1, -1, -1):
        cost_s = costs[index]
        if not cost_s or (index == 0 and share <= SHARE):
            continue
        if busy_s + cost_s > share * interval_s:
            break
        busy_s += cost_s
        staying[index] = True
    return staying
