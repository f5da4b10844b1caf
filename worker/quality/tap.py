"""Where a rendition's keyframes are taken for a measurement, beside its encoder (IO: the clock).

`offer` is called in the thread that encodes, with every keyframe; nearly always that is two
comparisons. The rest happens in the thread that measures (`measurer.py`).
"""

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from common.codecs.table import CodecConfig
from common.config.ladder import RenditionFormat
from worker.devices.letterbox import rendition_picture
from worker.quality.measurer import Measured, Measurement, Measurer
from worker.quality.schedule import MeasureSchedule

if TYPE_CHECKING:
    from worker.devices.backend import EncodedUnit, Surface
    from worker.quality.ssim import Likeness

log = logging.getLogger("tfarm.worker.quality")

_LEAST_SIDE = 8  # of a picture that is measured


class QualityTap:
    """Of one rendition."""

    def __init__(
        self,
        label: str,
        rendition: RenditionFormat,
        measurer: Measurer,
        report: Callable[["Likeness"], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`report` is called in the thread that measures."""
        self.is_suspended = False  # the stream is degraded: there is no time to spare
        self._label = label
        self._rendition = rendition
        self._place = rendition_picture(rendition)
        self._measurer = measurer
        self._report = report
        self._clock = clock
        self._schedule = MeasureSchedule(rendition.quality_every_ms / 1000)
        self._encode_share = 0.0  # when the measurement began that is under way
        self._is_off = min(self._place.width, self._place.height) < _LEAST_SIDE

    def offer(
        self,
        surface: "Surface",
        config: CodecConfig,
        unit: "EncodedUnit",
        encode_share: float,
        received_s: float,
    ) -> None:
        """Measure a keyframe, if one is due; its surface is as the encoder took it.

        `encode_share`: seconds a second that the rendition's encoding takes; `received_s`: when
        what it was made of came in, 0 where nothing did. Raises nothing.
        """
        if self.is_suspended or self._is_off:
            return
        now = self._clock()
        late_s = now - received_s if received_s else 0.0
        if not self._schedule.begins(encode_share, late_s, now):
            return
        self._encode_share = encode_share
        rendition = self._rendition
        try:
            luma = surface.kept_luma()
        except Exception as error:  # the rendition goes on, whatever it is
            self._give_up(f"{type(error).__name__}: {error}")
            return
        size = rendition.width, rendition.height
        measurement = Measurement(luma, self._place, config, unit.data, *size, self._on_ended)
        if not self._measurer.post(measurement):
            self._schedule.put_off()

    def _give_up(self, reason: str) -> None:
        """Measure nothing more of it: it would fail again."""
        self._is_off = True
        log.warning(
            "quality not measured stream=%s rendition=%s reason=%s",
            self._label,
            self._rendition.name,
            reason,
        )

    def _on_ended(self, measured: Measured) -> None:
        """In the thread that measures."""
        likeness = measured.likeness
        if likeness is None:
            self._give_up(measured.reason)
            return
        self._schedule.ended(measured.cpu_s, measured.lasted_s, self._encode_share, self._clock())
        self._report(likeness)


def tap_of(
    label: str,
    rendition: RenditionFormat,
    measurer: Measurer,
    report: Callable[["Likeness"], None],
) -> QualityTap | None:
    """The tap of a rendition; None where nothing of it is measured."""
    if not rendition.quality_every_ms:
        return None
    return QualityTap(label, rendition, measurer, report)
