"""When what came in bulk goes on: at its own pace, and nothing twice. Pure.

An HLS playlist brings whole segments, seconds of media at once. They go on as their times say, so
that all behind sees them as it sees a camera's. What is late by more than `SLACK_S` (a segment that
was not there in time) goes on at once, and what follows is paced from there: pictures stand for
that long, and then nothing is hurried.

Who connects anew gets segments of before, too, and from a server whose encoder has gone nothing
else. So what the last connection brought (`before_s`) is left out at the begin of the next one.
"""

import math
from typing import Final

SLACK_S: Final = 0.25  # timers and turns of the loop are late, too
MAX_STEP_S: Final = 10.0  # between two units; a larger one is a source that begins anew
AGAIN_S: Final = 60.0  # so far back a playlist reaches, at most


class Pacing:
    """The pace of one connection, whose sound and pictures are interleaved."""

    def __init__(self, before_s: float = -math.inf) -> None:
        """`before_s`: the newest of the source's times that the connection before this brought."""
        self._base_s: float | None = None  # the host's clock at the source's time 0
        self.newest_s = before_s  # of the source's times
        self._before_s = before_s
        self._has_begun = False

    def due_s(self, media_s: float, now: float) -> float | None:
        """When a unit of this time is to go on, at `now` or later; None: never, it is there twice.

        Each unit is asked about once, in the order of arrival.
        """
        if not self._has_begun:
            if self._before_s - AGAIN_S <= media_s <= self._before_s:
                return None
            self._has_begun = True
            self.newest_s = media_s
        if self._base_s is None or abs(media_s - self.newest_s) > MAX_STEP_S:
            self._base_s, self.newest_s = now - media_s, media_s
            return now
        if media_s <= self.newest_s:  # of the other track
            return now
        self.newest_s = media_s
        if now - self._base_s - media_s > SLACK_S:
            self._base_s = now - media_s
        return max(now, self._base_s + media_s)
