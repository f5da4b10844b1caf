"""The segments of one track that can be asked for: bounded in time and in bytes. Pure.

A segment that is listed no longer can still be asked for, for as long as rfc8216bis wants (6.2.2):
players have a playlist that lists it.

Numbers have no holes: what has no samples is a gap, which players don't ask for. A segment lasts
until the next one begins, or to the grid where that is too late, so that what a playlist says adds
up to stream time; so do its parts. Times here are stream time in seconds.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Final, NamedTuple

from common.media.units import Data
from egress.hls.parts import Part

MIN_SEGMENTS: Final = 3  # that stay, whatever they weigh: less is no window
_EXACT_S: Final = 1e-6
# Beyond the target duration a segment lasts less: half a second may be rounded up (4.4.3.1).
_LONGEST_S: Final = 0.5 - 1e-5
MAX_DISCONTINUITIES: Final = 1_000  # that are remembered


@dataclass(frozen=True, slots=True)
class WindowLimits:
    """How much a window holds."""

    seconds: float  # that are listed
    max_bytes: int  # of all that is kept
    part_s: float = 1 / 3  # that parts are near to


class ListedPart(NamedTuple):
    """One part as a playlist has it."""

    seconds: float
    is_independent: bool
    data: Data  # empty: it is a gap

    @property
    def is_gap(self) -> bool:
        return not self.data


@dataclass(slots=True)
class Segment:
    """One segment; its parts are whole once they are here."""

    msn: int
    begin_s: float
    seconds: float = 0.0
    init_id: str = ""  # "": it is a gap
    is_complete: bool = False
    parts: list[ListedPart] = field(default_factory=list)
    data: bytes = b""  # of a complete one; its parts are views of it
    size: int = 0
    whole_s: float = 0.0  # when it was whole: it lasted until what came next, be that much later

    @property
    def is_gap(self) -> bool:
        return not self.init_id

    @property
    def end_s(self) -> float:
        return self.begin_s + self.seconds


class Discontinuities:
    """The segments that begin with one: the same in all tracks of a stream."""

    def __init__(self) -> None:
        self._msns: list[int] = []
        self._dropped = 0

    def add(self, msn: int) -> None:
        """Say that the segments of this number, the highest so far, do not go on from before."""
        if not self._msns or msn > self._msns[-1]:
            self._msns.append(msn)
            if len(self._msns) > MAX_DISCONTINUITIES:
                del self._msns[0]
                self._dropped += 1

    def __contains__(self, msn: object) -> bool:
        return msn in self._msns

    def __iter__(self) -> Iterator[int]:
        return iter(self._msns)

    def before(self, msn: int) -> int:
        """How many were in front of a segment: the discontinuity sequence of who begins there."""
        return self._dropped + bisect_left(self._msns, msn)


class Window:
    """One track's."""

    def __init__(
        self,
        gop_ms: int,
        target: float,
        limits: WindowLimits,
        discontinuities: Discontinuities,
        *,
        base_msn: int = 0,
    ) -> None:
        """`target`: of its parts, in seconds; `base_msn`: the segment's that begins at 0."""
        self.gop_s = gop_ms / 1000
        self.target = target
        self._base_msn = base_msn
        self.target_duration = max(1, -(-gop_ms // 1000))  # the playlists': it never changes
        self.limits = limits
        self.discontinuities = discontinuities
        self.begins_on_grid = False  # what its first segment lacks is listed as a gap
        self.version = 0  # it grows with whatever changes
        self.has_ended = False
        self.size = 0  # bytes
        self.inits: dict[str, bytes] = {}
        self._init_id = ""
        self._segments: deque[Segment] = deque()
        self._unlisted: deque[tuple[Segment, float]] = deque()  # and until which stream time
        self._longest_s = 0.0  # that was ever listed

    # ---- what comes ---------------------------------------------------------------------------

    def configure(self, init_id: str, init: bytes) -> None:
        """Say what a decoder needs for the segments that begin from now on."""
        self._init_id = init_id
        self.inits[init_id] = init
        self.size += len(init)

    def add(self, part: Part, scale: int) -> None:
        """Take the next part; `scale`: its units a second."""
        begin_s, end_s = part.begin / scale, part.end / scale
        segment = self._open(part.msn, begin_s)
        if segment is None:
            return
        grid_s = self._begin_s(part.msn + 1)
        is_too_long = end_s - segment.begin_s >= self.target_duration + _LONGEST_S
        if is_too_long or end_s >= grid_s + self.gop_s:
            end_s = max(begin_s + _EXACT_S, min(end_s, grid_s))
        seconds = min(end_s - begin_s, self.target)
        segment.parts.append(ListedPart(seconds, part.is_independent, part.data))
        segment.size += len(part.data)
        self._list_gap(segment, begin_s + seconds, end_s)
        segment.seconds = end_s - segment.begin_s
        self.size += len(part.data)
        self.version += 1
        if part.is_last:
            segment.whole_s = part.end / scale
            self._complete(segment)
        self._forget()

    def end_segment(self, now_s: float = 0.0) -> None:
        """Nothing follows in the segment that is open; `now_s`: what comes next begins there."""
        if self._segments and not self._segments[-1].is_complete:
            self._segments[-1].whole_s = now_s
            self._complete(self._segments[-1])
            self.version += 1

    def begin_anew(self) -> None:
        """List no more what there is: what comes next does not go on from it."""
        self.end_segment()
        while self._segments:
            self._unlist(self._segments.popleft())
        self.version += 1

    def end(self) -> None:
        """Nothing follows at all."""
        self.end_segment()
        self.has_ended = True
        self.version += 1

    # ---- what is there ------------------------------------------------------------------------

    @property
    def segments(self) -> Sequence[Segment]:
        """Those that are listed, from the oldest one on."""
        return self._segments

    @property
    def first_init_id(self) -> str:
        """What the first listed segment that is no gap needs."""
        return next((one.init_id for one in self._segments if one.init_id), self._init_id)

    @property
    def has_media(self) -> bool:
        """Whether there is something to play."""
        return any(segment.parts for segment in reversed(self._segments))

    @property
    def has_segment(self) -> bool:
        """Whether there is a whole one: players fail where there are parts and gaps alone.

        hls.js 1.7 takes that for an empty playlist, shaka 5.2 throws, GStreamer 1.22 hangs.
        """
        return any(one.is_complete and not one.is_gap for one in self._segments)

    @property
    def listed_s(self) -> float:
        """From the begin of what is listed to its end, in seconds."""
        return self._segments[-1].end_s - self._segments[0].begin_s if self._segments else 0.0

    @property
    def last_complete(self) -> int:
        """The number of the last complete segment; that before the first one, where there is none.

        A window without segments says -1.
        """
        if not self._segments:
            return -1
        last = self._segments[-1]
        return last.msn if last.is_complete else last.msn - 1

    @property
    def next_part(self) -> tuple[int, int]:
        """Segment and index of the part that comes next, if the segment is not over before."""
        if not self._segments:
            return 0, 0
        last = self._segments[-1]
        return (last.msn + 1, 0) if last.is_complete else (last.msn, len(last.parts))

    def segment(self, msn: int) -> Segment | None:
        """The segment of this number; None: it is not there, or not any more."""
        if not self._segments:
            return None
        at = msn - self._segments[0].msn
        if at < 0:
            return next((one for one, _ in self._unlisted if one.msn == msn), None)
        return self._segments[at] if at < len(self._segments) else None

    def bitrates(self) -> tuple[float, float]:
        """Bits a second of complete segments: the most in one, and on average; 0: there is none."""
        whole = [one for one in self._segments if one.is_complete and one.size and one.seconds > 0]
        seconds = sum(one.seconds for one in whole)
        if not whole:
            return 0.0, 0.0
        peak = max(one.size * 8 / max(one.seconds, self.gop_s / 2) for one in whole)
        return peak, sum(one.size for one in whole) * 8 / seconds

    # ---- inside -------------------------------------------------------------------------------

    def _open(self, msn: int, first_s: float) -> Segment | None:
        """The segment that a part belongs to; None: its time is over."""
        last = self._segments[-1] if self._segments else None
        if last is not None and msn == last.msn and not last.is_complete:
            return last
        if last is not None and msn <= last.msn:
            return None
        self.end_segment(first_s)
        if last is not None:
            self._fill(last, msn)
        begin_s = first_s
        if last is not None and msn not in self.discontinuities:
            begin_s = max(self._segments[-1].end_s, self._begin_s(msn))
        elif last is None and self.begins_on_grid:
            begin_s = self._begin_s(msn)
        segment = Segment(msn, begin_s, init_id=self._init_id)
        self._append(segment)
        self._list_gap(segment, segment.begin_s, first_s)
        return segment

    def _fill(self, last: Segment, msn: int) -> None:
        """Put gaps for the numbers that have no samples; as many as there is room for."""
        most = max(MIN_SEGMENTS, int(self.limits.seconds / self.gop_s) + 1)
        first = max(last.msn + 1, msn - most)
        if first > last.msn + 1:
            while self._segments:
                self._unlist(self._segments.popleft())
        for missing in range(first, msn):
            self._append_gap(missing, self._begin_s(missing))

    def _begin_s(self, msn: int) -> float:
        """Where a segment begins on the grid, in stream time."""
        return (msn - self._base_msn) * self.gop_s

    def _append_gap(self, msn: int, begin_s: float) -> None:
        self._append(Segment(msn, begin_s, self.gop_s, is_complete=True))

    def _append(self, segment: Segment) -> None:
        self._segments.append(segment)

    def _complete(self, segment: Segment) -> None:
        """Join the parts: each is a view of the segment from now on."""
        segment.is_complete = True
        segment.data = b"".join([part.data for part in segment.parts])
        view, at, parts = memoryview(segment.data), 0, []
        for part in segment.parts:
            parts.append(part._replace(data=view[at : at + len(part.data)]))
            at += len(part.data)
        segment.parts = parts

    def _list_gap(self, segment: Segment, begin_s: float, end_s: float) -> None:
        """List that there is nothing new for a while, in parts that are not too long."""
        missing_s = end_s - begin_s
        if missing_s > _EXACT_S:
            count = ceil(missing_s / self.target - _EXACT_S)
            segment.parts += [ListedPart(missing_s / count, False, b"")] * count

    def _forget(self) -> None:
        """Drop what is beyond the limits, oldest first."""
        segments, now_s = self._segments, self._segments[-1].end_s
        self._longest_s = max(self._longest_s, now_s - segments[0].begin_s)
        while self._unlisted and (self._unlisted[0][1] <= now_s or self._is_too_large):
            self._drop(self._unlisted.popleft()[0])
        while len(segments) > MIN_SEGMENTS + 1:
            # shaka-player 5.2 asks for the first segment first, and fails at a gap.
            is_old = segments[0].is_gap or now_s - segments[1].begin_s >= self.limits.seconds
            whole = segments[-1] if segments[-1].is_complete else segments[-2]
            is_needed = whole.end_s - segments[1].begin_s < MIN_SEGMENTS * self.target_duration
            if is_needed or not (is_old or self._is_too_large):
                break
            gone = segments.popleft()
            if self._is_too_large:
                self._drop(gone)
            else:
                self._unlist(gone)

    def _unlist(self, gone: Segment) -> None:
        """List a segment no longer; it can still be asked for, as long as 6.2.2 wants."""
        if not gone.is_gap:
            until_s = max(gone.whole_s, gone.end_s) + gone.seconds + self._longest_s
            self._unlisted.append((gone, until_s))

    @property
    def _is_too_large(self) -> bool:
        return self.size > self.limits.max_bytes

    def _drop(self, gone: Segment) -> None:
        self.size -= gone.size
        if gone.init_id and gone.init_id != self._init_id:
            kept = [*self._segments, *(one for one, _ in self._unlisted)]
            if not any(segment.init_id == gone.init_id for segment in kept):
                self.size -= len(self.inits.pop(gone.init_id, b""))
