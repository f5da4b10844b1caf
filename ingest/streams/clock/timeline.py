"""A stream's time: the publishers' 32-bit RTMP timestamps to stream time in ms.

Stream time = publisher's time (unwrapped) + offset, one offset for audio and video, so that the two
stay in step; it belongs to the stream and outlives its publishers (docs/architecture.md has more).
The rules:

1. The first publisher's timestamps pass through: the offset is 0 unless another is given.
2. After `resume` the new publisher's first timestamp, of whatever kind, lands at the stream's now,
   and after everything sent before it (composition times included).
3. When a kind's timestamps step back by more than 1 s, or ahead by more than 10 s beyond what the
   clock advanced since its last one, the offset is set anew: that tag lands as in 2, and is marked
   a discontinuity. The other kind keeps the old offset until it makes a jump of its own, and then
   takes over the new one if that puts it near the stream's now: so tags on either side of one jump,
   mixed on the wire, don't set the offset twice, and audio and video are in step again behind it.
4. The first timestamp of a kind that comes while the other one runs must be within 10 s of the
   stream's now; else that kind runs on another clock, and is moved to now by an offset of its own.
   So is one that stays more than 10 s behind for more than 10 s in which the publisher was never
   silent: a sample counter that stood still while nothing was sent. (What was only held up on its
   way has caught up by then, or now has come back to it. Now needs up to 10 s for that, and they
   begin anew when the publisher is held up again.)
5. Smaller steps back are jitter: DTS are moved up to stay strictly increasing within a kind. The
   amount is told (`Stamp.moved_ms`), and is to be taken off the composition time, which leaves PTS.
6. A time that `source_clock.py` has set anew is no jump: it is where the two kinds are in step, so
   both get one offset from there on. Of those that they have it is the one that puts the time
   nearest to now, unless that would be before what was sent, or not within 10 s of now; then it
   lands as in 2.
7. Data messages never set the offset; one whose time is not within 10 s of now is given the last
   time sent.

The stream's now is `now_ms`: the clock reference (a stream time and the CLOCK_MONOTONIC it came
at) and what the clock advanced since. The reference is the tag that came earliest for its time in
the last 5 to 10 s, so a clock that drifts against the host's, or a publisher that fell behind for
good, moves it.

Pure: `now` is CLOCK_MONOTONIC in seconds, given by the caller.
"""

import math
from dataclasses import dataclass

from common.flv.clock32 import Unwrapper
from common.media.clock import ClockReference

MAX_STEP_BACK_MS = 1_000
MAX_STEP_AHEAD_MS = 10_000
MAX_BEHIND_S = 10.0
SILENT_S = 1.0  # without audio and video: all that comes next may have been held up
REFERENCE_WINDOW_S = 5.0


@dataclass(slots=True)  # one a tag: frozen, it costs as much again
class Stamp:
    """A tag's place in stream time. Nobody changes one."""

    dts_ms: int
    discontinuity: bool = False  # the offset was set anew for this one
    moved_ms: int = 0  # how much later than its timestamp says; take it off the composition time


@dataclass(slots=True)
class _Kind:
    """What is known of audio, or of video."""

    offset_ms: int = 0
    timestamp_ms: int | None = None  # the current publisher's last one, unwrapped
    came_s: float = 0.0  # when it came
    sent_ms: int | None = None  # the last DTS given, whoever was the publisher
    behind_since_s: float | None = None  # all that came since is far behind now


class Timeline:
    """One stream's time. Call `video`, `audio` and `data` for each tag in the order of arrival."""

    def __init__(self, *, offset_ms: int = 0) -> None:
        self.zero_unix_ms: int | None = None  # Unix time at time 0; None: it is to come
        self._offset_ms = offset_ms
        self._clock = Unwrapper()
        self._video = _Kind()
        self._audio = _Kind()
        self._landing = False  # the next timestamp is the first of a publisher that resumes
        self._end_ms: int | None = None  # the latest PTS or DTS sent
        self._running_since_s = 0.0  # the publisher was not silent
        self._clock_reference: ClockReference | None = None
        self._lead_ms = 0.0  # its own
        self._best: ClockReference | None = None  # of the window that runs …
        self._best_lead_ms = -math.inf  # … and its lead
        self._best_before: ClockReference | None = None  # of the window before it
        self._window_start_s = 0.0

    @classmethod
    def continuing(cls, clock_reference: ClockReference, end_ms: int) -> "Timeline":
        """That of a stream which ran elsewhere: its next publisher lands at its now (rule 2)."""
        timeline = cls()
        timeline._set_reference(clock_reference)
        timeline._end_ms = end_ms
        timeline._landing = True
        return timeline

    def shift(self, by_ms: int) -> None:
        """Have all times be so much later, those that were given too: it is another host's time."""
        self._offset_ms += by_ms
        for kind in (self._video, self._audio):
            kind.offset_ms += by_ms
            if kind.sent_ms is not None:
                kind.sent_ms += by_ms
        if self._end_ms is not None:
            self._end_ms += by_ms
        self._lead_ms += by_ms
        self._best_lead_ms += by_ms
        self._clock_reference = _shifted(self._clock_reference, by_ms)
        self._best = _shifted(self._best, by_ms)
        self._best_before = _shifted(self._best_before, by_ms)

    def follow_on(self, other: "Timeline", first_ms: int, now: float) -> int:
        """Go on where `other` is, from a picture of this one on that has the DTS `first_ms`.

        As in rule 2 it lands at the other's now, behind all that was sent. Returns how much later
        times are from now on.
        """
        self.zero_unix_ms = other.zero_unix_ms
        if other._clock_reference is None:
            return 0
        by_ms = other._landing_ms(now) - first_ms
        self.shift(by_ms)
        if other._end_ms is not None:
            self._sent(other._end_ms)
        return by_ms

    @property
    def offset_ms(self) -> int:
        """What is added to the publisher's time, of the kind that jumped last."""
        return self._offset_ms

    @property
    def clock_reference(self) -> ClockReference | None:
        """Which stream time belongs to which CLOCK_MONOTONIC; None before the first tag."""
        return self._clock_reference

    @property
    def end_ms(self) -> int | None:
        """The latest PTS sent; None before the first tag."""
        return self._end_ms

    def now_ms(self, now: float) -> int:
        """The stream's time now; 0 before the first tag."""
        if self._clock_reference is None:
            return 0
        return self._clock_reference.stream_ms_at(now)

    def resume(self, now: float) -> None:
        """A new publisher begins: its first timestamp lands at the stream's now (rule 2)."""
        self._clock = Unwrapper()
        for kind in (self._video, self._audio):
            kind.timestamp_ms = kind.behind_since_s = None
        if self._clock_reference is None:
            return  # the one before sent nothing: this one's timestamps pass through
        self._landing = True
        # The old publisher's clock says nothing of the new one's: only the moment stays.
        self._set_reference(ClockReference(self.now_ms(now), now))
        self._best = self._best_before = None
        self._best_lead_ms = -math.inf
        self._window_start_s = now

    def video(
        self, timestamp: int, now: float, composition_ms: int = 0, *, is_set_anew: bool = False
    ) -> Stamp:
        """The time of a picture; `composition_ms` only keeps a later landing after its PTS."""
        stamp = self._stamp(self._video, self._audio, timestamp, now, is_set_anew)
        self._sent(stamp.dts_ms + max(composition_ms - stamp.moved_ms, 0))
        return stamp

    def audio(self, timestamp: int, now: float, *, is_set_anew: bool = False) -> Stamp:
        """The time of an audio frame."""
        stamp = self._stamp(self._audio, self._video, timestamp, now, is_set_anew)
        self._sent(stamp.dts_ms)
        return stamp

    @property
    def audio_ms(self) -> int | None:
        """The DTS of the last audio given; None before the first."""
        return self._audio.sent_ms

    def fill_audio(self, dts_ms: int) -> None:
        """Audio of this time was sent while no publisher was there."""
        self._audio.sent_ms = dts_ms
        self._sent(dts_ms)

    def data(self, timestamp: int, now: float) -> Stamp:
        """The time of a data message (rule 7)."""
        if self._clock_reference is None or self._landing:
            return Stamp(self._end_ms or 0)
        time_ms = Unwrapper(self._clock.last).unwrap(timestamp) + self._offset_ms
        if abs(time_ms - self.now_ms(now)) > MAX_STEP_AHEAD_MS:
            time_ms = self._end_ms or 0
        return Stamp(time_ms)

    def _stamp(
        self, kind: _Kind, other: _Kind, timestamp: int, now: float, is_set_anew: bool
    ) -> Stamp:
        time_ms = self._clock.unwrap(timestamp)
        if now - kind.came_s > SILENT_S and now - other.came_s > SILENT_S:
            self._running_since_s = now
        last_ms, now_ms = kind.timestamp_ms, now * 1000
        discontinuity = False
        if (
            last_ms is not None
            and -MAX_STEP_BACK_MS <= time_ms - last_ms <= MAX_STEP_AHEAD_MS
            and self._lead_ms + now_ms - time_ms - kind.offset_ms <= MAX_STEP_AHEAD_MS
            and not (is_set_anew or self._landing)
        ):
            kind.behind_since_s = None  # nearly every tag
        elif self._landing:
            self._landing = False
            discontinuity = True
            self._offset_ms = kind.offset_ms = self._landing_ms(now) - time_ms
        elif is_set_anew:
            discontinuity = True
            self._follow_source_clock(kind, other, time_ms, now)
        elif kind.timestamp_ms is None:
            kind.offset_ms = self._offset_ms
            if other.timestamp_ms is not None and not self._near_now(kind, time_ms, now):
                discontinuity = True
                kind.offset_ms = self._landing_ms(now) - time_ms
        elif self._jumped(kind, time_ms, now):
            discontinuity = True
            behind_ms = kind.offset_ms != self._offset_ms
            kind.offset_ms = self._offset_ms
            if not (behind_ms and self._near_now(kind, time_ms, now)):
                self._offset_ms = kind.offset_ms = self._landing_ms(now) - time_ms
        elif self._stays_behind(kind, time_ms, now):
            discontinuity = True
            kind.offset_ms = self._landing_ms(now) - time_ms
        kind.timestamp_ms = time_ms
        kind.came_s = now
        wanted_ms = time_ms + kind.offset_ms
        dts_ms = wanted_ms if kind.sent_ms is None else max(wanted_ms, kind.sent_ms + 1)
        kind.sent_ms = dts_ms
        if (
            wanted_ms - now_ms > self._best_lead_ms
            or now - self._window_start_s >= REFERENCE_WINDOW_S
        ):
            self._follow(ClockReference(wanted_ms, now))
        return Stamp(dts_ms, discontinuity, dts_ms - wanted_ms)

    def _follow_source_clock(self, kind: _Kind, other: _Kind, time_ms: int, now: float) -> None:
        now_ms = self.now_ms(now)
        known = {self._offset_ms, kind.offset_ms, other.offset_ms}
        offset_ms = min(known, key=lambda offset_ms: abs(time_ms + offset_ms - now_ms))
        wanted_ms = time_ms + offset_ms
        is_sent = kind.sent_ms is not None and wanted_ms <= kind.sent_ms
        if is_sent or abs(wanted_ms - now_ms) > MAX_STEP_AHEAD_MS:
            offset_ms = self._landing_ms(now) - time_ms
        self._offset_ms = kind.offset_ms = other.offset_ms = offset_ms

    @staticmethod
    def _jumped(kind: _Kind, time_ms: int, now: float) -> bool:
        step_ms = time_ms - (kind.timestamp_ms or 0)
        return step_ms < -MAX_STEP_BACK_MS or (
            step_ms > MAX_STEP_AHEAD_MS + (now - kind.came_s) * 1000
        )

    def _stays_behind(self, kind: _Kind, time_ms: int, now: float) -> bool:
        if self.now_ms(now) - (time_ms + kind.offset_ms) <= MAX_STEP_AHEAD_MS:
            kind.behind_since_s = None
            return False
        if kind.behind_since_s is None:
            kind.behind_since_s = now
        return now - max(kind.behind_since_s, self._running_since_s) > MAX_BEHIND_S

    def _near_now(self, kind: _Kind, time_ms: int, now: float) -> bool:
        dts_ms = time_ms + kind.offset_ms
        if kind.sent_ms is not None and dts_ms < kind.sent_ms - MAX_STEP_BACK_MS:
            return False
        return abs(dts_ms - self.now_ms(now)) <= MAX_STEP_AHEAD_MS

    def _landing_ms(self, now: float) -> int:
        end_ms = self._end_ms
        return self.now_ms(now) if end_ms is None else max(self.now_ms(now), end_ms + 1)

    def _sent(self, pts_ms: int) -> None:
        if self._end_ms is None or pts_ms > self._end_ms:
            self._end_ms = pts_ms

    def _set_reference(self, reference: ClockReference) -> None:
        self._clock_reference = reference
        self._lead_ms = reference.lead_ms

    def _follow(self, seen: ClockReference) -> None:
        """Move the clock reference to the earliest tag of the last two windows."""
        if seen.monotonic_s - self._window_start_s >= REFERENCE_WINDOW_S:
            self._best_before, self._best = self._best, None
            self._window_start_s = seen.monotonic_s
        if self._best is None or seen.lead_ms > self._best.lead_ms:
            self._best = seen
            self._best_lead_ms = seen.lead_ms
        before, reference = self._best_before, self._clock_reference
        if reference is None:
            self._set_reference(seen)
            self._window_start_s = seen.monotonic_s
        elif before is not None and before.lead_ms > self._best_lead_ms:
            self._set_reference(before)
        elif before is not None or self._best_lead_ms >= reference.lead_ms:
            self._set_reference(self._best)


def _shifted(reference: ClockReference | None, by_ms: int) -> ClockReference | None:
    if reference is None:
        return None
    return ClockReference(reference.stream_ms + by_ms, reference.monotonic_s)
