"""When those are read that nobody plays: spread over each tick, in short turns of the loop.

What is read at once is decoded and encoded at once. Batches of many streams at the same moment took
every core for longer than the pictures of a stream that somebody plays should wait
(docs/performance.md). Pure but for the sleeping.
"""

import math
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

from ingest.outputs.outbox import Peers
from ingest.streams.publisher import BATCH_S, Publisher, PublishingConnection

TICK_S = BATCH_S / 2
PARTS = 4  # of a tick, with reads at the beginning of each
TURN_S = 0.002  # of the loop: others wait so long


class ReadBatching:
    """The publishers that nobody plays, and those of them whose turn it is.

    A wake-up costs a process that is seldom awake more than what it is woken for: its caches are
    cold. So what nobody plays comes in batches, `BATCH_S` old at most.
    """

    def __init__(
        self,
        peers: Peers,
        clock: Callable[[], float],
        is_publishing: Callable[[PublishingConnection], bool],
    ) -> None:
        self._peers = peers
        self._clock = clock
        self._is_publishing = is_publishing
        self._unread = deque[PublishingConnection]()
        self._is_odd = False  # of the ticks, the last one

    def __len__(self) -> int:
        """How many publishers are to be read before the next tick."""
        return len(self._unread)

    def tick(self) -> None:
        """Another tick, every half of `BATCH_S`: each publisher is to be `sort`ed anew."""
        self._unread.clear()
        self._is_odd = not self._is_odd

    def sort(self, connection: PublishingConnection, publisher: Publisher, now: float) -> None:
        """Have it read at once, or at its turn."""
        batch_s = publisher.batch_s(now)
        if not batch_s:
            connection.read_immediately()
        elif batch_s < BATCH_S or publisher.is_odd is self._is_odd:
            self._unread.append(connection)

    def read_immediately(self, connection: PublishingConnection) -> None:
        """What this one sends waits no more."""
        with suppress(ValueError):
            self._unread.remove(connection)
        connection.read_immediately()

    def read(self, seconds: float, most: int) -> int:
        """Read so many whose turn it is, for so long; how many it were."""
        until_s = self._clock() + seconds
        count = 0
        with self._peers.one_write_each():
            while self._unread and count < most and self._clock() < until_s:
                count += 1
                connection = self._unread.popleft()
                if self._is_publishing(connection):
                    connection.read_batched()
        return count


class Turns(Protocol):
    """`ReadBatching`, as far as reading goes."""

    def __len__(self) -> int: ...

    def read(self, seconds: float, most: int, /) -> int: ...


async def read_spread(turns: Turns, sleep: Callable[[float], Awaitable[None]]) -> None:
    """Read all whose turn this tick is; takes less than the tick."""
    parts = min(PARTS, len(turns))
    for left in range(parts, 0, -1):
        most = math.ceil(len(turns) / left)
        while count := turns.read(TURN_S, most):
            most -= count
            await sleep(0)
        if len(turns):
            await sleep(TICK_S / parts)
