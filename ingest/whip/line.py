"""What a publisher is told of its line (REMB), by what is lost on it. Pure, once a second.

Senders of WebRTC send no more than that. Up to a loss of 2 % it grows, above 10 % it falls below
what came.
"""

from typing import Final

MOST_BPS: Final = 20_000_000
LEAST_BPS: Final = 300_000
FIRST_BPS: Final = 4_000_000
_GROWTH: Final = 1.25
_FALL: Final = 0.85


class LineEstimate:
    """Of one publisher."""

    def __init__(self) -> None:
        self.bps = FIRST_BPS

    def update(self, share_lost: float, received_bps: float) -> int:
        """What it is told now."""
        if share_lost > 0.1:
            self.bps = int(min(self.bps, received_bps) * _FALL)
        elif share_lost < 0.02:
            self.bps = int(self.bps * _GROWTH)
        self.bps = max(LEAST_BPS, min(MOST_BPS, self.bps))
        return self.bps
