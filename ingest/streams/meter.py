"""Rates of a stream: over the last seconds by the clock, and frames per second of stream time.

Pure: `now` is CLOCK_MONOTONIC in seconds, given by the caller.
"""

from fractions import Fraction

WINDOW_S = 4
RATE_WINDOW_MS = 2_000
MAX_DECLARED_FPS = 240

_USUAL_RATES = (
    Fraction(10),
    Fraction(12),
    Fraction(15),
    Fraction(20),
    Fraction(24),
    Fraction(25),
    Fraction(30),
    Fraction(48),
    Fraction(50),
    Fraction(60),
    Fraction(90),
    Fraction(100),
    Fraction(120),
)
_USUAL_TOLERANCE = Fraction(1, 50)  # a frame more or less in a window of two seconds


class Meter:
    """Counts frames and bytes; tells their rate over the last whole seconds, at most four."""

    __slots__ = ("_bytes", "_frames", "_second", "_since", "bytes", "frames")

    def __init__(self) -> None:
        self.frames = 0  # since the start
        self.bytes = 0
        self._second = 0  # the one that is being counted
        self._since: float | None = None
        self._frames = [0] * (WINDOW_S + 1)
        self._bytes = [0] * (WINDOW_S + 1)

    def count(self, frames: int, size: int, now: float) -> None:
        self._advance(now)
        at = self._second % (WINDOW_S + 1)
        self._frames[at] += frames
        self._bytes[at] += size
        self.frames += frames
        self.bytes += size

    def frames_per_second(self, now: float) -> float:
        return self._rate(self._frames, now)

    def bits_per_second(self, now: float) -> float:
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
        if second == self._second and self._since is not None:
            return
        if self._since is None:
            self._since = now
            self._second = second
        for skipped in range(self._second + 1, min(second, self._second + WINDOW_S + 1) + 1):
            self._frames[skipped % (WINDOW_S + 1)] = 0
            self._bytes[skipped % (WINDOW_S + 1)] = 0
        self._second = max(self._second, second)


class FrameRate:
    """Frames per second of stream time, measured over windows of some seconds.

    A publisher's declared rate may be missing or wrong; a measured one that lies near a usual rate
    is told as that rate.
    """

    __slots__ = ("_begin_ms", "_frames", "fps")

    def __init__(self) -> None:
        self.fps: Fraction | None = None  # of the last whole window
        self._begin_ms: int | None = None
        self._frames = 0

    def restart(self) -> None:
        """The next frame's time has nothing to do with the last one's."""
        self._begin_ms = None

    def count(self, dts_ms: int) -> bool:
        """Take a frame; True when `fps` was measured anew."""
        if self._begin_ms is None:
            self._begin_ms = dts_ms
            self._frames = 0
            return False
        self._frames += 1
        span_ms = dts_ms - self._begin_ms
        if span_ms < RATE_WINDOW_MS:
            return False
        self.fps = _usual_rate(Fraction(self._frames * 1000, span_ms))
        self._begin_ms = dts_ms
        self._frames = 0
        return True


def _usual_rate(rate: Fraction) -> Fraction:
    nearest = min(_USUAL_RATES, key=lambda usual: abs(usual - rate))
    if abs(nearest - rate) <= nearest * _USUAL_TOLERANCE:
        return nearest
    return rate.limit_denominator(100)


def declared_rate(value: object) -> Fraction | None:
    """A frame rate that a publisher states, unless it is no sensible one."""
    if not isinstance(value, int | float | Fraction) or not 1 <= value <= MAX_DECLARED_FPS:
        return None
    return _usual_rate(Fraction(value).limit_denominator(1001))
