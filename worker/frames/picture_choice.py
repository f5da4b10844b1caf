"""Which pictures one rendition takes, by counting them over time. Pure.

A rendition with a rate takes every n-th picture, n the smallest number that brings the source to
that rate, so the spacing is even: 60 to 30 takes every second, 50 to 30 every second too (25 a
second, not 30 with a stutter), 25 to 30 all. Stamps that jitter change nothing: pictures are
counted, and a single uneven step decides nothing. Over time the count is held to the clock:

- More than `tolerance` pictures ahead of the rendition's rate: some are left out. So a source of
  variable rate is never faster than that for long.
- More than that behind what every n-th of the source's measured rate gives: the source has become
  slower than was measured, and pictures in between are taken.

The tolerance is one picture and `JITTER_MS` of them. What is ahead or behind is forgotten within
seconds, since a measured rate is never quite the real one. Before the source's rate is known at
all, pictures are taken by the rendition's rate, one too early at most. Keyframes are always taken.

Stamps of a clock that runs slow make pictures look more frequent than they are, until ingest finds
it (`ingest/streams/clock/source_clock.py`). So a source is believed to have the rate that it
declares until `SPARE_S` of the rendition's pictures went beyond its rate; that grows back slowly.
"""

import math
from fractions import Fraction

RATE_TOLERANCE = 0.05  # a source so much faster than a rendition's rate is taken whole
JITTER_MS = 50.0  # of stamps, from the earliest to the latest
EARLY = 0.9  # pictures, while the source's rate is not known …
# … but for the second one: sources of two or three times the rate are taken evenly from the start.
START = -0.6
SPARE_S = 1.0
_SPARE_BACK = 0.005  # pictures, with each that is within the rate
_STICKY = 0.03  # of a rate: n stays so far beyond its borders
_MEMORY_MS = 1000.0
_GAP_MS = 1000  # longer pauses count as this


def decimation(source_fps: float, cap: Fraction | None) -> int:
    """n, where a rendition of at most `cap` frames a second takes every n-th picture."""
    if cap is None or source_fps <= 0:
        return 1
    return max(1, math.ceil(source_fps / float(cap) - RATE_TOLERANCE))


def tolerance(fps: float) -> float:
    """Return how many pictures of this rate jitter may bring early or late."""
    return 1 + fps * JITTER_MS / 1000


class PictureChoice:
    """One rendition's choice; tell it of each picture in display order."""

    def __init__(self, cap: Fraction | None, declared_fps: Fraction | None = None) -> None:
        """`declared_fps` is what the source says of itself."""
        self.divisor = 1  # takes every n-th of what it would take
        self._cap = cap
        self._most_spare = SPARE_S * float(cap or 0)
        self.declare(declared_fps)
        self._n = 0  # of the source's pictures, the divisor left aside; 0: not known
        self._last_ms: int | None = None
        self._count = 0  # pictures since the last one taken
        # Pictures that the clock allows beyond those taken: by the rendition's own rate, and by
        # every n-th of the source's.
        self._allowed = 0.0
        self._owed = 0.0

    def declare(self, fps: Fraction | None) -> None:
        """Another source, which says that of itself."""
        self._declared_n = decimation(float(fps), self._cap) if fps else 0  # 0: not known
        self._spare = self._most_spare if fps else 0.0
        self._is_believed = self._spare >= 1

    def takes(self, pts_ms: int, is_key: bool, source_fps: float | None) -> bool:
        """Return whether the rendition takes this picture; keyframes it must."""
        is_first = self._last_ms is None
        step_ms = 0 if self._last_ms is None else min(max(0, pts_ms - self._last_ms), _GAP_MS)
        self._last_ms = pts_ms
        self._count += 1
        if source_fps is None:
            if is_first and self._cap is not None:
                self._allowed = START
            is_due = self._is_due_by_rate(step_ms)
        else:
            is_due = self._is_due_by_count(step_ms, source_fps)
        if not (is_due or is_key or is_first):
            return False
        self._count = 0
        if not is_first:
            self._allowed -= 1
            self._owed -= 1
        return True

    def _is_due_by_rate(self, step_ms: int) -> bool:
        if self._cap is None:
            return True
        self._allowed = min(1.0, self._allowed + step_ms * self._limit_fps / 1000)
        return self._allowed >= 1 - EARLY

    def _is_due_by_count(self, step_ms: int, source_fps: float) -> bool:
        n = self._decimation(source_fps)
        if self._is_believed:
            n = min(n, self._declared_n)
        n *= self.divisor
        if n == 1 and self._cap is None:
            return True
        memory = max(0.0, 1 - step_ms / _MEMORY_MS)
        pace_fps = source_fps / n
        most = tolerance(pace_fps)
        self._owed = min(most + 1, self._owed * memory + step_ms * pace_fps / 1000)
        limit_fps = self._limit_fps * (1 + RATE_TOLERANCE)
        if math.isfinite(limit_fps):
            grown = self._allowed * memory + step_ms * limit_fps / 1000
            self._allowed = min(tolerance(limit_fps), grown)
            if self._allowed >= 1 - tolerance(limit_fps):
                if self._declared_n and self._spare < self._most_spare:
                    self._spare += _SPARE_BACK
                    self._is_believed |= 2 * self._spare >= self._most_spare
            elif self._is_believed and self._count >= n:
                self._spare -= 1
                self._allowed += 1  # … as if it had not been taken
                self._is_believed = self._spare >= 1
            else:
                return False
        return self._count >= n or self._owed > most

    def _decimation(self, source_fps: float) -> int:
        """n, which does not change to and fro about a border."""
        if self._cap is not None and self._n:
            ratio = source_fps / float(self._cap) - RATE_TOLERANCE
            if self._n - 1 - _STICKY < ratio <= self._n + _STICKY:
                return self._n
        self._n = decimation(source_fps, self._cap)
        return self._n

    @property
    def _limit_fps(self) -> float:
        """The rendition's rate."""
        return math.inf if self._cap is None else float(self._cap) / self.divisor
