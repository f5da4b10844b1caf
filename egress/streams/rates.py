"""Frames and bits a second over the last seconds, from counters that only grow. Pure."""

from collections import deque

WINDOW = 5  # samples, one a heartbeat


class Rates:
    """Keeps a few samples of two counters."""

    __slots__ = ("_samples",)

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int, int]] = deque(maxlen=WINDOW)

    def sample(self, now: float, frames: int, size: int) -> tuple[float, float]:
        """Frames and bits a second since the oldest sample kept; 0 at the first."""
        self._samples.append((now, frames, size))
        then, frames_then, size_then = self._samples[0]
        elapsed = now - then
        if elapsed <= 0:
            return 0.0, 0.0
        return (frames - frames_then) / elapsed, (size - size_then) * 8 / elapsed
