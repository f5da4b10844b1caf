"""What was measured of a session's renditions, and which look worse than their floors allow. Pure.

`on_measured` is called from any thread, the rest on the loop.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from common.config.ladder import RenditionFormat
from common.ipc.status_messages import Quality, RenditionStatus
from worker.quality.floor import Floors, LowRendition
from worker.quality.ssim import Likeness
from worker.session.progress import RenditionCounts, SessionCounts


class MeasuredQuality:
    """Of one session."""

    def __init__(
        self,
        counts: SessionCounts,
        is_made: Callable[[int], bool],
        unix_time: Callable[[], float],
    ) -> None:
        """`is_made` tells whether a rendition gets pictures, and its encoder works."""
        self._counts = counts
        self._is_made = is_made
        self._unix_time = unix_time
        self._renditions: Sequence[RenditionFormat] = ()
        self._floors = Floors(())

    def open(self, renditions: Sequence[RenditionFormat]) -> None:
        """The ladder is known: count its renditions."""
        self._renditions, self._floors = renditions, Floors(renditions)
        self._counts.renditions = [RenditionCounts() for _ in renditions]

    def on_measured(self, rendition: int, likeness: Likeness) -> None:
        """How much a keyframe is like the picture that it was made of."""
        if rendition < len(self._counts.renditions):
            self._counts.renditions[rendition].quality = Quality(
                round(likeness.ssim, 5), round(likeness.psnr_db, 2), self._unix_time()
            )

    def low(self) -> tuple[LowRendition, ...]:
        """Those that look worse than their floors allow; look once a heartbeat."""
        return self._floors.low(
            [self._quality(index) for index in range(len(self._counts.renditions))]
        )

    def added(self, status: RenditionStatus, index: int) -> RenditionStatus:
        """A rendition's status, with what is known of its quality."""
        quality = self._quality(index)
        is_low = quality is not None and self._floors.is_low(index)
        floor = self._renditions[index].quality_floor
        return replace(status, quality=quality, quality_floor=floor, is_low=is_low)

    def _quality(self, index: int) -> Quality | None:
        """What was measured last of a rendition that is made now."""
        return self._counts.renditions[index].quality if self._is_made(index) else None
