"""When a picture is shown again whose stream's host is away, and at which times. Pure.

What is repeated is the last keyframe: any player can show it, and nobody has to decode or encode.
The times go on with this host's clock, a little behind it, on a grid that the IDR of all renditions
are on: segments are cut as before. It takes no more bits than the rendition did.
"""

from math import ceil
from typing import Final

AFTER_S: Final = 4.0  # without anything: until then who has it, or another host, goes on unhindered
STEP_MS: Final = 200  # between repetitions of small pictures
MAX_STEP_MS: Final = 2_000
LAG_MS: Final = 100  # behind what comes when the host is back


class Still:
    """The repetitions of one rendition's picture."""

    def __init__(self, last_ms: int, came_s: float, key_bytes: int, bps: float) -> None:
        """`last_ms`: stream time of the last picture, which came at `came_s`; `bps`: its rate."""
        self.last_ms = last_ms
        self._zero_s = came_s - last_ms / 1000
        wanted_ms = min(MAX_STEP_MS, key_bytes * 8_000 / max(1.0, bps))
        self._step_ms = max(1, ceil(wanted_ms / STEP_MS)) * STEP_MS

    def take(self, now: float) -> int | None:
        """The time of the picture that is due; None: none is. What could not be sent is omitted."""
        reached_ms = int((now - self._zero_s) * 1000) - LAG_MS
        at_ms = reached_ms - reached_ms % self._step_ms
        if at_ms <= self.last_ms:
            return None
        self.last_ms = at_ms
        return at_ms
