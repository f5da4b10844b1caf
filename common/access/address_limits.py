"""How much of something each address has, here and at other processes of the same kind. Pure.

Where several ingests or egresses share a port, limits per address are the farm's: each process
reports what addresses have there, and is told what they have at the others, a second or two late.
Exempt networks have no limit.
"""

from collections import Counter
from collections.abc import Mapping

from common.access.peer_address import Networks, subscriber

MAX_REPORTED = 1_000  # addresses, to the supervisor

# By subscriber, how many of each of two kinds of things it has: connections (an ingest's or an
# egress's) and publishers.
AddressUsageByPeer = Mapping[str, tuple[int, int]]


class Holders:
    """How many of something each subscriber has; takes no memory for those that have none."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def __getitem__(self, host: str) -> int:
        return self._counts[subscriber(host)]

    def add(self, host: str) -> None:
        self._counts[subscriber(host)] += 1

    def remove(self, host: str) -> None:
        peer = subscriber(host)
        self._counts[peer] -= 1
        if self._counts[peer] <= 0:
            del self._counts[peer]

    def largest(self, count: int) -> dict[str, int]:
        """The subscribers that have the most, at most `count`."""
        return dict(self._counts.most_common(count))


class AddressLimit:
    """Counts one kind of thing by address, against a limit."""

    def __init__(self) -> None:
        self.limit = 0
        self.here = Holders()
        self._elsewhere: Mapping[str, int] = {}  # by subscriber
        self._exempt = Networks(())

    def configure(self, limit: int, exempt: Networks) -> None:
        """Use another limit from now on; what is there stays."""
        self.limit = limit
        self._exempt = exempt

    def set_elsewhere(self, counts: Mapping[str, int]) -> None:
        """Take over what subscribers have at other processes."""
        self._elsewhere = counts

    def is_reached(self, host: str, *, given_up: int = 0, counts_elsewhere: bool = True) -> bool:
        """Whether one more would be too many. `given_up`: so many here end for it."""
        return self._count(host, counts_elsewhere) - given_up >= self.limit and self._holds(host)

    def is_exceeded(self, host: str) -> bool:
        """Whether the last one was too many."""
        return self._count(host, True) > self.limit and self._holds(host)

    def _count(self, host: str, counts_elsewhere: bool) -> int:
        elsewhere = self._elsewhere.get(subscriber(host), 0) if counts_elsewhere else 0
        return self.here[host] + elsewhere

    def _holds(self, host: str) -> bool:
        return host not in self._exempt


class AddressBook:
    """Connections and publishers by address, at this process and at the others of its kind."""

    def __init__(self) -> None:
        self.connections = AddressLimit()
        self.publishers = AddressLimit()
        self._exempt = Networks(())

    def configure(self, max_connections: int, max_publishers: int, exempt: Networks) -> None:
        """Use these limits, each of one address, from now on; what is there stays."""
        self._exempt = exempt
        self.connections.configure(max_connections, exempt)
        self.publishers.configure(max_publishers, exempt)

    def set_elsewhere(self, usage: AddressUsageByPeer) -> None:
        """Take over what addresses have at the other processes, in the form of `usage`."""
        self.connections.set_elsewhere({peer: counts[0] for peer, counts in usage.items()})
        self.publishers.set_elsewhere({peer: counts[1] for peer, counts in usage.items()})

    def usage(self) -> dict[str, tuple[int, int]]:
        """What addresses that have limits have here, those with the most; for the supervisor."""
        connections = self.connections.here.largest(MAX_REPORTED)
        publishers = self.publishers.here.largest(MAX_REPORTED)
        return {
            peer: (connections.get(peer, 0), publishers.get(peer, 0))
            for peer in connections.keys() | publishers.keys()
            if peer.partition("/")[0] not in self._exempt
        }


def too_many_publishes(limit: int) -> str:
    """What a publisher is told whose address has reached its limit."""
    return f"{limit} streams are published from this address, as many as one may"
