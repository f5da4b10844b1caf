"""One kind of media of a publisher, sound or pictures: its stamps, and the times given. Pure.

`source_clock.py` has the rules. `now` is CLOCK_MONOTONIC in seconds, given by the caller.
"""

import math
from dataclasses import dataclass

from common.flv.clock32 import Unwrapper
from ingest.streams.clock.arrival_times import ArrivalTimes
from ingest.streams.clock.stamp_pace import StampFault, StampPace

BELOW_ZERO_MS = 5_000  # a first stamp so little below 2^32 is one below zero: priming, edit lists
TRUST_S = 10.0
LEAD_WINDOW_S = 0.8
DEFAULT_INTERVAL_MS = 40.0
OFTEN_MS = 200
BACK_MS, BACK_FRAMES = 250, 6  # further behind, and for longer, than anything that is reordered
STEP_BACK_MS = 1_000  # steps back by so much are `timeline.py`'s
_LATE_MS = 100
_CADENCE_S = 4.0  # over which arrivals are counted
_OWN_CADENCE = 0.05  # frames so near to their own length come at it: less than `MOST` corrects


@dataclass(slots=True)  # one a frame: frozen, it costs half a microsecond more
class SourceTime:
    """A frame's time by its publisher, in ms; it grows beyond 32 bits. Nobody changes one."""

    ms: int
    is_set_anew: bool = False  # it does not follow the one before


class SourceKind:
    """Sound or pictures."""

    def __init__(self, name: str, *, is_sound: bool) -> None:
        self.name = name
        self.plain_until_s = 0.0  # frames that go on by a little are only counted until then …
        self.timestamp = 0  # … the last one's stamp on the wire …
        self._plain = 0  # … how many came …
        self._plain_media_ms = 0.0  # … what they amount to …
        self._plain_lead_ms = -math.inf  # … and the most that a time given was ahead of the clock
        self.pace = StampPace(is_sound=is_sound)
        self.fault: StampFault | None = None
        self.trust_s = TRUST_S  # for so long they must be right
        self.right_since_s = 0.0  # while there is a fault
        self.arrival: ArrivalTimes | None = None  # while there is a fault
        self.shift_ms = 0.0  # what is added to stamps that are believed
        self.held_back_ms = 0.0  # by how much jumps ahead were not followed
        self.most_ms = 0  # the highest time given, since stamps stepped back by much
        self.back = 0  # frames in a row that are behind that …
        self.back_ms = 0.0  # … by a step of so much
        self.set_words = ""  # what its clock was set by, if it just was
        self.filled_ms = 0.0  # what passed since the first frame of those with one stamp
        self.interval_ms: float | None = None  # the cadence of arrivals, when it was even
        self.interval_s = 0.0  # when that was looked at
        self.given_ms: int | None = None
        self.given_s = 0.0  # when that was
        self.is_moved = False  # the next time does not follow the last one
        self._clock = Unwrapper()
        # Time given minus clock of the frame that came earliest for its time, by window.
        self.lead_ms: float | None = None
        self.latest_lead_ms: float | None = None  # of the window before

    def unwrap(self, timestamp: int, beside: "SourceKind") -> int:
        """The stamp as a time near this kind's last one, else near the other kind's."""
        if self._clock.last is None:
            near = beside._clock.last
            if near is None:
                near = 0 if timestamp >= (1 << 32) - BELOW_ZERO_MS else timestamp
            self._clock = Unwrapper(near)
        return self._clock.unwrap(timestamp)

    def go_on(self, timestamp: int, step_ms: int, now: float, frame_ms: float | None) -> SourceTime:
        """The time of a plain frame."""
        assert self.given_ms is not None
        self.timestamp = timestamp
        self.given_ms = time_ms = self.given_ms + step_ms
        self.given_s = now
        self._plain += 1
        if frame_ms is not None:
            self._plain_media_ms += frame_ms
        lead_ms = time_ms - now * 1000
        if lead_ms > self._plain_lead_ms:
            self._plain_lead_ms = lead_ms
        return SourceTime(time_ms)

    def look_back(self) -> None:
        """Take plain frames into account, before anything else is decided."""
        if not self._plain:
            return
        assert self.given_ms is not None
        stamp_ms = self._clock.unwrap(self.timestamp)
        most_ms = stamp_ms + self._plain_lead_ms - self.given_ms
        self.most_ms = max(self.most_ms, self.given_ms)
        self.pace.pass_over(self._plain, stamp_ms, self.given_s, self._plain_media_ms, most_ms)
        self.follow(self._plain_lead_ms)
        self._plain, self._plain_media_ms, self._plain_lead_ms = 0, 0.0, -math.inf

    @property
    def is_plain(self) -> bool:
        """Whether the last stamp was taken as it is, and nothing is known to be odd."""
        is_believed = self.arrival is None and not (self.is_moved or self.back)
        return is_believed and not (self.held_back_ms or self.filled_ms or self.pace.jumped)

    def follow(self, lead_ms: float) -> None:
        if self.lead_ms is None or lead_ms > self.lead_ms:
            self.lead_ms = lead_ms

    @property
    def best_lead_ms(self) -> float | None:
        """Of this window and the one before."""
        leads = [lead for lead in (self.lead_ms, self.latest_lead_ms) if lead is not None]
        return max(leads, default=None)

    def now_ms(self, now: float) -> float:
        """The time that it is by its last frame, if they come often, be it in lumps."""
        interval_ms = self.pace.interval_ms()
        if self.given_ms is not None and interval_ms is not None and interval_ms <= OFTEN_MS:
            return self.given_ms
        return now * 1000 + (self.best_lead_ms or 0.0)

    def move_up(self, by_ms: float) -> None:
        self.plain_until_s = 0.0
        self.shift_ms += by_ms
        self.is_moved = True
        if self.latest_lead_ms is not None:
            self.latest_lead_ms += by_ms
        if self.lead_ms is not None:
            self.lead_ms += by_ms

    def believe(self, stamp_ms: int, now: float, frame_ms: float | None, *, is_young: bool) -> int:
        """A stamp's time; a publisher's first jumps count if no more of them come."""
        if not is_young:
            self.shift_ms += self.held_back_ms
            self.held_back_ms = 0.0
            self._go_on_if_set(stamp_ms, now, frame_ms)
        elif self.pace.jumped and self.given_ms is not None:
            following_ms = self.given_ms + (now - self.given_s) * 1000
            beyond_ms = stamp_ms + self.shift_ms - following_ms
            self.shift_ms -= beyond_ms
            self.held_back_ms += beyond_ms
        repeated_ms = self.pace.repeated_s * 1000
        if repeated_ms:  # in front of a lump much has passed
            self.filled_ms += repeated_ms if frame_ms is None else min(repeated_ms, frame_ms)
        elif self.filled_ms and not self.pace.is_repeated:
            self.filled_ms = 0.0
        time_ms = round(stamp_ms + self.shift_ms + self.filled_ms)
        return max(0, time_ms) if self.held_back_ms else time_ms

    def _go_on_if_set(self, stamp_ms: int, now: float, frame_ms: float | None) -> None:
        """Do not follow a clock that was set while frames came as ever."""
        time_ms = stamp_ms + self.shift_ms
        behind_ms = self.most_ms - time_ms
        is_back = BACK_MS < behind_ms < STEP_BACK_MS
        self.back = self.back + 1 if is_back else 0
        if self.given_ms is None or not (self.pace.is_set_ahead or is_back):
            return
        interval_ms = self.pace.interval_ms()
        if interval_ms is None or interval_ms > OFTEN_MS:
            return
        interval_ms = frame_ms or interval_ms
        if self.pace.is_set_ahead:
            passed_ms = (now - self.given_s) * 1000
            beyond_ms = time_ms - self.given_ms - max(interval_ms, passed_ms - _LATE_MS)
            self.shift_ms -= beyond_ms
            self.set_words = f"ahead by {beyond_ms / 1000:.1f} s"
        elif self.back == 1:
            self.back_ms = behind_ms + interval_ms
        elif self.back > BACK_FRAMES:
            self.back = 0
            self.shift_ms += self.back_ms
            self.is_moved = True
            self.set_words = f"back by {self.back_ms / 1000:.1f} s"

    def give(self, time_ms: int, now: float) -> None:
        """Note what time its last frame is given."""
        self.given_ms, self.given_s = time_ms, now
        if not self.most_ms - STEP_BACK_MS <= time_ms <= self.most_ms:
            self.most_ms = time_ms
        self.follow(time_ms - now * 1000)

    def cadence_ms(self, frame_ms: float | None, now: float) -> float:
        """That of its arrivals; what a stall held up and comes at once says nothing of it."""
        if self.interval_ms is None or now - self.interval_s >= LEAD_WINDOW_S:
            self.interval_s = now
            is_long = self.pace.measured_s >= _CADENCE_S / 2
            is_all = self.interval_ms is None and frame_ms is None  # that is known
            if is_all or (is_long and self.pace.is_even(_CADENCE_S)):
                self.interval_ms = self.pace.interval_ms(_CADENCE_S) or self.interval_ms
        measured_ms = self.interval_ms
        if measured_ms is None:
            return frame_ms or DEFAULT_INTERVAL_MS
        if frame_ms is not None and abs(measured_ms - frame_ms) <= _OWN_CADENCE * frame_ms:
            return frame_ms
        return measured_ms
