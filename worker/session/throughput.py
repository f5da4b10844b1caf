"""Frames and bytes over the last seconds, and since the start. Pure: the caller passes the time."""

from collections import deque

SECONDS = 5


class Throughput:
    """Counts by whole seconds; the rates are of the last `SECONDS` that are complete."""

    def __init__(self) -> None:
        self.frames = 0
        self.bytes = 0
        self._slots: deque[tuple[int, int, int]] = deque(maxlen=SECONDS + 1)  # second, both totals
        self._first_s: float | None = None

    def add(self, size: int, now_s: float) -> None:
        """Count a frame of `size` bytes."""
        second = int(now_s)
        if self._first_s is None:
            self._first_s = now_s
        if not self._slots or self._slots[-1][0] != second:
            self._slots.append((second, self.frames, self.bytes))
        self.frames += 1
        self.bytes += size

    def rates(self, now_s: float) -> tuple[float, float]:
        """Frames and bits a second; zeros when nothing came lately."""
        second = int(now_s)
        recent = [slot for slot in self._slots if slot[0] >= second - SECONDS]
        if not recent or self._first_s is None:
            return 0.0, 0.0
        begin, frames, size = recent[0]
        elapsed_s = now_s - max(float(begin), self._first_s)
        if elapsed_s < 0.5:
            return 0.0, 0.0
        return (self.frames - frames) / elapsed_s, (self.bytes - size) * 8 / elapsed_s
