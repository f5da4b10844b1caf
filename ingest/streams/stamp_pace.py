"""How the stamps of one kind of media run against the clock, and whether they can be believed.

Three paces are compared over windows of 0.6 to 8 s:

- *stamps*: what the publisher's timestamps advanced, single jumps left out;
- *clock*: what CLOCK_MONOTONIC advanced between the arrivals;
- *media*: what the frames themselves amount to, where that is known: AAC frames have a length in
  samples, pictures a declared rate. Sound tells more, so it is asked first, for pictures too.

Stamps are believed when they keep up with the clock, or with the media: a file sent at ten times
real time, a relay's cached GOP and what a stall held up all come fast and have right stamps. They
are at fault when the media come in real time and the stamps do something else, when many steps
from frame to frame are jumps, and when `SAME_STAMP_FRAMES` in a row have the same stamp and do not
come together. Where nothing tells what the frames amount to, frames that came
evenly for 2 s came in real time.

Arrivals are late by up to half a second now and then, so a difference from the clock counts only
beyond `JITTER_MS`. Pure; `now` is CLOCK_MONOTONIC in seconds, given by the caller.
"""

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

JITTER_MS = 600.0  # arrivals against stamps
JITTER_EXACT_MS = 300.0  # … where the frames' own lengths show that the stamps are wrong
DRIFT = 0.02  # of the clock: real clocks are better by far
OWN_SLACK_MS, OWN_SHARE = 150.0, 0.12  # stamps against the frames' own lengths
MARK_S = 0.1  # between two looks
WINDOWS_S = (0.35, 0.7, 1.2, 2.5, 5.0, 8.0)
LATELY_S = 0.2
LEAST_FRAMES = 10
LEAST_JUMPS = 4
JUMP_AHEAD_MS = 500  # beyond what the clock advanced
JUMP_BACK_MS = 450
HELD_UP_MS = 700  # a frame so much later than its stamp: what comes now was held up, or paused
TOGETHER_S = 0.005  # frames that arrive closer tell nothing of a jump
STANDING = 0.1  # of the clock's pace
SAME_STAMP_FRAMES = 6
SAME_STAMP_S = 0.15
EVEN_S = 2.0
_EVEN_PARTS = 4
_EVEN = 0.4  # how much the parts of an even window differ from their mean, at most


class FaultKind(Enum):
    """What is wrong with stamps; the value is the code of its notice."""

    PACE = "clock-pace"  # another unit, or a clock that runs fast or slow
    STANDING = "clock-stands"
    JUMPING = "clock-jumps"  # from frame to frame


@dataclass(frozen=True, slots=True)
class StampFault:
    """Stamps that cannot be believed."""

    kind: FaultKind
    ratio: float = 0.0  # of their pace to the clock's

    @property
    def words(self) -> str:
        """What they do, for people: "run 90 times as fast as the clock"."""
        match self.kind:
            case FaultKind.PACE:
                return f"run {self.ratio:.2g} times as fast as the clock"
            case FaultKind.STANDING:
                return "stand still"
            case FaultKind.JUMPING:
                return "jump from one to the next"


@dataclass(frozen=True, slots=True)
class _Mark:
    """What had come by a moment."""

    s: float
    stamps_ms: float = 0.0  # jumps counted as the time that passed
    raw_ms: float = 0.0
    media_ms: float = 0.0  # by the frames' own lengths
    sound_ms: float = 0.0  # likewise of the sound beside pictures
    frames: int = 0
    jumps: int = 0
    apart: int = 0  # of them, those that did not arrive with the frame before
    back: int = 0  # of them


@dataclass(frozen=True, slots=True)
class _Media:
    """What the frames of a window amount to."""

    ms: float
    slack_ms: float
    share: float
    is_exact: bool = False

    def fits(self, stamps_ms: float) -> bool:
        """Whether stamps say the same."""
        return abs(stamps_ms - self.ms) <= self.slack_ms + self.share * self.ms


class StampPace:
    """The stamps of sound, or of pictures; tell it of each frame."""

    def __init__(self, *, is_sound: bool) -> None:
        self._is_sound = is_sound
        self._marks: deque[_Mark] = deque()
        self._now_s = 0.0
        self._last_ms: int | None = None
        self._stamps_ms = self._raw_ms = self._sound_ms = 0.0
        self.media_ms = 0.0  # what the frames amount to, since the start
        self.jumped = False  # the last stamp, ahead, and its frame did not come with another
        self._same = 0  # frames in a row with the stamp of the one before …
        self._same_since_s = 0.0  # … whose arrival was then
        self._frames = self._jumps = self._apart = self._back = 0
        # Stamps minus clock, and jumps, when they were last looked at and had changed.
        self._calm_lead_ms = 0.0
        self._calm_jumps = 0
        self._calm_since_s = 0.0

    def observe(
        self, stamp_ms: int, now: float, frame_ms: float | None, sound_ms: float = 0.0
    ) -> bool:
        """Take a frame; whether it is time to `judge`.

        `frame_ms` is its length, if it is known; `sound_ms` what the sound amounts to by now.
        """
        if self._last_ms is None:
            self._begin(stamp_ms, now, sound_ms)
            return False
        step_ms = stamp_ms - self._last_ms
        passed_s = now - self._now_s
        self._last_ms, self._now_s = stamp_ms, now
        self._sound_ms = sound_ms
        self._frames += 1
        self._raw_ms += step_ms
        if frame_ms is not None:
            self.media_ms += frame_ms
        if abs(step_ms) > 1:
            self._same, self._same_since_s = 0, now
        else:
            self._same += 1
        self.jumped = step_ms - passed_s * 1000 > JUMP_AHEAD_MS and passed_s >= TOGETHER_S
        if step_ms - passed_s * 1000 > JUMP_AHEAD_MS or step_ms < -JUMP_BACK_MS:
            self._jumps += 1
            self._apart += passed_s >= TOGETHER_S
            self._back += step_ms < 0
            self._stamps_ms += passed_s * 1000
        else:
            self._stamps_ms += step_ms
        if passed_s >= 1.0 and passed_s * 1000 - step_ms > HELD_UP_MS:
            self.restart()
            return False
        if now - self._marks[-1].s < MARK_S:
            return False
        self._marks.append(self._mark())
        while now - self._marks[0].s > WINDOWS_S[-1] + 1.0:
            self._marks.popleft()
        return True

    def restart(self) -> None:
        """Measure anew from the last frame on."""
        self._marks.clear()
        self._marks.append(self._mark())

    @property
    def measured_s(self) -> float:
        """For how long was measured."""
        return self._now_s - self._marks[0].s if self._marks else 0.0

    def interval_ms(self, window_s: float = 4.0) -> float | None:
        """The mean time between arrivals over the last seconds; None: too few came."""
        if not self._marks:
            return None
        since = self._since(window_s)
        frames = self._frames - since.frames
        return (self._now_s - since.s) * 1000 / frames if frames >= LEAST_FRAMES else None

    def judge(self) -> StampFault | None:
        """What is wrong by one of the windows, if anything is."""
        if self._same >= SAME_STAMP_FRAMES and self._now_s - self._same_since_s >= SAME_STAMP_S:
            return StampFault(FaultKind.STANDING)
        if self._is_calm():
            return None
        for window_s in WINDOWS_S:
            if self.measured_s < window_s:
                break
            fault = self._judge_window(self._since(window_s))
            if fault is not None:
                return fault
        return self._judge_even() if self.measured_s >= EVEN_S else None

    def ratio(self, window_s: float) -> float | None:
        """What the stamps advanced over the last seconds, jumps and all, by the clock's pace."""
        if not self._marks:
            return None
        since = self._since(window_s)
        clock_ms = (self._now_s - since.s) * 1000
        return (self._raw_ms - since.raw_ms) / clock_ms if clock_ms > 0 else None

    # ---- inside -------------------------------------------------------------------------------

    def _is_calm(self) -> bool:
        """Return whether no window can hold a fault, as with nearly every publisher.

        At every mark of the longest window the stamps were as far from the clock as now, within
        what the strictest rule allows, and none of them jumped.
        """
        lead_ms = self._stamps_ms - self._now_s * 1000
        is_other = abs(lead_ms - self._calm_lead_ms) > JITTER_EXACT_MS / 2
        if is_other or self._jumps != self._calm_jumps:
            self._calm_lead_ms, self._calm_jumps = lead_ms, self._jumps
            self._calm_since_s = self._now_s
        return self._now_s - self._calm_since_s > WINDOWS_S[-1] + 1.0 + MARK_S

    def _begin(self, stamp_ms: int, now: float, sound_ms: float) -> None:
        self._last_ms, self._now_s, self._sound_ms = stamp_ms, now, sound_ms
        self._same_since_s = now
        self._marks.append(self._mark())

    def _mark(self) -> _Mark:
        return _Mark(
            self._now_s,
            self._stamps_ms,
            self._raw_ms,
            self.media_ms,
            self._sound_ms,
            self._frames,
            self._jumps,
            self._apart,
            self._back,
        )

    def _since(self, window_s: float) -> _Mark:
        """The latest mark that is at least so old, else the first."""
        at = bisect_right(self._marks, self._now_s - window_s, key=lambda mark: mark.s)
        return self._marks[max(0, at - 1)]

    def _judge_window(self, since: _Mark) -> StampFault | None:
        clock_ms = (self._now_s - since.s) * 1000
        frames, jumps = self._frames - since.frames, self._jumps - since.jumps
        if frames < LEAST_FRAMES:
            return None
        media = self._media(since, clock_ms)
        if jumps >= LEAST_JUMPS and jumps * 4 >= frames:
            return self._judge_jumps(since, clock_ms, media)
        stamps_ms = self._stamps_ms - since.stamps_ms
        jitter_ms = JITTER_EXACT_MS if media is not None and media.is_exact else JITTER_MS
        if abs(stamps_ms - clock_ms) <= jitter_ms + DRIFT * clock_ms:
            return None
        is_standing = stamps_ms < STANDING * clock_ms
        if media is None:
            # a picture each two milliseconds comes from no camera
            is_fault = is_standing and stamps_ms < 2 * frames
        else:
            own = _Media(self.media_ms - since.media_ms, OWN_SLACK_MS, OWN_SHARE)
            is_real_time = abs(media.ms - clock_ms) <= JITTER_MS + 0.25 * clock_ms
            is_fault = is_real_time and not media.fits(stamps_ms) and not own.fits(stamps_ms)
        if not is_fault:
            return None
        lately = self._since(LATELY_S)
        lately_ms = self._stamps_ms - lately.stamps_ms
        if is_standing or lately_ms < STANDING * (self._now_s - lately.s) * 1000:
            return StampFault(FaultKind.STANDING)
        return StampFault(FaultKind.PACE, stamps_ms / clock_ms)

    def _judge_jumps(
        self, since: _Mark, clock_ms: float, media: _Media | None
    ) -> StampFault | None:
        """Many steps were jumps: of a fast pace, to and fro, or none where that much media came."""
        raw_ms = self._raw_ms - since.raw_ms
        if media is None:
            is_fault = self._apart - since.apart >= LEAST_JUMPS
        else:
            is_fault = not media.fits(raw_ms)
        if not is_fault:
            return None
        is_fast = self._back == since.back and raw_ms > 3 * clock_ms
        return StampFault(FaultKind.PACE if is_fast else FaultKind.JUMPING, raw_ms / clock_ms)

    def _media(self, since: _Mark, clock_ms: float) -> _Media | None:
        """What came in the window by its own lengths."""
        own_ms = self.media_ms - since.media_ms
        sound_ms = self._sound_ms - since.sound_ms
        if not self._is_sound and sound_ms >= max(300.0, 0.3 * clock_ms):
            return _Media(sound_ms, JITTER_MS, 0.05)
        if not own_ms:
            return None
        if self._is_sound:
            return _Media(own_ms, OWN_SLACK_MS, OWN_SHARE, is_exact=True)
        return _Media(own_ms, 300.0, OWN_SHARE)

    def _judge_even(self) -> StampFault | None:
        """Stamps off the clock's pace, of frames that nothing is known of but that come evenly."""
        since = self._since(EVEN_S)
        if self._media(since, EVEN_S * 1000) is not None:
            return None
        clock_ms = (self._now_s - since.s) * 1000
        stamps_ms = self._stamps_ms - since.stamps_ms
        if abs(stamps_ms - clock_ms) <= JITTER_MS + DRIFT * clock_ms:
            return None
        marks = [self._since(EVEN_S * part / _EVEN_PARTS) for part in range(_EVEN_PARTS, 0, -1)]
        marks.append(self._mark())
        rates = [
            (after.frames - before.frames) / (after.s - before.s)
            for before, after in pairwise(marks)
            if after.s > before.s
        ]
        mean = (self._frames - since.frames) / clock_ms * 1000
        if mean * EVEN_S < 2 * LEAST_FRAMES or any(abs(r - mean) > _EVEN * mean for r in rates):
            return None
        return StampFault(FaultKind.PACE, stamps_ms / clock_ms)
