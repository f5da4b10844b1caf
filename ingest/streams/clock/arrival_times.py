"""Times for frames whose stamps cannot be believed: those of arrival, at the measured cadence.

Frames arrive in clumps, TCP and some senders see to that, and yet are to be shown evenly. So each
frame is given the time of the one before plus the cadence, and the whole is led slowly to where
those that came least late are to be: at the clock. What stays behind it for longer than
`PATIENCE_S` was a pause, and the next frame lands where the clock is; what a stall held up and
comes at once afterwards keeps its cadence, and ends up there by itself.

Pure; `now` is CLOCK_MONOTONIC in seconds, given by the caller.
"""

import math

PATIENCE_S = 0.7  # the clock is ahead for so long: a pause
PAUSE_MS = 250.0
GAIN = 0.1  # of the difference, a frame
# Of the cadence, a frame: pictures at more than 1.08 of a rendition's rate are too many for it.
MOST = 0.06
WINDOW_S = 0.4  # of which, and the one before, the frame counts that came least late


class ArrivalTimes:
    """One kind of media, from the moment on at which its stamps were given up."""

    def __init__(self, time_ms: float, begin_ms: float | None = None) -> None:
        """`time_ms`: the last time given so far.

        `begin_ms`: where the next frame lands, unless that is before it; None: at the clock.
        """
        self._time_ms = time_ms
        self._begin_ms = begin_ms
        self._behind_since_s: float | None = None
        self._is_first = True
        # The most that a time was ahead of the clock, in this window and in the one before.
        self._most_ms = self._most_before_ms = -math.inf
        self._window_s = 0.0
        self.is_set_anew = False  # the last time given does not follow the one before

    def take(self, now: float, lead_ms: float, interval_ms: float) -> float:
        """The time of the next frame, later than the one before.

        `lead_ms`: the time that it is now, minus the clock in ms. `interval_ms`: the cadence.
        """
        now_ms = now * 1000
        following_ms = self._time_ms + interval_ms
        if self._is_first or self._is_pause(now_ms + lead_ms - following_ms, now):
            self.is_set_anew = True
            following_ms = now_ms + lead_ms
            if self._is_first and self._begin_ms is not None:
                following_ms = self._begin_ms
            self._is_first = False
            self._most_ms = self._most_before_ms = -math.inf
            self._window_s = now
        else:
            self.is_set_anew = False
            if now - self._window_s >= WINDOW_S:
                self._window_s = now
                self._most_before_ms, self._most_ms = self._most_ms, -math.inf
            self._most_ms = max(self._most_ms, following_ms - now_ms)
            if self._most_before_ms > -math.inf:  # else the rest of a lump may be to come
                most_ms = MOST * interval_ms
                change_ms = min(most_ms, max(-most_ms, GAIN * (lead_ms - self.most_ms)))
                following_ms += change_ms
                self._most_ms += change_ms
                self._most_before_ms += change_ms
        self._time_ms = max(following_ms, self._time_ms + 1)
        return self._time_ms

    @property
    def most_ms(self) -> float:
        """The most that times were ahead of the clock lately, in ms; -inf where none was given."""
        return max(self._most_ms, self._most_before_ms)

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
