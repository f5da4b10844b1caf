"""One rule for publishers' clocks: which times their stamps mean. One `SourceClock` a publisher.

Real stamps are milliseconds that run with the clock. Many are not. For each kind of media, sound
and picture, the pace of the stamps is measured against that of the arrivals and that of the media
itself (`stamp_pace.py`), and this machine decides:

1. Stamps that keep up with the clock, give or take half a second, are taken as they are.
2. So are those that fit the media where more of it comes than the clock allows: a file sent fast, a
   relay's cached GOP, what a stall held up. `reading_pace.py` decides how fast that is read.
3. A single jump is a clock that was set: where frames come as ever, their times go on as before.
   Steps back by `STEP_BACK_MS` are left to `timeline.py`; smaller ones show by `BACK_FRAMES` that
   stay behind. In a publisher's first `YOUNG_S` jumps are held back that long, and followed if no
   more come: at another unit each step is one, and players get none of these.
4. Media in real time whose stamps are in another unit, run at another pace, stand, or jump from
   frame to frame get times of arrival, at the measured cadence (`arrival_times.py`). Where the
   stamps of the other kind are good, these times are on its clock.
5. Stamps that have been right again for `TRUST_S` are taken again; if they fail once more, that
   takes four times as long.
6. Sound and picture that part by more than `PARTED_MS`, and stay so, are put together again:
   whichever is behind is moved up. How far they are apart at the start is how a publisher is made.
7. Stamps below zero at the start (2^32 - 43 means -43) move all of them up, so that none is.

Nothing is ever moved back: what has been given to players stays true.

`notices` says in words what was decided, for the log; `words` what holds now, for status.

Nearly all frames are plain: their stamps are believed, and go on by a little. Between two looks at
the paces these are only counted, as this runs for every frame of every publisher.

Pure; `now` is CLOCK_MONOTONIC in seconds, given by the caller.
"""

from common.flv.clock32 import Unwrapper
from ingest.streams.clock.arrival_times import ArrivalTimes
from ingest.streams.clock.source_kind import LEAD_WINDOW_S, TRUST_S, SourceKind, SourceTime
from ingest.streams.clock.stamp_pace import STANDING, FaultKind, StampFault

START_S = 10.0  # stamps below zero are a start's
YOUNG_S = 0.6
PARTED_MS = 750
PARTED_AT_START_MS = 3_000  # less than this is how a publisher is made
_STEADY_MS = 300  # how much the distance of sound and picture varies, at most, once they parted
_LEAD_WINDOWS = 3
PLAIN_STEP_MS = 400  # less than any jump
_FOLLOWED_MS = 10  # a window: how fast times of arrival follow a good clock
_SETTLING_S = 4.0
_AHEAD_MS = 100  # of the good clock, which is moved up beyond it: times never go back


class SourceClock:
    """One publisher's times. Call `video`, `audio` and `data` in the order of arrival."""

    def __init__(self) -> None:
        self.notices: list[str] = []  # for the log; who reads them empties it
        self.parted = ""  # the one that sound and picture parted; who reads it empties it
        self._picture = SourceKind("picture", is_sound=False)
        self._sound = SourceKind("sound", is_sound=True)
        self._started_s: float | None = None
        self._lead_ms = 0.0  # of times of arrival: what it is now, minus the clock
        self._given_up_s = 0.0  # when stamps were given up last
        self._window_s = 0.0  # when the window of leads began
        self._usual_ms: float | None = None  # how far pictures are ahead of sound, as they began
        self._apart_ms: list[float] = []  # likewise, by the last windows

    @property
    def words(self) -> str:
        """What is wrong now, and what is done about it; empty when nothing is."""
        faults = [
            f"{kind.name} times {kind.fault.words}"
            for kind in (self._picture, self._sound)
            if kind.fault is not None
        ]
        return f"{', '.join(faults)}: stamped by arrival" if faults else ""

    @property
    def faults(self) -> tuple[tuple[str, str], ...]:
        """What is wrong now, by the code of its notice."""
        words: dict[str, list[str]] = {}
        for kind in (self._picture, self._sound):
            if kind.fault is not None:
                words.setdefault(kind.fault.kind.value, []).append(
                    f"{kind.name} times {kind.fault.words}"
                )
        return tuple(
            (code, f"{', '.join(found)}: stamped by arrival") for code, found in words.items()
        )

    def video(self, timestamp: int, now: float, frame_ms: float | None = None) -> SourceTime:
        """The time of a picture; `frame_ms` by the rate that the publisher declares."""
        kind = self._picture
        step_ms = timestamp - kind.timestamp
        if now < kind.plain_until_s and 1 < step_ms <= PLAIN_STEP_MS:
            return kind.go_on(timestamp, step_ms, now, frame_ms)
        return self._take(kind, self._sound, timestamp, now, frame_ms)

    def audio(self, timestamp: int, now: float, frame_ms: float | None = None) -> SourceTime:
        """The time of an audio frame; `frame_ms` is its length in samples, if that is known."""
        kind = self._sound
        step_ms = timestamp - kind.timestamp
        if now < kind.plain_until_s and 1 < step_ms <= PLAIN_STEP_MS:
            return kind.go_on(timestamp, step_ms, now, frame_ms)
        return self._take(kind, self._picture, timestamp, now, frame_ms)

    def data(self, timestamp: int, now: float) -> int:
        """The time of a data message: it follows the pictures', and decides nothing."""
        kind = self._sound if self._picture.given_ms is None else self._picture
        if kind.arrival is not None:
            return round(now * 1000 + self._lead_ms)
        beside = Unwrapper(kind.given_ms)
        return round(beside.unwrap(timestamp + round(kind.shift_ms)))

    # ---- inside -------------------------------------------------------------------------------

    def _take(
        self,
        kind: SourceKind,
        other: SourceKind,
        timestamp: int,
        now: float,
        frame_ms: float | None,
    ) -> SourceTime:
        if self._started_s is None:
            self._started_s = self._window_s = now
        kind.look_back()
        other.look_back()
        kind.timestamp = timestamp
        if kind.given_ms is None and other.given_ms is not None and other.arrival is None:
            kind.shift_ms = other.shift_ms + other.held_back_ms
        stamp_ms = kind.unwrap(timestamp, other)
        if kind.pace.observe(stamp_ms, now, frame_ms, self._sound.pace.media_ms):
            self._judge(kind, other, now)
        if now - self._window_s >= LEAD_WINDOW_S:
            self._end_window(now)
        if kind.arrival is not None:
            interval_ms = kind.cadence_ms(frame_ms, now)
            time_ms = round(kind.arrival.take(now, self._lead_ms, interval_ms))
            is_set_anew = kind.arrival.is_set_anew
            kind.shift_ms = time_ms - stamp_ms
            kind.back = 0
        else:
            below_ms = -stamp_ms - kind.shift_ms - kind.held_back_ms
            if below_ms > 0 and now - self._started_s <= START_S:
                self._move_above_zero(below_ms)
            is_young = now - self._started_s <= YOUNG_S
            time_ms = kind.believe(stamp_ms, now, frame_ms, is_young=is_young)
            is_set_anew = False
            if kind.set_words:
                self.notices.append(
                    f"{kind.name} times were set {kind.set_words}: they go on as before"
                )
                kind.set_words = ""
        is_set_anew, kind.is_moved = is_set_anew or kind.is_moved, False
        kind.give(time_ms, now)
        if now - self._started_s > YOUNG_S and kind.is_plain:
            kind.plain_until_s = min(kind.pace.due_s, self._window_s + LEAD_WINDOW_S)
        else:
            kind.plain_until_s = 0.0
        return SourceTime(time_ms, is_set_anew)

    # ---- stamps that cannot be believed -------------------------------------------------------

    def _judge(self, kind: SourceKind, other: SourceKind, now: float) -> None:
        fault = kind.pace.judge()
        if kind.fault is None:
            if fault is not None:
                shares = other.fault is None and self._share_a_fault(kind, other, fault)
                self._give_up([kind, other] if shares else [kind], fault, now)
        elif fault is not None:
            kind.right_since_s = now
        elif now - kind.right_since_s >= kind.trust_s and kind.pace.keeps_time(TRUST_S):
            kind.fault = kind.arrival = None
            kind.trust_s *= 4
            self.notices.append(f"{kind.name} times are right again, and are taken again")

    def _share_a_fault(self, kind: SourceKind, other: SourceKind, fault: StampFault) -> bool:
        """Whether the other kind's stamps run along: they come from the same clock."""
        window_s = max(0.3, min(kind.pace.measured_s, other.pace.measured_s, 4.0))
        mine, its = kind.pace.ratio(window_s), other.pace.ratio(window_s)
        if mine is None or its is None or fault.kind is FaultKind.JUMPING:
            return False
        if fault.kind is FaultKind.STANDING:
            return its < STANDING
        return abs(mine - its) < abs(its - 1)

    def _give_up(self, kinds: list[SourceKind], fault: StampFault, now: float) -> None:
        """Go by arrival from here on, never behind what was given."""
        both = (self._picture, self._sound)
        good = [
            kind
            for kind in both
            if kind.fault is None and kind not in kinds and kind.best_lead_ms is not None
        ]
        lead_ms = max(
            (k.given_ms - now * 1000 for k in both if k.given_ms is not None), default=0.0
        )
        begin_ms: float | None = None
        if good:
            lead_ms = good[0].best_lead_ms or 0.0
            begin_ms = good[0].now_ms(now)
            ahead_ms = max(kind.given_ms or 0.0 for kind in kinds) - begin_ms
            if ahead_ms > _AHEAD_MS:
                good[0].move_up(ahead_ms)
                lead_ms, begin_ms = lead_ms + ahead_ms, begin_ms + ahead_ms
        self._lead_ms = lead_ms
        self._given_up_s = now
        for kind in kinds:
            kind.fault = fault
            kind.right_since_s = now
            kind.held_back_ms = 0.0
            kind.pace.restart()
        for kind in both:
            kind.plain_until_s = 0.0
            if kind.fault is not None:
                kind.arrival = ArrivalTimes(kind.given_ms or 0, begin_ms)
        names = " and ".join(kind.name for kind in both if kind in kinds)
        self.notices.append(f"{names} times {fault.words}: times of arrival are taken instead")
        self._apart_ms.clear()

    # ---- sound and picture ---------------------------------------------------------------------

    def _move_above_zero(self, by_ms: float) -> None:
        for kind in (self._picture, self._sound):
            kind.plain_until_s = 0.0
            if kind.arrival is None:
                kind.shift_ms += by_ms
                kind.is_moved = kind.given_ms is not None
        self.notices.append(f"its times begin {by_ms:.0f} ms below zero: all are moved up")

    def _end_window(self, now: float) -> None:
        """Compare sound and picture by the frames that came earliest for their times."""
        self._window_s = now
        picture, sound = self._picture, self._sound
        if picture.lead_ms is not None and sound.lead_ms is not None:
            self._compare(picture.lead_ms - sound.lead_ms)
        self._lead_arrivals(now)
        for kind in (picture, sound):
            kind.latest_lead_ms, kind.lead_ms = kind.lead_ms, None

    def _lead_arrivals(self, now: float) -> None:
        """Where some stamps are good, times of arrival stay on their clock.

        Else there is none to be on, and at first it is moved to the frames that came least late.
        """
        arrivals = [kind.arrival for kind in (self._picture, self._sound) if kind.arrival]
        if not arrivals:
            return
        for kind in (self._picture, self._sound):
            if kind.arrival is None and kind.best_lead_ms is not None:
                off_ms = kind.best_lead_ms - self._lead_ms
                self._lead_ms += min(_FOLLOWED_MS, max(-_FOLLOWED_MS, off_ms))
                return
        if now - self._given_up_s <= _SETTLING_S:
            self._lead_ms = max(self._lead_ms, *(arrival.most_ms for arrival in arrivals))

    def _compare(self, apart_ms: float) -> None:
        """Put sound and picture together again if they parted for good."""
        apart = self._apart_ms
        apart.append(apart_ms)
        if len(apart) < _LEAD_WINDOWS:
            return
        del apart[:-_LEAD_WINDOWS]
        if max(apart) - min(apart) > _STEADY_MS:
            return
        steady_ms = sorted(apart)[_LEAD_WINDOWS // 2]
        if self._usual_ms is None:
            self._usual_ms = steady_ms if abs(steady_ms) <= PARTED_AT_START_MS else 0.0
        off_ms = steady_ms - self._usual_ms
        if abs(off_ms) <= PARTED_MS:
            return
        behind = self._sound if off_ms > 0 else self._picture
        if behind.arrival is None:
            behind.move_up(abs(off_ms))
            self.parted = (
                f"sound and picture parted by {abs(off_ms) / 1000:.1f} s: "
                f"the {behind.name} was moved up"
            )
            self.notices.append(self.parted)
        apart.clear()
