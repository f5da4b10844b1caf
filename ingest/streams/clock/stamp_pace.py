"""How the stamps of one kind of media run against the clock, and whether they can be believed.

Three paces are compared over windows of 0.35 to 16 s:

- *stamps*: what the publisher's timestamps advanced, single jumps left out;
- *clock*: what CLOCK_MONOTONIC advanced between the arrivals;
- *media*: what the frames themselves amount to, where that is known: AAC frames have a length in
  samples, pictures a declared rate. Sound tells more, so it is asked first, for pictures too.

Stamps are believed when they keep up with the clock, or with the media: a file sent at ten times
real time, a relay's cached GOP and what a stall held up all come fast and have right stamps. They
are at fault when the media come in real time and the stamps do something else; when many steps
from frame to frame are jumps, or some of them again and again (a clock that begins anew with each
GOP); when `SAME_STAMP_FRAMES` in a row have the same stamp and do not come together, or most frames
have that of the one before. Where nothing tells what the frames amount to, frames that came evenly
for 2 s came in real time.

Arrivals are late by up to half a second now and then, so a difference from the clock counts only
beyond some jitter: less of it where sound tells what came, as it is late together with what it
tells of. A jump ahead is one only beyond the most that stamps were ahead of the clock so far: what
an encoder leaves out when its network is slow makes its stamps catch up.

Pure; `now` is CLOCK_MONOTONIC in seconds, given by the caller.
"""

import math
from dataclasses import dataclass
from enum import Enum

from ingest.streams.clock.pace_marks import MARK_S, Mark, PaceMarks

JITTER_MS = 600.0  # arrivals against stamps
JITTER_BESIDE_MS = 250.0  # … where the sound beside pictures tells that their stamps are wrong
JITTER_FRAMES = 8  # … and so many of these pictures
JITTER_EXACT_MS = 200.0  # … where the frames' own lengths do
CERTAIN_MS = 9_000  # in longer windows the jitter and a real clock's drift may add up …
START_S = 1.0  # … and first frames are less late than all others
DRIFT = 0.015  # of the clock: real clocks are better by far
OWN_SLACK_MS, OWN_SHARE = 300.0, 0.12  # stamps against a declared rate
EXACT_SLACK_MS, EXACT_SHARE = 100.0, 0.01  # … and against lengths in samples
WINDOWS_S = (0.35, 0.7, 1.2, 1.7, 2.5, 3.5, 5.0, 8.0, 16.0)
LATELY_S = 0.2
LEAST_FRAMES = 10
LEAST_JUMPS = 4
SET_AGAIN_JUMPS, SET_AGAIN_S = 3, 16.0  # a clock that is set so often is none
JUMP_AHEAD_MS = 500  # beyond what the clock advanced
JUMP_BACK_MS = 450
# … or less, where frames are short: what is reordered steps back by fewer of them
STEP_BACK_MS, STEP_BACK_FRAMES = 150, 5
LUMP_S = 3.0  # some send what so long brings at once, again and again: nothing was held up
HELD_UP_MS = 700  # a frame so much later than its stamp: what comes now was held up, or paused
TOGETHER_S = 0.005  # frames that arrive closer tell nothing of a jump
BEYOND_MS = 250  # than which no jump ahead is beyond what stamps were ahead so far
STANDING = 0.1  # of the clock's pace
SAME_STAMP_FRAMES = 6
SAME_STAMP_S = 0.15
SELDOM_S = 1.5  # the same, where two frames show it for so long
STEPPING_S, STEPPING_SHARE = 1.2, 0.6  # of steps over that time, those that are none
EVEN_S, LONG_EVEN_S = 2.0, 8.0
LONG_MS = 7_500  # over so long a declared rate that the arrivals confirm tells …
LONG_SHARE = 0.04  # … so much


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
                return f"run {_two_digits(self.ratio)} times as fast as the clock"
            case FaultKind.STANDING:
                return "stand still"
            case FaultKind.JUMPING:
                return "jump from one to the next"


@dataclass(frozen=True, slots=True)
class _Media:
    """What the frames of a window amount to."""

    ms: float
    slack_ms: float
    share: float
    jitter_ms: float = JITTER_MS  # of arrivals, where this tells that stamps are wrong
    is_declared: bool = False  # a rate that the publisher states: it tells little by itself

    def fits(self, stamps_ms: float) -> bool:
        """Whether stamps say the same."""
        return abs(stamps_ms - self.ms) <= self.slack_ms + self.share * self.ms


@dataclass(slots=True)
class _Calm:
    """Since when no window can hold a fault, as with nearly every publisher.

    At every mark since then the stamps were as far from the clock as now, within what the strictest
    rule allows, and none of them jumped.
    """

    lead_ms: float = 0.0
    jumps: int = 0
    since_s: float = 0.0

    def look(self, lead_ms: float, jumps: int, now_s: float) -> float:
        """Return how long that is."""
        if abs(lead_ms - self.lead_ms) > JITTER_EXACT_MS / 2 or jumps != self.jumps:
            self.lead_ms, self.jumps, self.since_s = lead_ms, jumps, now_s
        return now_s - self.since_s


class StampPace:
    """The stamps of sound, or of pictures; tell it of each frame."""

    def __init__(self, *, is_sound: bool) -> None:
        self._is_sound = is_sound
        self._marks = PaceMarks()
        self._now_s = 0.0
        self._last_ms: int | None = None
        self._stamps_ms = self._raw_ms = self._sound_ms = 0.0
        self.media_ms = 0.0  # what the frames amount to, since the start
        self.jumped = False  # the last stamp, ahead, and its frame did not come with another …
        self.is_set_ahead = False  # … and beyond what stamps were ahead so far
        self.repeated_s = 0.0  # since the frame before, which had the same stamp and came alone
        self._peak_ms = 0.0  # the most that stamps were ahead of the clock, since they jumped back
        self._held_up_s = -math.inf  # when a frame came that had been
        self._same = 0  # frames in a row with the stamp of the one before …
        self._same_since_s = 0.0  # … whose arrival was then
        self._all_same = 0  # such frames in all
        self._frames = self._jumps = self._apart = self._back = 0
        self._calm = _Calm()

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
        passed_ms = passed_s * 1000
        if step_ms > 1 or step_ms < -1:
            self._same, self._same_since_s = 0, now
            self.repeated_s = 0.0
        else:
            self._same += 1
            self._all_same += 1
            self.repeated_s = passed_s if passed_s >= TOGETHER_S else 0.0
        lead_ms = self._raw_ms - now * 1000
        if (step_ms - passed_ms > JUMP_AHEAD_MS and not _is_own_step(step_ms, frame_ms)) or (
            step_ms < -STEP_BACK_MS and step_ms < -_most_back_ms(frame_ms)
        ):
            self._jump(step_ms, passed_s, lead_ms)
        else:
            self.jumped = self.is_set_ahead = False
            self._stamps_ms += step_ms
        if lead_ms > self._peak_ms:
            self._peak_ms = lead_ms
        if passed_s >= 1.0 and step_ms > 1 and passed_ms - step_ms > HELD_UP_MS:
            is_lump = passed_s <= LUMP_S and now - self._held_up_s <= 2.5 * passed_s
            self._held_up_s = now
            if not is_lump:
                self.restart()
                return False
        if now - self._marks.last_s < MARK_S:
            return False
        self._marks.add(self._mark())
        return True

    def pass_over(
        self, frames: int, stamp_ms: int, now: float, media_ms: float, most_ms: float
    ) -> None:
        """Take several frames at once, none of them odd and none due to be looked at.

        `stamp_ms` is that of the last one, which came at `now`; `media_ms` what all amount to;
        `most_ms` the most that one of these stamps was ahead of the clock.
        """
        assert self._last_ms is not None
        step_ms = stamp_ms - self._last_ms
        self._raw_ms += step_ms
        self._stamps_ms += step_ms
        self._peak_ms = max(self._peak_ms, self._raw_ms - stamp_ms + most_ms)
        self._last_ms, self._now_s = stamp_ms, now
        self._frames += frames
        self.media_ms += media_ms
        self._same, self._same_since_s, self.repeated_s = 0, now, 0.0
        self.jumped = self.is_set_ahead = False

    @property
    def due_s(self) -> float:
        """When the next frame makes it time to `judge`."""
        return self._marks.last_s + MARK_S if self._marks else 0.0

    @property
    def is_repeated(self) -> bool:
        """Whether the last frame had the stamp of the one before."""
        return self._same > 0

    def restart(self) -> None:
        """Measure anew from the last frame on."""
        self._marks.begin(self._mark())

    @property
    def measured_s(self) -> float:
        """For how long was measured."""
        return self._now_s - self._marks.first_s if self._marks else 0.0

    def interval_ms(self, window_s: float = 4.0) -> float | None:
        """The mean time between arrivals over the last seconds; None: too few came."""
        if not self._marks:
            return None
        since = self._since(window_s)
        frames = self._frames - since.frames
        return (self._now_s - since.s) * 1000 / frames if frames >= LEAST_FRAMES else None

    def is_even(self, window_s: float) -> bool:
        """Whether arrivals were about as frequent in each part of the last seconds."""
        return self._marks.is_even(self._mark(), window_s)

    def judge(self) -> StampFault | None:
        """What is wrong by one of the windows, if anything is."""
        if self._same >= 2 and self._repeats_a_stamp():
            return StampFault(FaultKind.STANDING)
        lead_ms = self._stamps_ms - self._now_s * 1000
        calm_s, measured_s = self._calm.look(lead_ms, self._jumps, self._now_s), self.measured_s
        if calm_s >= min(measured_s, WINDOWS_S[-1]) - MARK_S:
            return None
        if self._jumps and self._is_set_again():
            return StampFault(FaultKind.JUMPING)
        for window_s in WINDOWS_S:
            if measured_s < window_s + (START_S if window_s * 1000 > CERTAIN_MS else 0.0):
                break
            if window_s > calm_s:
                fault = self._judge_window(self._since(window_s))
                if fault is not None:
                    return fault
        return self._judge_even() if measured_s >= EVEN_S else None

    def keeps_time(self, window_s: float) -> bool:
        """Whether the stamps ran with the clock over so long, with its jitter."""
        ratio = self.ratio(window_s)
        return ratio is None or abs(ratio - 1) <= DRIFT + JITTER_EXACT_MS / 1000 / window_s

    def ratio(self, window_s: float) -> float | None:
        """What the stamps advanced over the last seconds, jumps and all, by the clock's pace."""
        if not self._marks:
            return None
        since = self._since(window_s)
        clock_ms = (self._now_s - since.s) * 1000
        return (self._raw_ms - since.raw_ms) / clock_ms if clock_ms > 0 else None

    # ---- inside -------------------------------------------------------------------------------

    def _jump(self, step_ms: int, passed_s: float, lead_ms: float) -> None:
        """Note a step that is not what passed, unless stamps only catch up by it."""
        self.jumped = step_ms > 0 and passed_s >= TOGETHER_S
        self.is_set_ahead = self.jumped and lead_ms > self._peak_ms + BEYOND_MS
        if step_ms > 0 and lead_ms <= self._peak_ms + BEYOND_MS:
            self._stamps_ms += step_ms
            return
        self._jumps += 1
        self._apart += passed_s >= TOGETHER_S
        self._back += step_ms < 0
        self._stamps_ms += passed_s * 1000
        self._peak_ms = lead_ms

    def _repeats_a_stamp(self) -> bool:
        """Whether the last frames have one stamp, or most of the last second that of another."""
        same_s = self._now_s - self._same_since_s
        if same_s >= (SAME_STAMP_S if self._same >= SAME_STAMP_FRAMES else SELDOM_S):
            return True
        if self.measured_s < STEPPING_S:
            return False
        since = self._since(STEPPING_S)
        frames, same = self._frames - since.frames, self._all_same - since.same
        return frames >= 2 * LEAST_FRAMES and same >= STEPPING_SHARE * frames

    def _is_set_again(self) -> bool:
        """Whether single jumps come again and again."""
        since = self._since(SET_AGAIN_S)
        jumps = self._jumps - since.jumps
        return jumps >= SET_AGAIN_JUMPS and jumps * 4 < self._frames - since.frames

    def _begin(self, stamp_ms: int, now: float, sound_ms: float) -> None:
        self._last_ms, self._now_s, self._sound_ms = stamp_ms, now, sound_ms
        self._same_since_s = now
        self._peak_ms = -now * 1000
        self._calm = _Calm(-now * 1000, since_s=now)
        self._marks.begin(self._mark())

    def _mark(self) -> Mark:
        return Mark(
            self._now_s,
            self._stamps_ms,
            self._raw_ms,
            self._all_same,
            self.media_ms,
            self._sound_ms,
            self._frames,
            self._jumps,
            self._apart,
            self._back,
        )

    def _since(self, window_s: float) -> Mark:
        """The latest mark that is at least so old, else the first."""
        return self._marks.since(self._now_s - window_s)

    def _judge_window(self, since: Mark) -> StampFault | None:
        clock_ms = (self._now_s - since.s) * 1000
        frames, jumps = self._frames - since.frames, self._jumps - since.jumps
        if frames < LEAST_FRAMES:
            return None
        media = self._media(since, clock_ms)
        if jumps >= LEAST_JUMPS and jumps * 4 >= frames:
            return self._judge_jumps(since, clock_ms, media)
        stamps_ms = self._stamps_ms - since.stamps_ms
        jitter_ms = JITTER_MS if media is None else media.jitter_ms
        if abs(stamps_ms - clock_ms) <= jitter_ms + DRIFT * clock_ms:
            return None
        is_standing = stamps_ms < STANDING * clock_ms
        if media is None:
            # a picture each two milliseconds comes from no camera
            is_fault = is_standing and stamps_ms < 2 * frames
        else:
            off_ms = stamps_ms - clock_ms
            media_off_ms = abs(media.ms - clock_ms)
            is_real_time = media_off_ms <= min(abs(off_ms), JITTER_MS + 0.25 * clock_ms)
            is_fault = is_real_time and not media.fits(stamps_ms)
            is_little = not self._is_sound and abs(off_ms) <= JITTER_MS
            if is_little and not media.is_declared:
                return None  # a network that jitters by half a second looks like that
            if not is_fault and media.is_declared and clock_ms >= LONG_MS:
                slack_ms = OWN_SLACK_MS + LONG_SHARE * clock_ms
                is_confirmed = abs(media.ms - clock_ms) <= slack_ms / 2
                is_little = is_fault = is_confirmed and abs(off_ms) > slack_ms
            if is_fault and (is_little or clock_ms > CERTAIN_MS):
                is_fault = self._drifts(since, off_ms, jitter_ms + DRIFT * clock_ms)
        if not is_fault:
            return None
        lately = self._since(LATELY_S)
        lately_ms = self._stamps_ms - lately.stamps_ms
        if is_standing or lately_ms < STANDING * (self._now_s - lately.s) * 1000:
            return StampFault(FaultKind.STANDING)
        return StampFault(FaultKind.PACE, stamps_ms / clock_ms)

    def _drifts(self, since: Mark, off_ms: float, least_ms: float) -> bool:
        """Whether the frames that were least late are off the clock's pace too, and so far."""
        drift_ms = self._marks.drift_ms(since, self._now_s)
        if drift_ms is None:
            return False
        return drift_ms * off_ms > 0 and abs(drift_ms) >= max(0.75 * abs(off_ms), least_ms)

    def _judge_jumps(self, since: Mark, clock_ms: float, media: _Media | None) -> StampFault | None:
        """Many steps were jumps: of a fast pace, to and fro, or none where that much media came."""
        raw_ms = self._raw_ms - since.raw_ms
        if self._back - since.back >= LEAST_JUMPS:
            is_fault = True
        elif media is None:
            is_fault = self._apart - since.apart >= LEAST_JUMPS
        else:
            is_fault = not media.fits(raw_ms)
        if not is_fault:
            return None
        is_fast = self._back == since.back and raw_ms > 3 * clock_ms
        return StampFault(FaultKind.PACE if is_fast else FaultKind.JUMPING, raw_ms / clock_ms)

    def _media(self, since: Mark, clock_ms: float) -> _Media | None:
        """What came in the window by its own lengths."""
        own_ms = self.media_ms - since.media_ms
        sound_ms = self._sound_ms - since.sound_ms
        if not self._is_sound and sound_ms >= max(300.0, 0.3 * clock_ms):
            # each picture may be late by itself: of few that tells more
            interval_ms = clock_ms / max(1, self._frames - since.frames)
            jitter_ms = min(JITTER_MS, max(JITTER_BESIDE_MS, JITTER_FRAMES * interval_ms))
            if abs(sound_ms - clock_ms) > jitter_ms / 2:  # … and so tells a network that jitters
                jitter_ms = JITTER_MS
            return _Media(sound_ms, jitter_ms, EXACT_SHARE, jitter_ms)
        if not own_ms:
            return None
        if self._is_sound:
            return _Media(own_ms, EXACT_SLACK_MS, EXACT_SHARE, JITTER_EXACT_MS)
        return _Media(own_ms, OWN_SLACK_MS, OWN_SHARE, is_declared=True)

    def _judge_even(self) -> StampFault | None:
        """Stamps off the clock's pace, of frames that nothing is known of but that come evenly."""
        for window_s in (EVEN_S, LONG_EVEN_S):
            since = self._since(window_s)
            if self.measured_s < window_s or self._media(since, window_s * 1000) is not None:
                return None
            clock_ms = (self._now_s - since.s) * 1000
            stamps_ms = self._stamps_ms - since.stamps_ms
            least_ms, off_ms = JITTER_MS + DRIFT * clock_ms, stamps_ms - clock_ms
            if abs(off_ms) <= least_ms:
                continue
            if window_s > EVEN_S and not self._drifts(since, off_ms, least_ms):
                continue
            frames = self._frames - since.frames
            if frames >= 2 * LEAST_FRAMES and self.is_even(window_s):
                return StampFault(FaultKind.PACE, stamps_ms / clock_ms)
        return None


def _is_own_step(step_ms: int, frame_ms: float | None) -> bool:
    """Whether that is how far apart such frames are."""
    return frame_ms is not None and step_ms <= 1.5 * frame_ms


def _most_back_ms(frame_ms: float | None) -> float:
    """How far back a step may be that is no jump."""
    if frame_ms is None:
        return JUMP_BACK_MS
    return min(JUMP_BACK_MS, max(STEP_BACK_MS, STEP_BACK_FRAMES * frame_ms))


def _two_digits(value: float) -> str:
    """1.79 as "1.8", 1003.2 as "1000"."""
    rounded = float(f"{value:.2g}")
    return f"{rounded:.0f}" if rounded >= 10 else f"{rounded:g}"
