"""What one publisher sends on its way, whatever the other end takes of it. Pure.

What was not taken is lost: that is said in front of what follows, so that the ingest waits for a
keyframe.
"""

from collections.abc import Sequence
from typing import Final

from common.ipc.unit_messages import LOST, MAX_ITEMS, UnitItem
from common.ipc.unit_ways import Way
from common.media.units import Data

WHY_LOST: Final = b"the ingest took no more"
_STEP: Final = MAX_ITEMS - 1  # a loss may come in front of them


class UnitSender:
    """Of one publisher."""

    def __init__(self) -> None:
        self.skipped = 0  # units and losses that its ingest did not take
        self.is_behind = False  # the last ones were not taken

    def begin_anew(self) -> None:
        """What follows is for an ingest that lacks nothing."""
        self.is_behind = False

    def send(self, way: Way, items: Sequence[UnitItem], payloads: Sequence[Data]) -> None:
        """Send units with a payload each, in messages that are no longer than `MAX_ITEMS`."""
        for at in range(0, len(items), _STEP):
            self._send(way, [*items[at : at + _STEP]], [*payloads[at : at + _STEP]])

    def _send(self, way: Way, items: list[UnitItem], payloads: list[Data]) -> None:
        if self.is_behind:
            items, payloads = [UnitItem(LOST), *items], [WHY_LOST, *payloads]
        self.is_behind = not way.send(items, payloads)
        if self.is_behind:
            self.skipped += len(items)
