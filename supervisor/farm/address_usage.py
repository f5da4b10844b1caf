"""What addresses hold at several ingests or egresses: limits per address are the farm's. Pure.

Each tells in its heartbeats what addresses hold there, and is told what they hold at the
others: a second or two late, which `max_handshakes_per_address` bounds what can be made of.
"""

from collections import Counter

from common.access.peer_address import Held
from common.ipc.control_messages import AddressUsage
from common.ipc.identity import ChildName

MAX_TOLD = 1_000  # addresses, those that hold the most


class AddressTotals:
    """The books of all ingests, or of all egresses."""

    def __init__(self) -> None:
        self._held: dict[ChildName, Held] = {}
        self._connections: Counter[str] = Counter()  # at all of them
        self._publishers: Counter[str] = Counter()
        self._told: dict[ChildName, AddressUsage] = {}

    def heard(self, child: ChildName, held: Held) -> AddressUsage | None:
        """What a child says of itself; what it has to be told of the others, if that is new."""
        self._replace(child, held)
        elsewhere: dict[str, tuple[int, int]] = {}
        if len(self._held) > 1:
            for address, total in self._connections.most_common(MAX_TOLD):
                connections, publishers = held.get(address, (0, 0))
                others = (total - connections, self._publishers[address] - publishers)
                if any(others):
                    elsewhere[address] = others
        message = AddressUsage(elsewhere)
        if message == self._told.get(child, AddressUsage({})):
            return None
        self._told[child] = message
        return message

    def lost(self, child: ChildName) -> None:
        """It is gone, and all connections to it."""
        self._replace(child, {})
        self._held.pop(child, None)
        self._told.pop(child, None)

    def _replace(self, child: ChildName, held: Held) -> None:
        before = self._held.get(child, {})
        self._held[child] = held
        for address in before.keys() | held.keys():
            was, now = before.get(address, (0, 0)), held.get(address, (0, 0))
            self._connections[address] += now[0] - was[0]
            self._publishers[address] += now[1] - was[1]
            if not self._connections[address] and not self._publishers[address]:
                del self._connections[address], self._publishers[address]
