"""From the stream time of ingest to the time that goes out. Pure.

Stream time goes on with whoever publishes. Where another ingest takes a stream over and counts its
time from an earlier point, one offset puts all of its tags behind what was sent.
"""

from collections.abc import Iterable
from typing import Final

MIN_STEP_MS: Final = 40  # between the last tag of one ingest and the first of the next


class SourceTime:
    """The offset of one stream, and when it is looked at anew."""

    def __init__(self, now: float) -> None:
        self.offset_ms = 0  # from ingest's stream time to what goes out
        self._last_tag_s = now  # of those that have a time
        self._may_restart = False  # the next source headers show whether another ingest sends
        self._is_restarted = False  # it does, and none of its times is known yet

    def allow_restart(self) -> None:
        """Note that another generation sends the source from now on."""
        self._may_restart = True

    def on_headers(self, *, goes_on: bool) -> None:
        """Take source headers; does the numbering of their tags go on from those that came?"""
        if self._may_restart:
            self._may_restart = False
            self._is_restarted |= not goes_on

    def on_tags(self, begin_ms: int, sent_ms: Iterable[int], now: float) -> None:
        """Take the time that some tags begin at; `sent_ms`: the last of what was sent."""
        if self._is_restarted:
            self._is_restarted = False
            self.offset_ms = self._offset_for(begin_ms, max(sent_ms, default=None), now)
        self._last_tag_s = now

    def _offset_for(self, begin_ms: int, last_ms: int | None, now: float) -> int:
        """Let a time that begins anew land at now, after everything that was sent."""
        if last_ms is None or begin_ms > last_ms:
            return 0
        away_ms = round((now - self._last_tag_s) * 1000)
        return last_ms + max(MIN_STEP_MS, away_ms) - begin_ms
