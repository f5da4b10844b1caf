"""Whether a rendition looks worse than its floor allows, with hysteresis. Pure.

One keyframe may be of a hard scene, so two measurements in a row decide, both ways.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from common.config.ladder import RenditionFormat
from common.ipc.status_messages import Quality

IN_A_ROW: Final = 2


class FloorWatch:
    """Of one rendition."""

    def __init__(self, floor: float | None) -> None:
        """`floor`: the least SSIM; None: there is none."""
        self.is_low = False
        self._floor = floor
        self._against = 0  # measurements in a row that say other than `is_low`
        self._seen_unix = 0.0

    def see(self, quality: Quality) -> bool:
        """Whether it is low, by this measurement; one that was seen before counts once."""
        if self._floor is None or quality.at_unix == self._seen_unix:
            return self.is_low
        self._seen_unix = quality.at_unix
        says_low = quality.ssim < self._floor
        self._against = self._against + 1 if says_low is not self.is_low else 0
        if self._against >= IN_A_ROW:
            self.is_low, self._against = says_low, 0
        return self.is_low


@dataclass(frozen=True, slots=True)
class LowRendition:
    """One that looks worse than its floor allows."""

    name: str
    ssim: float
    floor: float

    def __str__(self) -> str:
        return f"{self.name} has SSIM {self.ssim:.3f}, its floor is {self.floor:g}"


class Floors:
    """Of a ladder."""

    def __init__(self, renditions: Sequence[RenditionFormat]) -> None:
        self._renditions = renditions
        self._of_each = [FloorWatch(rendition.quality_floor) for rendition in renditions]

    def is_low(self, index: int) -> bool:
        """Whether a rendition is, by what was seen last."""
        return index < len(self._of_each) and self._of_each[index].is_low

    def low(self, measured: Sequence[Quality | None]) -> tuple[LowRendition, ...]:
        """Those that are low, by what was measured last of each."""
        return tuple(
            LowRendition(rendition.name, quality.ssim, rendition.quality_floor)
            for rendition, watch, quality in zip(
                self._renditions,
                self._of_each,
                measured,
                strict=False,  # of none, before it opens
            )
            if quality is not None and rendition.quality_floor is not None and watch.see(quality)
        )
