"""What one host has not sent to another yet: bounded, in order, whole GOPs dropped. Pure.

What is on its way is counted until the other end says that it has taken it, wherever it lies in
between. While that is less than the window, everything goes at once. Beyond it media waits here, in
the order of its arrival. A rendition that waits for longer than `MAX_WAIT_MS` of its own time, or
fills its share of memory, loses its GOPs: all but what begins with the last keyframe that waits, or
everything up to the next keyframe. So a slow link costs the ends of GOPs, never a picture within
one, and never delays a rendition by more than that. What opens, heads or ends a stream is never
dropped; it is bounded by what may be wanted.
"""

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Final

WINDOW_BYTES: Final = 8 * 1024 * 1024  # on their way: 300 Mbit/s over 200 ms
MAX_WAIT_MS: Final = 3_000  # of live media; what fills a GOP buffer is bounded in bytes alone
MAX_BYTES: Final = 20 * 1024 * 1024  # of one rendition: a GOP buffer, and a picture
MAX_TOTAL_BYTES: Final = 96 * 1024 * 1024
MAX_DROPPED: Final = 1_000  # entries that are kept though they were dropped, before a look for them

Parts = Sequence[bytes]


@dataclass(slots=True)
class _Entry:
    key: Hashable  # the rendition; None: no media
    parts: Parts
    size: int
    end_ms: int = 0  # stream time of the last tag
    begins: bool = False  # a GOP, or it is sound, which begins anywhere
    is_replay: bool = False
    is_dropped: bool = False


@dataclass(slots=True)
class _Waiting:
    """What waits of one rendition."""

    entries: deque[_Entry] = field(default_factory=deque)
    size: int = 0
    live_from_ms: int | None = None  # end of the first that fills no GOP buffer

    def append(self, entry: _Entry) -> None:
        self.entries.append(entry)
        self.size += entry.size
        if self.live_from_ms is None and not entry.is_replay:
            self.live_from_ms = entry.end_ms

    def popleft(self) -> _Entry:
        entry = self.entries.popleft()
        self.size -= entry.size
        if not entry.is_replay:
            following = self.entries[0] if self.entries else None
            self.live_from_ms = following.end_ms if following is not None else None
        return entry

    @property
    def is_too_much(self) -> bool:
        if self.size > MAX_BYTES:
            return True
        from_ms = self.live_from_ms
        return from_ms is not None and self.entries[-1].end_ms - from_ms > MAX_WAIT_MS


class Backlog:
    """What waits for one connection."""

    def __init__(self, write: Callable[[Parts], object], window: int = WINDOW_BYTES) -> None:
        """`write` puts parts on the wire; it never refuses any."""
        self.dropped = 0  # messages with media
        self.on_their_way = 0  # bytes
        self.waiting_bytes = 0
        self._write = write
        self._window = window
        self._entries: deque[_Entry] = deque()
        self._kept_dropped = 0  # of those
        self._by_key: dict[Hashable, _Waiting] = {}
        self._needs_start: set[Hashable] = set()  # nothing of it goes on before a GOP begins

    def __len__(self) -> int:
        return len(self._entries) - self._kept_dropped

    def put(self, parts: Parts, size: int) -> None:
        """Send what is no media, behind what waits."""
        self._add(_Entry(None, parts, size))

    def put_media(
        self,
        key: Hashable,
        parts: Parts,
        size: int,
        end_ms: int,
        *,
        begins: bool,
        is_replay: bool = False,
    ) -> None:
        """Send media of a rendition; `begins`: one may start with it."""
        if key in self._needs_start:
            if not begins:
                self.dropped += 1
                return
            self._needs_start.discard(key)
        if self._add(_Entry(key, parts, size, end_ms, begins, is_replay)):
            return
        if self._by_key[key].is_too_much or self.waiting_bytes > MAX_TOTAL_BYTES:
            self._drop_gops(key)

    def taken(self, size: int) -> None:
        """The other end has taken so many bytes more: what waits goes on."""
        self.on_their_way = max(0, self.on_their_way - size)
        while self._entries and self.on_their_way < self._window:
            entry = self._entries.popleft()
            if entry.is_dropped:
                self._kept_dropped -= 1
                continue
            self.waiting_bytes -= entry.size
            if entry.key is not None:
                waiting = self._by_key[entry.key]
                waiting.popleft()
                if not waiting.entries:
                    del self._by_key[entry.key]
            self._send(entry)

    def forget(self, key: Hashable) -> None:
        """Nothing of this rendition is wanted any more."""
        self._needs_start.discard(key)
        waiting = self._by_key.pop(key, None)
        if waiting is not None:
            self._drop(waiting.entries)

    def _add(self, entry: _Entry) -> bool:
        """Send it, or have it wait; True: it is sent."""
        if not self._entries and self.on_their_way < self._window:
            self._send(entry)
            return True
        self._entries.append(entry)
        self.waiting_bytes += entry.size
        if entry.key is not None:
            self._by_key.setdefault(entry.key, _Waiting()).append(entry)
        return False

    def _send(self, entry: _Entry) -> None:
        self.on_their_way += entry.size
        self._write(entry.parts)

    def _drop_gops(self, key: Hashable) -> None:
        """Drop all but what begins with the last start that waits; that too if it is much."""
        entries = tuple(self._by_key.pop(key).entries)
        starts = [at for at, entry in enumerate(entries) if entry.begins and at]
        begin = starts[-1] if starts else len(entries)
        self._drop(entries[:begin])
        kept = _Waiting()
        for entry in entries[begin:]:
            kept.append(entry)
        if kept.entries and not (kept.is_too_much or self.waiting_bytes > MAX_TOTAL_BYTES):
            self._by_key[key] = kept
        else:
            self._drop(kept.entries)
            self._needs_start.add(key)

    def _drop(self, entries: Sequence[_Entry] | deque[_Entry]) -> None:
        for entry in entries:
            entry.is_dropped, entry.parts = True, ()
            self.waiting_bytes -= entry.size
        self.dropped += len(entries)
        self._kept_dropped += len(entries)
        if self._kept_dropped > max(MAX_DROPPED, len(self._entries) // 2):
            self._entries = deque(entry for entry in self._entries if not entry.is_dropped)
            self._kept_dropped = 0
