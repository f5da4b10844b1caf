"""Rates: by the host's clock, by stream time, and the frame rates that are in use. Pure.

`now` is CLOCK_MONOTONIC in seconds, given by the caller.
"""

from collections import deque
from fractions import Fraction
from itertools import pairwise

WINDOW_S = 4  # whole seconds that a throughput is told over
MAX_FPS = 240  # what is more is no frame rate
EXACT = 0.004  # of a rate: 30 and 30000/1001 are apart by 0.001
COARSE = 0.02  # a frame more or less in two seconds

_WINDOW_FRAMES = 120
_JITTER_MS = 90  # of stamps: what tells another rate is more
_EVEN, _MOST = 0.4, 14  # so many of its steps are even, give or take this share
_LATEST_FRAMES = 20  # that tell another rate …
ANOTHER_RATE = 1.2  # … if it is that much more, or less
_LEAST_FRAMES = 30  # that tell a rate, their jitter and rounding evened out
_GAP_MS = 1000  # a longer pause tells nothing of the rate

USUAL_RATES = (
    *(Fraction(rate) for rate in (10, 12, 15, 20, 24, 25, 30, 48, 50, 60, 90, 100, 120)),
    *(Fraction(rate * 1000, 1001) for rate in (15, 24, 30, 60)),
)


def usual_rate(fps: float | Fraction, tolerance: float = EXACT) -> Fraction:
    """The rate in use that a measured or declared one means, else itself in thousandths."""
    given = float(fps)
    nearest = min(USUAL_RATES, key=lambda rate: abs(float(rate) - given))
    if abs(float(nearest) - given) <= tolerance * nearest:
        return nearest
    return Fraction(max(1, round(fps * 1000)), 1000)


def declared_rate(value: object) -> Fraction | None:
    """A frame rate that somebody states, unless it is no sensible one."""
    if not isinstance(value, int | float | Fraction) or not 1 <= value <= MAX_FPS:
        return None
    return usual_rate(value, COARSE)


class Throughput:
    """Counts frames and bytes; tells their rates over the last whole seconds, at most four."""

    __slots__ = ("_bytes", "_frames", "_second", "_since", "bytes", "frames")

    def __init__(self) -> None:
        self.frames = 0  # since the start
        self.bytes = 0
        self._second = 0  # the one that is being counted
        self._since: float | None = None
        self._frames = [0] * (WINDOW_S + 1)
        self._bytes = [0] * (WINDOW_S + 1)

    def count(self, frames: int, size: int, now: float) -> None:
        """Count so many frames of `size` bytes together."""
        if int(now) != self._second or self._since is None:
            self._advance(now)
        at = self._second % (WINDOW_S + 1)
        self._frames[at] += frames
        self._bytes[at] += size
        self.frames += frames
        self.bytes += size

    def frames_per_second(self, now: float) -> float:
        """The frames a second; 0 when nothing came lately."""
        return self._rate(self._frames, now)

    def bits_per_second(self, now: float) -> float:
        """The bits a second; 0 when nothing came lately."""
        return self._rate(self._bytes, now) * 8

    def _rate(self, counts: list[int], now: float) -> float:
        if self._since is None:
            return 0.0
        self._advance(now)
        running = self._second % (WINDOW_S + 1)
        whole = min(WINDOW_S, self._second - int(self._since))
        if whole == 0:
            # less than a second boundary has passed: what there is, over the time there was
            return counts[running] / max(now - self._since, 1.0)
        seconds = min(float(WINDOW_S), self._second - self._since)
        return (sum(counts) - counts[running]) / max(seconds, 1.0)

    def _advance(self, now: float) -> None:
        second = int(now)
        if self._since is None:
            self._since = now
            self._second = second
        for skipped in range(self._second + 1, min(second, self._second + WINDOW_S + 1) + 1):
            self._frames[skipped % (WINDOW_S + 1)] = 0
            self._bytes[skipped % (WINDOW_S + 1)] = 0
        self._second = max(self._second, second)


class FrameRate:
    """Frames per second of stream time: the mean over the last frames observed.

    A pause or a step in time starts it anew, unless `gap_ms` is None. One that `adapts` forgets
    what was before, and what was declared, when the last frames come at quite another rate.
    """

    __slots__ = ("_adapts", "_gap_ms", "_least_frames", "_mixed", "_prior", "_times")

    def __init__(
        self,
        prior: Fraction | None = None,
        *,
        frames: int = _WINDOW_FRAMES,
        least_frames: int = _LEAST_FRAMES,
        gap_ms: int | None = _GAP_MS,
        adapts: bool = False,
    ) -> None:
        """`prior` holds until `least_frames` frame intervals are measured."""
        self._prior = prior if prior is not None and 1 <= prior <= MAX_FPS else None
        self._least_frames = least_frames
        self._gap_ms = gap_ms
        self._adapts = adapts
        self._mixed = 0  # frames to come until those before another rate are forgotten
        self._times: deque[int] = deque(maxlen=frames)

    def observe(self, time_ms: int) -> None:
        """Take the time of the next frame."""
        times = self._times
        if times and self._gap_ms is not None and not 0 < time_ms - times[-1] <= self._gap_ms:
            times.clear()
        times.append(time_ms)
        if self._adapts:
            if self._mixed:
                self._mixed -= 1
                if not self._mixed:
                    self._keep_latest()
            elif 2 * len(times) > 3 * _LATEST_FRAMES:
                self._forget_another_rate()

    def restart(self) -> None:
        """Measure anew: what was seen so far is not followed by what comes."""
        self._times.clear()

    def go_on(self) -> None:
        """Measure anew from the last frame on."""
        last_ms = self._times[-1]
        self._times.clear()
        self._times.append(last_ms)

    def _forget_another_rate(self) -> None:
        times = self._times
        mean_ms = (times[-1] - times[0]) / (len(times) - 1)
        latest_ms = (times[-1] - times[-1 - _LATEST_FRAMES]) / _LATEST_FRAMES
        is_near = mean_ms / ANOTHER_RATE <= latest_ms <= mean_ms * ANOTHER_RATE
        if is_near or abs(latest_ms - mean_ms) * _LATEST_FRAMES <= _JITTER_MS:
            return
        latest = [times[at] for at in range(-1 - _LATEST_FRAMES, 0)]
        steps_ms = [after - before for before, after in pairwise(latest)]
        if sum(abs(step_ms - latest_ms) <= _EVEN * latest_ms for step_ms in steps_ms) < _MOST:
            return  # stamps that jump tell no rate
        self._keep_latest()
        self._mixed = _LATEST_FRAMES
        self._prior = None
        self._least_frames = min(self._least_frames, _LATEST_FRAMES - 1)

    def _keep_latest(self) -> None:
        while len(self._times) > _LATEST_FRAMES + 1:
            self._times.popleft()

    @property
    def measured_ms(self) -> int:
        """The time over which `fps` was measured; 0: it was not, it is what was declared."""
        times = self._times
        return times[-1] - times[0] if len(times) > self._least_frames else 0

    @property
    def fps(self) -> float | None:
        """None while nothing is known."""
        measured_ms = self.measured_ms
        if measured_ms:
            return (len(self._times) - 1) * 1000 / measured_ms
        return float(self._prior) if self._prior is not None else None
