"""How a stream's segments are numbered, and where all its tracks have a discontinuity. Pure.

The number of the segment at stream time 0 follows from the stream's epoch, which ingest says with
the stream. So every process that cuts it counts alike, and another start of a stream goes on above
the one before, behind a discontinuity (`common.media.clock`, `ingest/streams/epochs.py`).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from common.media.clock import base_number
from egress.hls.window import Discontinuities
from egress.streams.tag import Tag


@dataclass(frozen=True, slots=True)
class Earlier:
    """What is known of a start of a stream that was cut before."""

    epoch_ms: int | None
    discontinuities: Discontinuities


class Numbering:
    """That of one stream that is cut."""

    def __init__(self, gop_ms: int, before: Earlier | None = None) -> None:
        self.epoch_ms: int | None = None  # Unix time at stream time 0, once there is media
        self.discontinuities = Discontinuities() if before is None else before.discontinuities
        self._gop_ms = gop_ms
        self._before = before
        self._last = -1  # the number of the last discontinuity here

    @property
    def base_msn(self) -> int:
        """The number of the segment that begins at stream time 0."""
        return base_number(self.epoch_ms or 0, self._gop_ms)

    @property
    def unix_offset_s(self) -> float:
        """From stream time to Unix time."""
        return (self.epoch_ms or 0) / 1000

    @property
    def earlier(self) -> Earlier:
        """What the next start of this stream has to know."""
        return Earlier(self.epoch_ms, self.discontinuities)

    def msn_at(self, stream_ms: int) -> int:
        """The number of the segment at this stream time."""
        return self.base_msn + stream_ms // self._gop_ms

    def settle(self, reported_ms: int | None, tags: Iterable[Tag], unix_offset_s: float) -> None:
        """Find the epoch: as it is reported, or else by when the first of these came.

        `unix_offset_s`: from CLOCK_MONOTONIC to Unix time.
        """
        if self.epoch_ms is None:
            self.epoch_ms = reported_ms
        first = next(iter(tags), None)
        if self.epoch_ms is None and first is not None:
            self.epoch_ms = round(1000 * (unix_offset_s + first.received_s)) - first.dts_ms

    def begin(self, msn: int) -> None:
        """The first segment: a discontinuity, if it is of another start than was cut before."""
        before = self._before
        if before is not None and before.epoch_ms not in (None, self.epoch_ms):
            self._last = msn
            self.discontinuities.add(msn)

    def next_discontinuity(self, begun: Iterable[int]) -> int:
        """The first segment that no track has begun, by the last of each: it has one from now on.

        Where one is announced that no track has reached, it is that one.
        """
        self._last = max(max(begun, default=-1) + 1, self._last)
        self.discontinuities.add(self._last)
        return self._last
