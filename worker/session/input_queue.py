"""What waits for one stream's decoder, bounded in milliseconds of media. Pure.

Units and the markers between them (new parameter sets, a splice point, the end) keep their order.
When more than `limit_ms` of live media wait, the newest go: from then on everything up to the next
keyframe is dropped and counted, so that what is queued stays decodable and the lag bounded. Units
from ingest's GOP buffer come all at once and are no lag; only the bound on bytes holds for them.

Until what waited for the session's opening, and for the GOP before it, is caught up with, twice
as much may wait: of a stream that comes from a lost worker a second may have passed by then.

What comes late all at once, after a publisher's stall or as the batches of a stream that nobody
plays (`ingest/streams/read_batching.py`), may fill a queue that its decoder would empty in no time.
That is dropped too, and says nothing of the decoder: an overflow counts as its own if by the clock,
too, the oldest unit has waited for about as long as the limit.
"""

from collections import deque
from dataclasses import dataclass

from common.ipc.media_messages import AccessUnit
from common.media.clock import ClockReference

MAX_BYTES = 64 * 1024 * 1024
MAX_UNITS = 4000
# Of the limit: what comes at less than 4/3 of real time is no burst.
_SLOW = 0.75
# The units of a batch come up to this much later, all at once, than their times say.
_BATCH_MS = 200


@dataclass(frozen=True, slots=True)
class Unit:
    """An access unit that waits."""

    header: AccessUnit
    data: bytes
    put_s: float  # CLOCK_MONOTONIC
    follows_gap: bool  # units before it were lost, here or on the way


@dataclass(frozen=True, slots=True)
class NewHeader:
    """New parameter sets from the next unit on."""

    record: bytes


@dataclass(frozen=True, slots=True)
class Splice:
    """Pictures from this PTS on belong to the next generation."""

    splice_ms: int


@dataclass(frozen=True, slots=True)
class Freeze:
    """The publisher is away from here on; stream time goes on from this clock reference."""

    reference: ClockReference
    may_go_on: bool = False  # it is only silent


@dataclass(frozen=True, slots=True)
class End:
    """Nothing more comes."""

    reason: str


Marker = NewHeader | Splice | Freeze | End
Entry = Unit | Marker


@dataclass(frozen=True, slots=True)
class QueueState:
    """The state of a queue, for reports."""

    span_ms: int  # live media that wait
    dropped: int  # units
    overflows: int


class StreamQueue:
    """First in, first out; `put` may drop. Not thread-safe: its owner locks."""

    def __init__(self, limit_ms: int) -> None:
        self.dropped = 0  # units
        self.overflows = 0  # how often it was full because its decoder is slow
        self.limit_ms = limit_ms
        self._is_starting = True  # what waited for the opening is not caught up with
        self._entries: deque[Entry] = deque()
        self._units = 0
        self._bytes = 0
        self._live: deque[Unit] = deque()  # those that wait and are no replay
        self._dropping = False
        self._gap = False  # the next unit does not follow the one before
        self._next_number: int | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def state(self) -> QueueState:
        return QueueState(self.span_ms, self.dropped, self.overflows)

    @property
    def span_ms(self) -> int:
        """Live media that wait, in ms."""
        if not self._live:
            return 0
        return max(0, self._live[-1].header.dts_ms - self._live[0].header.dts_ms)

    def put(self, header: AccessUnit, data: bytes, now_s: float) -> bool:
        """Queue a unit; False when it was dropped."""
        if self._next_number is not None and header.number != self._next_number:
            self._gap = True
        self._next_number = header.number + 1
        if self._dropping and header.is_key and not self._is_full(header, len(data)):
            self._dropping = False
        if not self._dropping and self._is_full(header, len(data)):
            self._dropping = True
            self.overflows += self._is_slow(now_s)
            self._is_starting = False
        if self._dropping:
            self.dropped += 1
            self._gap = True
            return False
        unit = Unit(header, data, now_s, self._gap)
        self._entries.append(unit)
        self._gap = False
        self._units += 1
        self._bytes += len(data)
        if not header.replay:
            self._live.append(unit)
        return True

    def put_marker(self, marker: Marker) -> None:
        """Queue what is no media; only a flood of parameter sets is dropped."""
        if not isinstance(marker, NewHeader) or len(self._entries) < 2 * MAX_UNITS:
            self._entries.append(marker)

    def take(self) -> Entry | None:
        """The oldest entry."""
        if not self._entries:
            return None
        entry = self._entries.popleft()
        if isinstance(entry, Unit):
            self._units -= 1
            self._bytes -= len(entry.data)
            if not entry.header.replay:
                self._live.popleft()
                if self.span_ms <= self.limit_ms // 2:
                    self._is_starting = False
        return entry

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._live.clear()
        self._units = self._bytes = 0

    def _is_full(self, header: AccessUnit, size: int) -> bool:
        if self._units >= MAX_UNITS or self._bytes + size > MAX_BYTES:
            return True
        if header.replay or not self._live:
            return False
        span_ms = header.dts_ms - self._live[0].header.dts_ms
        return span_ms > self.limit_ms * (1 + self._is_starting)

    def _is_slow(self, now_s: float) -> bool:
        """Return whether what waits has waited for so long that no burst filled the queue."""
        if not self._live:
            return False
        limit_ms = self.limit_ms
        long_ms = max(limit_ms / 2, min(_SLOW * limit_ms, limit_ms - _BATCH_MS))
        return (now_s - self._live[0].put_s) * 1000 >= long_ms
