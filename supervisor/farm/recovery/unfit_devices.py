"""The devices that cannot serve a stream as it is coded, and why. Pure.

A device that refused a stream is not tried again, whatever worker it has; where only its worker is
broken, that worker is not tried until it has been started anew. A stream that is coded in another
way is tried everywhere again.
"""

from dataclasses import dataclass
from fractions import Fraction

from common.config.ladder import SourceFormat
from common.ipc.identity import ChildId
from common.process.log import RateLimit


@dataclass(frozen=True, slots=True)
class Coding:
    """What a device may not be able to take."""

    codec: str  # RFC 6381; "": not known
    width: int
    height: int
    sar: Fraction


class UnfitDevices:
    """Those of one stream."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}  # by device; by worker, until that ends
        self._coding: Coding | None = None  # that they could not serve
        # Opening and closing sessions holds up all streams of a device: a publisher that changes
        # back and forth must not have them try for ever.
        self._retries = RateLimit(burst=5, interval_s=60.0)

    def on_coding(self, source: SourceFormat, codec: str, now: float) -> bool:
        """Take over how the stream is coded; whether that frees devices."""
        coding = Coding(codec, source.width, source.height, source.sar)
        is_other = coding != self._coding
        if not is_other or (self._reasons and self._retries.allow(now) is None):
            return False
        self._coding = coding
        had_any = bool(self._reasons)
        self._reasons.clear()
        return had_any

    def add(self, device_or_worker: str, reason: str) -> None:
        """It cannot be served there."""
        self._reasons[device_or_worker] = reason

    def forget_worker(self, worker: ChildId) -> None:
        """A worker ended, and what was wrong with it alone."""
        self._reasons.pop(str(worker), None)

    def why(self, worker: ChildId) -> str:
        """Why the stream may not be placed there; "": it may."""
        return self._reasons.get(str(worker), "") or self.why_device(worker)

    def why_device(self, worker: ChildId) -> str:
        """Why the worker's device, whatever worker it has, cannot serve the stream."""
        return self._reasons.get(worker.device_name, "")
