"""Times for frames whose stamps cannot be believed: those of arrival, at the measured cadence.

Frames arrive in clumps, TCP sees to that, and yet are to be shown evenly. So each frame is given
the time of the one before plus the cadence, and the whole is led slowly to where the clock wants
it. What stays off for longer than `PATIENCE_S` was a pause, and the next frame lands where the
clock is; what a stall held up and comes at once afterwards keeps its cadence, and ends up there by
itself.

Pure; `now` is CLOCK_MONOTONIC in seconds, given by the caller.
"""

PATIENCE_S = 0.7  # the clock is ahead for so long: a pause
PAUSE_MS = 250.0
GAIN = 0.05  # of the difference, a frame
# Of the cadence, a frame: pictures at more than 1.08 of a rendition's rate are too many for it.
MOST = 0.06


class ArrivalTimes:
    """One kind of media, from the moment on at which its stamps were given up."""

    def __init__(self, time_ms: float) -> None:
        """`time_ms`: the last time given so far."""
        self._time_ms = time_ms
        self._behind_since_s: float | None = None
        self._is_first = True
        self.is_set_anew = False  # the last time given does not follow the one before

    def take(self, now: float, lead_ms: float, interval_ms: float) -> float:
        """The time of the next frame, later than the one before.

        `lead_ms`: the time that it is now, minus the clock in ms. `interval_ms`: the cadence.
        """
        target_ms = now * 1000 + lead_ms
        following_ms = self._time_ms + interval_ms
        off_ms = target_ms - following_ms
        self.is_set_anew = self._is_first or self._is_pause(off_ms, now)
        self._is_first = False
        if self.is_set_anew:
            following_ms = target_ms
        else:
            most_ms = MOST * interval_ms
            following_ms += min(most_ms, max(-most_ms, GAIN * off_ms))
        self._time_ms = max(following_ms, self._time_ms + 1)
        return self._time_ms

    def _is_pause(self, off_ms: float, now: float) -> bool:
        if off_ms <= PAUSE_MS:
            self._behind_since_s = None
            return False
        if self._behind_since_s is None:
            self._behind_since_s = now
        if now - self._behind_since_s < PATIENCE_S:
            return False
        self._behind_since_s = None
        return True
