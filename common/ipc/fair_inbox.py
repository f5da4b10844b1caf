"""Messages of several sources, handled in turns: none makes the others wait for long. Pure.

A source is a process. Its messages are handled in order, a slice of time after the other's; a turn
ends after some slices, so that its reader gets to other work. What waits of a source is bounded:
honest senders stop before that (`common/ipc/media_link.py`), and what another one sends beyond it
is dropped unread. Then it gets a tenth of the time until it has kept to the bound for a while.
"""

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")

TURN_S: Final = 0.008  # of all sources, or one message longer
SLICE_S: Final = 0.002  # of one source before the next, or one message longer
MAX_WAITING: Final = 256 * 1024 * 1024  # of one source; see `weight`
MAX_MESSAGES: Final = 16_384  # likewise; a link has 1,000 on the way at most
PART_BYTES: Final = 100  # that each part of a message costs beside its bytes
THROTTLED_S: Final = 1.0  # after the last message that was dropped
PAUSE: Final = 9  # times what a throttled source has used
MAX_KEPT: Final = 64  # sources of which nothing waits: processes end


def weight(size: int, parts: int) -> int:
    """Return what a message of that many bytes and parts costs while it waits."""
    return size + PART_BYTES * parts


class _Source(Generic[Item]):
    def __init__(self) -> None:
        self.waiting: deque[tuple[Item, int]] = deque()
        self.weight = 0
        self.throttled_until_s = 0.0
        self.paused_until_s = 0.0


class FairInbox(Generic[Item]):
    """Give it what comes by `put`, and call `turn` until nothing waits."""

    def __init__(self, handle: Callable[[Item], bool], clock: Callable[[], float]) -> None:
        """`handle` does a part of a message's work, little of it; True when it was the last."""
        self.dropped = 0  # messages that were too much
        self._handle = handle
        self._clock = clock
        self._sources: dict[Hashable, _Source[Item]] = {}
        self._ready: deque[_Source[Item]] = deque()  # that have something, and whose turn may come
        self._paused: list[_Source[Item]] = []

    def __len__(self) -> int:
        return sum(len(source.waiting) for source in self._sources.values())

    def has_room(self, name: Hashable) -> bool:
        """Tell if another message of a source may wait; if not it is counted, and throttled."""
        source = self._sources.get(name)
        if source is None:
            return True
        if source.weight < MAX_WAITING and len(source.waiting) < MAX_MESSAGES:
            return True
        self.dropped += 1
        source.throttled_until_s = self._clock() + THROTTLED_S
        return False

    def put(self, name: Hashable, item: Item, cost: int) -> None:
        """Have a message handled; `cost` is its weight."""
        source = self._sources.get(name)
        if source is None:
            source = self._sources[name] = _Source()
        if not source.waiting and source not in self._paused:
            self._ready.append(source)
        source.waiting.append((item, cost))
        source.weight += cost

    def turn(self) -> float | None:
        """Handle what waits, for a while; return in how many seconds to go on; None: it is done."""
        now = began = self._clock()
        if self._paused:
            self._end_pauses(now)
        ready, end = self._ready, began + TURN_S
        while ready and now < end:
            source = ready.popleft()
            since, until = now, min(now + SLICE_S, end)
            waiting = source.waiting
            while waiting and now < until:
                item, cost = waiting[0]
                if self._handle(item) and waiting:  # which may have cleared all
                    waiting.popleft()
                    source.weight -= cost
                now = self._clock()
            self._put_back(source, since, now)
        if not ready and not self._paused:
            if len(self._sources) > MAX_KEPT:
                self._sources.clear()
            return None
        return 0.0 if ready else self._pause_s(now)

    def clear(self) -> None:
        """Forget all that waits."""
        for source in self._sources.values():
            source.waiting.clear()
        self._sources.clear()
        self._ready.clear()
        self._paused.clear()

    def _put_back(self, source: _Source[Item], since: float, now: float) -> None:
        """Where a source stands after its slice."""
        if now < source.throttled_until_s:
            source.paused_until_s = now + PAUSE * (now - since)
            self._paused.append(source)
        elif source.waiting:
            self._ready.append(source)

    def _end_pauses(self, now: float) -> None:
        for source in tuple(self._due(now)):
            self._paused.remove(source)
            if source.waiting:
                self._ready.append(source)

    def _due(self, now: float) -> Iterator[_Source[Item]]:
        return (source for source in self._paused if source.paused_until_s <= now)

    def _pause_s(self, now: float) -> float:
        return max(0.0, min(source.paused_until_s for source in self._paused) - now)
