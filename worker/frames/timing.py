"""Which pictures a stream's renditions take, and which of them are keyframes, by stream time. Pure.

Keyframes: the first picture whose PTS lies in another GOP (a multiple of `gop_ms` of stream time)
than the one before is an IDR on every rendition, and so is a session's first. Two workers that see
the same pictures find the same ones.

Rates: `picture_choice.py` has the rule.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

from common.media.rates import MAX_FPS, FrameRate
from worker.frames.picture_choice import PictureChoice, decimation

DEFAULT_RATE = Fraction(30)


def rendition_rate(source_fps: Fraction | None, cap: Fraction | None) -> Fraction:
    """The rate to expect of a rendition; a source that tells none is taken for one of 30."""
    fps = source_fps if source_fps is not None and 1 <= source_fps <= MAX_FPS else DEFAULT_RATE
    return fps / decimation(float(fps), cap)


class RateCap:
    """One rendition's choice of pictures, and the rate of what it took."""

    def __init__(self, cap: Fraction | None, declared_fps: Fraction | None = None) -> None:
        self._choice = PictureChoice(cap, declared_fps)
        self.rate = FrameRate()  # of what was taken

    def declare(self, fps: Fraction | None) -> None:
        """Another source, which says that of its rate."""
        self._choice.declare(fps)

    def divide(self, divisor: int) -> None:
        """Take every n-th of what it would take."""
        self._choice.divisor = divisor

    def takes(self, pts_ms: int, is_key: bool, source_fps: float | None) -> bool:
        """Return whether the rendition takes this picture; keyframes it must."""
        if not self._choice.takes(pts_ms, is_key, source_fps):
            return False
        self.rate.observe(pts_ms)
        return True


class KeyframeGrid:
    """The pictures that are IDRs, on a grid of stream time."""

    def __init__(self, gop_ms: int) -> None:
        self._gop_ms = max(1, gop_ms)
        self._last: int | None = None
        self._forced = False

    def force_next(self) -> None:
        """Make the next picture an IDR too: its predecessor does not look like it."""
        self._forced = True

    def is_key(self, pts_ms: int) -> bool:
        cell = pts_ms // self._gop_ms
        key = self._forced or cell != self._last
        self._last, self._forced = cell, False
        return key


class Verdict(Enum):
    """What becomes of a decoded picture."""

    ENCODE = "encode"
    SKIP = "skip"  # another generation has it, or it comes out of order
    PAST_END = "past-end"  # it and all after it belong to the next generation


@dataclass(slots=True)
class PtsWindow:
    """The pictures that are this generation's: `after_ms` < PTS, `from_ms` <= PTS < `until_ms`."""

    after_ms: int | None = None
    from_ms: int | None = None
    until_ms: int | None = None

    def judge(self, pts_ms: int) -> Verdict:
        if self.until_ms is not None and pts_ms >= self.until_ms:
            return Verdict.PAST_END
        if self.from_ms is not None and pts_ms < self.from_ms:
            return Verdict.SKIP
        if self.after_ms is not None and pts_ms <= self.after_ms:
            return Verdict.SKIP
        return Verdict.ENCODE


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with one picture."""

    verdict: Verdict
    is_key: bool = False
    renditions: tuple[int, ...] = ()


class FrameTimer:
    """All timing of a session: call `plan` with the PTS of each picture, in display order."""

    def __init__(
        self,
        gop_ms: int,
        caps: Sequence[Fraction | None],
        window: PtsWindow,
        source_fps: Fraction | None,
    ) -> None:
        self.window = window
        self.grid = KeyframeGrid(gop_ms)
        self._caps = [RateCap(cap, source_fps) for cap in caps]
        self._meter = FrameRate(source_fps, adapts=True)
        self._last_ms: int | None = None

    def new_source(self, fps: Fraction | None) -> None:
        """The source changed: what was measured of it no longer holds."""
        self._meter = FrameRate(fps, adapts=True)
        for cap in self._caps:
            cap.declare(fps)
        self.grid.force_next()

    @property
    def source_fps(self) -> float | None:
        """The source's rate, measured or declared."""
        return self._meter.fps

    @property
    def last_ms(self) -> int | None:
        """The PTS of the last picture taken, here or before the resume point."""
        times = [time for time in (self._last_ms, self.window.after_ms) if time is not None]
        return max(times, default=None)

    def rate(self, rendition: int) -> FrameRate:
        """The meter of what a rendition took."""
        return self._caps[rendition].rate

    def divide(self, rendition: int, divisor: int) -> None:
        """Have a rendition take every n-th of the pictures it would take, and its keyframes."""
        self._caps[rendition].divide(divisor)

    def begin_again(self, after_ms: int | None) -> None:
        """Go on behind a time in which no picture was taken, with a keyframe behind `after_ms`."""
        times = [time for time in (self.window.after_ms, after_ms) if time is not None]
        self.window.after_ms = max(times, default=None)
        self.grid.force_next()
        self._restart_meters()

    def repeat_picture(self, pts_ms: int) -> Plan:
        """As `plan`, for a picture that repeats the last one: it tells nothing of any rate."""
        fps = self._meter.fps
        plan = self._plan(pts_ms, fps)
        self._restart_meters()
        return plan

    def _restart_meters(self) -> None:
        for meter in (self._meter, *(cap.rate for cap in self._caps)):
            meter.restart()

    def plan(self, pts_ms: int) -> Plan:
        if self._last_ms is None or pts_ms > self._last_ms:
            self._meter.observe(pts_ms)
        return self._plan(pts_ms, self._meter.fps)

    def _plan(self, pts_ms: int, fps: float | None) -> Plan:
        if self._last_ms is not None and pts_ms <= self._last_ms:
            return Plan(Verdict.SKIP)
        verdict = self.window.judge(pts_ms)
        if verdict is not Verdict.ENCODE:
            return Plan(verdict)
        self._last_ms = pts_ms
        is_key = self.grid.is_key(pts_ms)
        taken = tuple(
            index for index, cap in enumerate(self._caps) if cap.takes(pts_ms, is_key, fps)
        )
        return Plan(verdict, is_key, taken)
