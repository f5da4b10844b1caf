"""What stands in for a publisher: how long its stream is held, and silence for its sound. Pure.

Its pictures are the worker's to repeat (`worker/frames/freeze_frame.py`): a `StreamPause` tells it
to. `now` is CLOCK_MONOTONIC in seconds.
"""

from dataclasses import dataclass
from fractions import Fraction

from ingest.streams.silent_audio import Silence

SILENT_S = 1.0  # without a picture: the last one stands in, as if the publisher were away
SILENT_FRAMES = 3  # … of a slower source, for so many of its frames


@dataclass(slots=True)
class Absence:
    """A publisher is away, and may come back."""

    until_s: float
    silence: Silence | None = None  # in place of its audio; None: nothing stands in
    is_reported: bool = True  # the egresses know that the stream is held

    def is_over(self, now: float) -> bool:
        """Whether nobody is waited for any more."""
        return now >= self.until_s

    def left_ms(self, now: float) -> int:
        """For how long the stream is held from now on."""
        return max(1, round((self.until_s - now) * 1000))


def is_silent(newest_s: float, fps: Fraction | None, now: float) -> bool:
    """Whether the publisher's pictures have stopped, the last one being of that time."""
    quiet_s = now - newest_s
    if quiet_s < SILENT_S:  # asked of every stream ten times a second
        return False
    return fps is None or quiet_s >= float(SILENT_FRAMES / fps)
