"""The times of freeze frames: the last picture, repeated while the publisher is away. Pure.

They follow stream time, which goes on with the host's clock, a little behind it: the publisher's
first picture lands at the stream's now when it is back, and must not meet one made ahead of it.
"""

import math

from common.media.clock import ClockReference

LAG_MS = 100  # behind stream time: longer than the publisher's return takes to get here
MAX_FPS = 60.0


class FreezeFrames:
    """The freeze frames of one absence; ask for `take` at `due_at`."""

    def __init__(
        self, reference: ClockReference, last_pts_ms: int | None, fps: float | None
    ) -> None:
        """`last_pts_ms` is the last picture's that was sent; `fps` the source's rate."""
        self.fps = fps
        self._lead_ms = reference.lead_ms - LAG_MS
        self._step_ms = 1000 / min(MAX_FPS, max(1.0, fps or 30.0))
        self._next_ms = -math.inf if last_pts_ms is None else last_pts_ms + self._step_ms

    def due_at(self, now_s: float) -> float:
        """Return when the next picture is due, in CLOCK_MONOTONIC seconds."""
        if self._next_ms == -math.inf:
            return now_s
        return (self._next_ms - self._lead_ms) / 1000

    def take(self, now_s: float) -> int | None:
        """The PTS of the picture that is due; what could not be made in time is dropped."""
        reached_ms = self._lead_ms + now_s * 1000
        if self._next_ms > reached_ms:
            return None
        if reached_ms - self._next_ms >= 2 * self._step_ms:
            self._next_ms = reached_ms
        pts_ms = round(self._next_ms)
        self._next_ms += self._step_ms
        return pts_ms
