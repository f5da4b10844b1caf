"""Which renditions a session's decode thread encodes itself, and which have own threads. Pure.

On the host's cores, threads in parallel give the least delay while there are cores to spare, and
cost CPU time: a wake-up, a wait for the GIL and cold caches a picture and rendition, and two
hardware threads of one core slow one another. So renditions that are done with a good part of a
picture's interval left are encoded inline, on the decode thread: in a ladder of three, two threads
then have about the same to do. Where the host is saturated (as many streams as cores), a second
thread for one stream gains nothing, and the largest rendition is encoded inline too. So it is where
nobody waits for the pictures, even if that is a little more than the thread can do: what it falls
behind by is seen in the queue, and other threads help then.

Where a GPU decodes, a saturated worker's decode threads encode nothing that is played: pictures
would wait while the thread waits for the GPU. One other thread has all renditions of the stream
(`worker/threads.py`).
"""

from collections.abc import Sequence
from typing import Final

PLAYED_SHARE: Final = 0.6  # of a picture's interval that the decode thread may be busy
UNPLAYED_SHARE: Final = 1.1  # … where nobody plays the stream
SATURATED_SHARE: Final = 0.97  # … where every core has a stream
_WEIGHT: Final = 0.1  # of the latest picture in a cost
DEFAULT_INTERVAL_S: Final = 1 / 30


class CpuCost:
    """CPU seconds that a picture takes, as a moving mean."""

    __slots__ = ("seconds",)

    def __init__(self) -> None:
        self.seconds = 0.0  # 0: not known yet

    def add(self, seconds: float) -> None:
        known = self.seconds
        self.seconds = seconds if not known else known + (seconds - known) * _WEIGHT


def inline_share(
    *, has_players: bool, is_saturated: bool, groups_small_encoders: bool = False
) -> float:
    """Return how much of a picture's interval the decode thread may be busy."""
    if not has_players:
        return UNPLAYED_SHARE
    if is_saturated:
        return 0.0 if groups_small_encoders else SATURATED_SHARE
    return PLAYED_SHARE


def choose_inline(
    costs: Sequence[float], decode_s: float, interval_s: float, share: float
) -> list[bool]:
    """Return whether each rendition of a picture is encoded inline; `costs` are largest first.

    A rendition whose cost is not known yet, 0, is not; the largest only where CPU time counts for
    more than delay.
    """
    busy_s = decode_s
    inline = [False] * len(costs)
    for index in range(len(costs) - 1, -1, -1):
        cost_s = costs[index]
        if not cost_s or (index == 0 and share <= PLAYED_SHARE):
            continue
        if busy_s + cost_s > share * interval_s:
            break
        busy_s += cost_s
        inline[index] = True
    return inline
