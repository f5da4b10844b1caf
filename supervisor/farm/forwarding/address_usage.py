"""What addresses have at several ingests or egresses: limits per address are the farm's. Pure.

Each process reports in its heartbeats what addresses have there, and is told what they have at the
others. That is a second or two late; `max_handshakes_per_address` bounds what can be made of it.
"""

from collections import Counter

from common.access.address_limits import AddressUsageByPeer
from common.ipc.control_messages import AddressUsage
from common.ipc.identity import ChildId

MAX_REPORTED = 1_000  # addresses, those that have the most


class AddressTotals:
    """The address usage of all ingests, or of all egresses."""

    def __init__(self) -> None:
        self._usage: dict[ChildId, AddressUsageByPeer] = {}
        self._connections: Counter[str] = Counter()  # at all of them
        self._publishers: Counter[str] = Counter()
        self._reported: dict[ChildId, AddressUsage] = {}

    def on_usage(self, child: ChildId, usage: AddressUsageByPeer) -> AddressUsage | None:
        """Take over a child's usage; what it has to be told of the others, if that is new."""
        self._replace(child, usage)
        elsewhere: dict[str, tuple[int, int]] = {}
        if len(self._usage) > 1:
            for address, total in self._connections.most_common(MAX_REPORTED):
                connections, publishers = usage.get(address, (0, 0))
                others = (total - connections, self._publishers[address] - publishers)
                if any(others):
                    elsewhere[address] = others
        message = AddressUsage(elsewhere)
        if message == self._reported.get(child, AddressUsage({})):
            return None
        self._reported[child] = message
        return message

    def remove(self, child: ChildId) -> None:
        """Forget a child that is gone, and all connections to it."""
        self._replace(child, {})
        self._usage.pop(child, None)
        self._reported.pop(child, None)

    def _replace(self, child: ChildId, usage: AddressUsageByPeer) -> None:
        before = self._usage.get(child, {})
        self._usage[child] = usage
        for address in before.keys() | usage.keys():
            was, now = before.get(address, (0, 0)), usage.get(address, (0, 0))
            self._connections[address] += now[0] - was[0]
            self._publishers[address] += now[1] - was[1]
            if not self._connections[address] and not self._publishers[address]:
                del self._connections[address], self._publishers[address]
