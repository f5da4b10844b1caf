"""The doctor of one session's source by its decoded pictures. Pure.

`now` is CLOCK_MONOTONIC in seconds, given by the caller.
"""

from typing import Final

from common.ipc.status_messages import Notice
from common.notices.doctor import Change, Doctor
from common.notices.notices import Notices
from worker.quality.floor import LowRendition
from worker.session.picture_rules import PICTURE_RULES, ErrorMeter, PictureFigures
from worker.session.progress import SessionCounts

LOOK_S: Final = 1.0


class PictureDoctor:
    """One session's. Call `look` as often as you like: it looks once a second."""

    def __init__(self) -> None:
        self._notices = Notices()
        self._doctor = Doctor(PICTURE_RULES, self._notices)
        self._errors = ErrorMeter()
        self._looked_s: float | None = None

    def look(
        self, counts: SessionCounts, now: float, low: tuple[LowRendition, ...] = ()
    ) -> list[Change]:
        """Judge what was counted, and the renditions that are `low`; what begins and ends."""
        if self._looked_s is not None and now - self._looked_s < LOOK_S:
            return []
        self._looked_s = now
        content = counts.content
        figures = PictureFigures(
            self._errors.last_minute(counts.decode_errors, now),
            counts.has_guessed_times,
            content.black_ms / 1000,
            content.still_ms / 1000,
            low,
        )
        self._doctor.look(figures, now)
        return self._doctor.take_changes()

    def notices(self, now: float, unix: float) -> tuple[Notice, ...]:
        """What holds now, for status."""
        return self._notices.as_tuple(now, unix)
