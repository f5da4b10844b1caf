"""What addresses hold at several ingests, so that limits per address are the farm's. Pure.

Each ingest tells in its heartbeats what addresses hold there, and is told what they hold at the
others: a second or two late, which `max_handshakes_per_address` bounds what can be made of.
"""

from collections import Counter
from collections.abc import Mapping

from common.control_messages import HeldElsewhere
from common.identity import ChildName

MAX_TOLD = 1_000  # addresses, those that hold the most

Held = Mapping[str, tuple[int, int]]  # connections and publishers, by address


class Holdings:
    """The books of all ingests."""

    def __init__(self) -> None:
        self._held: dict[ChildName, Held] = {}
        self._connections: Counter[str] = Counter()  # at all of them
        self._publishers: Counter[str] = Counter()
        self._told: dict[ChildName, HeldElsewhere] = {}

    def heard(self, ingest: ChildName, held: Held) -> HeldElsewhere | None:
        """What an ingest says of itself; what it has to be told of the others, if that is new."""
        self._replace(ingest, held)
        elsewhere: dict[str, tuple[int, int]] = {}
        if len(self._held) > 1:
            for address, total in self._connections.most_common(MAX_TOLD):
                connections, publishers = held.get(address, (0, 0))
                others = (total - connections, self._publishers[address] - publishers)
                if any(others):
                    elsewhere[address] = others
        message = HeldElsewhere(elsewhere)
        if message == self._told.get(ingest, HeldElsewhere({})):
            return None
        self._told[ingest] = message
        return message

    def lost(self, ingest: ChildName) -> None:
        """It is gone, and all connections to it."""
        self._replace(ingest, {})
        self._held.pop(ingest, None)
        self._told.pop(ingest, None)

    def _replace(self, ingest: ChildName, held: Held) -> None:
        before = self._held.get(ingest, {})
        self._held[ingest] = held
        for address in before.keys() | held.keys():
            was, now = before.get(address, (0, 0)), held.get(address, (0, 0))
            self._connections[address] += now[0] - was[0]
            self._publishers[address] += now[1] - was[1]
            if not self._connections[address] and not self._publishers[address]:
                del self._connections[address], self._publishers[address]
