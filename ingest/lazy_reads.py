"""When those are read that nobody plays: spread over each tick, in short turns of the loop.

What is read at once is decoded and encoded at once. Bundles of many streams at the same moment took
every core for longer than the pictures of a stream that somebody plays should wait
(docs/performance.md). Pure but for the sleeping.
"""

import math
from collections.abc import Awaitable, Callable
from typing import Protocol

from ingest.publisher import LAZY_S

TICK_S = LAZY_S / 2
PARTS = 4  # of a tick, with reads at the beginning of each
TURN_S = 0.002  # of the loop: others wait so long


class Unread(Protocol):
    """The streams, as far as reading them lazily goes."""

    @property
    def unread(self) -> int:
        """How many publishers are to be read before the next tick."""
        ...

    def read_lazily(self, seconds: float, most: int, /) -> int:
        """Read so many, for so long; how many it were."""
        ...


async def read_spread(streams: Unread, sleep: Callable[[float], Awaitable[None]]) -> None:
    """Read all whose turn this tick is; takes less than the tick."""
    parts = min(PARTS, streams.unread)
    for left in range(parts, 0, -1):
        most = math.ceil(streams.unread / left)
        while count := streams.read_lazily(TURN_S, most):
            most -= count
            await sleep(0)
        if streams.unread:
            await sleep(TICK_S / parts)
