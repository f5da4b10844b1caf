"""Stream time and clocks. Pure.

A stream's time goes by its publisher, the host's clock is CLOCK_MONOTONIC; a `ClockReference` is
the one pair of both that lets a process say what stream time it is now. A stream's epoch is the
Unix time at which its stream time was 0, once for all: segments are numbered by it.
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


@dataclass(frozen=True, slots=True)
class ResumeTime:
    """Where the time of a stream goes on: its clock reference, and what has been sent of it."""

    reference: ClockReference
    end_ms: int
    epoch_ms: int | None = None  # its Unix time 0; None: it has none yet


def base_number(epoch_ms: int, gop_ms: int) -> int:
    """The number of the segment that begins at stream time 0.

    The one of stream time `t` is this plus `t // gop_ms`. So whoever knows a stream's epoch counts
    alike, and a stream that begins anew goes on above where it was.
    """
    return epoch_ms // gop_ms
