"""What waits for one stream's decoder, bounded in milliseconds of media. Pure.

Units and the markers between them (new parameter sets, a splice point, the end) keep their order.

1. A decoder that is slow: more than `limit_ms` of live media wait, and by the clock, too, the
   oldest unit has waited for about as long. Then the newest go: from then on everything up to the
   next keyframe is dropped and counted, so that what is queued stays decodable and the lag bounded.
2. A burst: as much came at once, after a publisher's stall, as a relay's cached GOP, or while the
   session opened. All of it is kept, within the bounds on bytes and units, as long as it is decoded
   at `CATCH_UP_PACE` times real time or faster, in the last `PACE_S` to `2 * PACE_S`: what was fast
   before lets nothing wait now. So nothing waits for a next keyframe. What is too
   old to be shown is decoded alone (`worker/frames/timing.py`, `late_frames.py`), and not even that
   where an IDR picture waits behind it (`skip_ahead`).

Units from ingest's GOP buffer come all at once and are no lag; only the bounds on bytes and units
hold for them. Until what waited for the session's opening is caught up with, twice as much may
wait: of a stream that comes from a lost worker a second may have passed by then.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from common.ipc.media_messages import AccessUnit
from common.media.clock import ClockReference
from common.media.units import VideoCodec

MAX_BYTES = 64 * 1024 * 1024
MAX_UNITS = 4000
# Of the limit: what comes at less than 4/3 of real time is no burst.
_SLOW = 0.75
# The units of a batch come up to this much later, all at once, than their times say.
_BATCH_MS = 200
# Of real time: what is decoded no faster than this does not catch up.
CATCH_UP_PACE = 1.5
# Over how much of the clock that is looked at: a session's units are decoded in turns.
PACE_S = 0.5


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
    codec: VideoCodec = VideoCodec.H264


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
class Want:
    """These renditions are made from here on; see `RenditionsWanted`."""

    renditions: frozenset[str]
    after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class End:
    """Nothing more comes."""

    reason: str


Marker = NewHeader | Splice | Freeze | Want | End
Entry = Unit | Marker


@dataclass(frozen=True, slots=True)
class QueueState:
    """The state of a queue, for reports."""

    span_ms: int  # live media that wait
    dropped: int  # units
    overflows: int


@dataclass(slots=True)
class _CatchUp:
    """A burst is being decoded; how much was, is known of two moments."""

    since_s: float
    since_ms: int | None  # the DTS of the unit that was taken last then; None: the session opens
    later_s: float
    later_ms: int

    def look(self, now_s: float, taken_ms: int) -> None:
        """Go on to a later moment once `PACE_S` have passed since the last one."""
        if now_s - self.later_s >= PACE_S:
            self.since_s, self.since_ms = self.later_s, self.later_ms
            self.later_s, self.later_ms = now_s, taken_ms


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
        self._live: deque[Unit] = deque()  # those that wait and are no replay …
        self._keys: deque[Unit] = deque()  # … and of these the keyframes
        self._taken_ms: int | None = None  # the DTS of the unit that was taken last
        self._catch_up: _CatchUp | None = None
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
        if self._dropping and header.is_key and not self._is_full(header, len(data), now_s):
            self._dropping = False
        if not self._dropping and self._is_full(header, len(data), now_s):
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
            if header.is_key:
                self._keys.append(unit)
        return True

    def put_marker(self, marker: Marker) -> None:
        """Queue what is no media; only a flood of parameter sets is dropped."""
        if not isinstance(marker, NewHeader) or len(self._entries) < 2 * MAX_UNITS:
            self._entries.append(marker)

    @property
    def is_catching_up(self) -> bool:
        """Return whether a burst waits: then `skip_ahead` may help."""
        return self._catch_up is not None

    def take(self) -> Entry | None:
        """The oldest entry."""
        if not self._entries:
            return None
        entry = self._entries.popleft()
        if isinstance(entry, Unit):
            self._forget(entry)
            if not entry.header.replay:
                span_ms = self.span_ms
                if span_ms <= self.limit_ms:
                    self._catch_up = None
                if span_ms <= self.limit_ms // 2:
                    self._is_starting = False
        return entry

    def skip_ahead(
        self, shown_ms: int | None, now_s: float, is_start: Callable[[bytes], bool]
    ) -> None:
        """While catching up, drop what need not be decoded, and count it.

        That is what waits before the newest keyframe whose time is up already, `shown_ms` being the
        last PTS that was shown; or before the newest one of all, once by the clock the decoder is
        behind by the limit. `is_start` says of a keyframe's data that it needs nothing before it.
        """
        if self._catch_up is None or not self._live:
            return
        limit_ms = self.limit_ms * (1 + self._is_starting)
        is_behind = (now_s - self._live[0].put_s) * 1000 > limit_ms
        for key in reversed(self._keys):
            header = key.header
            is_past = shown_ms is not None and header.dts_ms + header.composition_ms <= shown_ms
            if (is_behind or is_past) and is_start(key.data):
                self._skip_to(key)
                return

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._live.clear()
        self._keys.clear()
        self._units = self._bytes = 0
        self._catch_up = None

    def _skip_to(self, key: Unit) -> None:
        markers: list[Entry] = []
        while (entry := self._entries[0]) is not key:
            self._entries.popleft()
            if isinstance(entry, Unit):
                self._forget(entry)
                self.dropped += not entry.header.replay
            else:
                markers.append(entry)
        self._entries.extendleft(reversed(markers))

    def _forget(self, unit: Unit) -> None:
        """It has left the queue, as the oldest unit."""
        self._units -= 1
        self._bytes -= len(unit.data)
        self._taken_ms = unit.header.dts_ms
        if not unit.header.replay:
            self._live.popleft()
            if unit.header.is_key:
                self._keys.popleft()

    def _is_full(self, header: AccessUnit, size: int, now_s: float) -> bool:
        if self._units >= MAX_UNITS or self._bytes + size > MAX_BYTES:
            return True
        if header.replay or not self._live:
            return False
        span_ms = header.dts_ms - self._live[0].header.dts_ms
        if span_ms <= self.limit_ms * (1 + self._is_starting):
            return False
        catch_up, taken_ms = self._catch_up, self._taken_ms
        if catch_up is None and taken_ms is not None and self._is_slow(now_s):
            return True
        if catch_up is None or catch_up.since_ms is None:
            self._catch_up = _CatchUp(now_s, taken_ms, now_s, taken_ms or 0)
            return False
        taken_ms = catch_up.since_ms if taken_ms is None else taken_ms
        catch_up.look(now_s, taken_ms)
        gained_ms = taken_ms - catch_up.since_ms
        is_gaining = gained_ms >= CATCH_UP_PACE * 1000 * (now_s - catch_up.since_s)
        return self._is_slow(now_s) and not is_gaining

    def _is_slow(self, now_s: float) -> bool:
        """Return whether what waits has waited for so long that no burst filled the queue."""
        if not self._live:
            return False
        limit_ms = self.limit_ms
        long_ms = max(limit_ms / 2, min(_SLOW * limit_ms, limit_ms - _BATCH_MS))
        return (now_s - self._live[0].put_s) * 1000 >= long_ms
