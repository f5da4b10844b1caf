"""Which pictures a rendition that is behind drops. Pure: the caller passes the time.

Those that are older than half the queue's bound: so a starved host shows fewer pictures instead of
none up to the source's next keyframe. And those that grew older than three quarters of it while
they waited for the encoder, if others wait behind them: so the lag stays below the bound. What
waited for the session's own opening, or came before somebody played it, is caught up with, unless
the queue would overflow meanwhile.
"""

from collections.abc import Callable


class Lateness:
    """The rule of one session, whose queue takes `queue_ms` of media."""

    def __init__(self, queue_ms: int) -> None:
        self.opened_s = 0.0  # when the session was open, or what was there before was decoded
        self._late_s = queue_ms / 2000
        self._too_late_s = queue_ms * 0.75 / 1000
        self._nearly_full_ms = queue_ms * 3 // 4

    def is_late(self, received_s: float, now_s: float, queued_ms: Callable[[], int]) -> bool:
        """Return whether a picture that was received then is dropped; may ask `queued_ms`."""
        if now_s - received_s <= self._late_s:
            return False
        if now_s - self.opened_s > self._late_s:
            return True
        return queued_ms() > self._nearly_full_ms

    def is_too_late(self, received_s: float, now_s: float) -> bool:
        """Return whether a picture is dropped for those that wait behind it."""
        return now_s - received_s > self._too_late_s and now_s - self.opened_s > self._too_late_s
