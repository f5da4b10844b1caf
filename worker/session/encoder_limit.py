"""When a driver last refused this worker an encoder session, and what was reported of it. Pure.

An encoder that was lost by the driver's limit on sessions is tried for again and again. As long as
the limit was reached a moment ago and no session of this worker has ended since, a try would reach
it too, in a thread and behind a lock that other streams wait for. And what it reports is no news.
`reached`, `freed` and `is_near` may be called from any thread, `is_news` from the loop's.
"""

import math

NEAR_S = 30.0  # other programs' sessions end too, which nobody reports
REPORTED_S = 540.0  # what was reported holds for 600 s at the supervisor


class EncoderLimit:
    """The driver's limit on encoder sessions, as all sessions of a worker have met it."""

    def __init__(self) -> None:
        self._reached_s = -math.inf
        self._reported: tuple[int, float] | None = None  # sessions that were open, and when

    def reached(self, now_s: float) -> None:
        """Note that the driver refused a session."""
        self._reached_s = now_s

    def freed(self) -> None:
        """Note that a session of this worker has ended: there may be room for another."""
        self._reached_s = -math.inf

    def is_near(self, now_s: float) -> bool:
        """Return whether there is no point in trying."""
        return now_s - self._reached_s < NEAR_S

    def is_news(self, open_sessions: int, now_s: float, *, is_again: bool) -> bool:
        """Return whether to report it; `is_again`: met by another try for a lost rendition.

        A new session that was refused always is news: it was placed here by what is known there.
        """
        if is_again and self._reported is not None:
            reported, reported_s = self._reported
            if reported == open_sessions and now_s - reported_s < REPORTED_S:
                return False
        self._reported = (open_sessions, now_s)
        return True

    def forget_reports(self) -> None:
        """Another supervisor has been reported nothing."""
        self._reported = None
