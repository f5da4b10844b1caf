"""When a driver last refused this worker an encoder session, and what was told of it. Pure.

An encoder that was lost by the driver's cap on sessions is tried for again and again. As long as
the cap was met a moment ago and no session of this worker has ended since, a try would meet it
too, in a thread and behind a lock that other streams wait for. And what it meets is no news.
`met`, `freed` and `is_near` may be called from any thread, `is_news` from the loop's.
"""

import math

NEAR_S = 30.0  # other programs' sessions end too, which nobody tells
TOLD_S = 540.0  # what was told holds for 600 s at the supervisor


class EncoderLimit:
    """Of a worker, for all its sessions."""

    def __init__(self) -> None:
        self._met_s = -math.inf
        self._told: tuple[int, float] | None = None  # sessions that were open, and when

    def met(self, now_s: float) -> None:
        self._met_s = now_s

    def freed(self) -> None:
        """A session of this worker has ended: there may be room for another."""
        self._met_s = -math.inf

    def is_near(self, now_s: float) -> bool:
        """Whether there is no point in trying."""
        return now_s - self._met_s < NEAR_S

    def is_news(self, open_sessions: int, now_s: float, *, is_again: bool) -> bool:
        """Whether to tell the supervisor, now; `is_again`: met by another try for a lost rendition.

        A new session that was refused always is: it was placed here by what is known there.
        """
        if is_again and self._told is not None:
            told, told_s = self._told
            if told == open_sessions and now_s - told_s < TOLD_S:
                return False
        self._told = (open_sessions, now_s)
        return True

    def forget_told(self) -> None:
        """Another supervisor was told nothing."""
        self._told = None
