"""What of a publisher is beyond its template's limits, as it is measured. Pure.

A bitrate is too high when more has come than the limit's bytes since the start and `BURST_S` of
them besides, the latter being what an outage that `idle_timeout` allows may hold up. So bursts harm
nobody, and twice the limit is seen after `BURST_S`. A frame rate is too high when stream time has
it so for `FPS_S` without a break.
"""

from fractions import Fraction

from common.config.limits import StreamLimits, beyond_bitrate, beyond_fps

BURST_S = 20.0
FPS_S = 4.0


class LimitWatch:
    """Watches one publisher; `now` is CLOCK_MONOTONIC in seconds."""

    def __init__(self, limits: StreamLimits, received_bytes: int, now: float) -> None:
        """`received_bytes`: what its connection had read by then."""
        self._limits = limits
        self._started_s = now
        self._received_bytes = received_bytes
        self._looked_s = now
        self._above_bytes = 0.0  # what has come beyond the limit's rate
        self._is_fast_since_s: float | None = None

    def look(self, received_bytes: int, fps: Fraction | None, now: float) -> str:
        """Say why it has to end; "": it may go on. Several times a second.

        `fps`: as measured lately by stream time.
        """
        limits = self._limits
        if limits.duration_s and now - self._started_s >= limits.duration_s:
            return (
                f"it has published for {limits.duration_s:g} s, as long as this app lets it "
                "(max_duration): publish again later"
            )
        return self._too_much(received_bytes, now) or self._too_fast(fps, now)

    def _too_much(self, received_bytes: int, now: float) -> str:
        came = received_bytes - self._received_bytes
        elapsed_s = now - self._looked_s
        self._received_bytes, self._looked_s = received_bytes, now
        limit = self._limits.bitrate_bps / 8
        self._above_bytes = max(0.0, self._above_bytes + came - limit * elapsed_s)
        if self._above_bytes <= limit * BURST_S:
            return ""
        measured_s = min(BURST_S, max(1.0, now - self._started_s))
        return beyond_bitrate(self._limits, 8 * (limit + self._above_bytes / measured_s))

    def _too_fast(self, fps: Fraction | None, now: float) -> str:
        words = beyond_fps(self._limits, fps) if fps is not None else ""
        if not words:
            self._is_fast_since_s = None
            return ""
        if self._is_fast_since_s is None:
            self._is_fast_since_s = now
        return words if now - self._is_fast_since_s >= FPS_S else ""
