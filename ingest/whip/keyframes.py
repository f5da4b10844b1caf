"""When a publisher is asked for a keyframe (PLI). Pure; the time is given.

Until the first one, and after a loss until the next one, often; else when none has come for the
template's gop. Who does not hear it, such as OBS, sends keyframes as it is set.
"""

from typing import Final

FIRST_S: Final = 0.5  # between requests until there is one
LOST_S: Final = 1.0  # likewise, after a loss
LATE_S: Final = 0.25  # that one may come later than the gop says


class KeyframeWish:
    """Of one publisher."""

    def __init__(self, gop_s: float) -> None:
        self.asked = 0
        self.has_come = False
        self._gop_s = gop_s
        self._key_s: float | None = None
        self._is_lost = True
        self._asked_s: float | None = None

    def on_key(self, now: float) -> None:
        """A keyframe has come."""
        self._key_s = now
        self._is_lost, self.has_come = False, True

    def on_lost(self) -> None:
        """Pictures refer to what is missing."""
        self._is_lost = True

    def is_due(self, now: float) -> bool:
        """Whether to ask now; it counts as asked then."""
        every_s = self._every_s(now)
        if every_s is None or (self._asked_s is not None and now - self._asked_s < every_s):
            return False
        self._asked_s = now
        self.asked += 1
        return True

    def _every_s(self, now: float) -> float | None:
        if self._key_s is None:
            return FIRST_S
        if self._is_lost:
            return LOST_S
        return self._gop_s if now - self._key_s >= self._gop_s + LATE_S else None
