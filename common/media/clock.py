"""Stream time and the host's clock. Pure.

A stream's time goes by its publisher, the host's clock is CLOCK_MONOTONIC; a `ClockReference` is
the one pair of both that lets a process say what stream time it is now.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClockReference:
    """A stream time and the CLOCK_MONOTONIC that belongs to it."""

    stream_ms: int
    monotonic_s: float

    @property
    def lead_ms(self) -> float:
        """Stream time minus clock: the greater, the earlier a tag came for its time."""
        return self.stream_ms - self.monotonic_s * 1000

    def stream_ms_at(self, now: float) -> int:
        """The stream time at this CLOCK_MONOTONIC."""
        return round(self.lead_ms + now * 1000)
