"""Peers' IP addresses as limits see them: who counts as one peer, who is exempt. Pure.

An IPv6 peer is counted by its /64, which is what one subscriber holds; an IPv4 address written
as an IPv6 one is taken as the former.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

MAX_TOLD = 1_000  # addresses, to the supervisor

Held = Mapping[str, tuple[int, int]]  # by subscriber, as heartbeats tell it of what is limited


def parse(host: str) -> IPv4Address | IPv6Address | None:
    """The address, without a zone; None when it is none."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def subscriber(host: str) -> str:
    """What stands for all addresses of the same holder."""
    address = parse(host)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, 64), strict=False))
    return str(address) if address is not None else host


def host_of(peer: str) -> str:
    """The host of `host:port`, as it stands in messages and logs."""
    return peer.rpartition(":")[0].strip("[]")


def too_many_publishes(limit: int) -> str:
    """What a publisher is told whose address has reached its limit."""
    return f"{limit} streams are published from this address, as many as one may"


class Networks:
    """Networks from the settings: `host in networks`.

    Raises:
        ValueError: a text names no network.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._networks = tuple(ip_network(text, strict=False) for text in texts)

    def __contains__(self, host: str) -> bool:
        address = parse(host)
        return address is not None and any(
            address.version == network.version and address in network for network in self._networks
        )


class Holders:
    """How many of something each subscriber holds; takes no memory for those who hold none."""

    def __init__(self) -> None:
        self._held: Counter[str] = Counter()

    def __getitem__(self, host: str) -> int:
        return self._held[subscriber(host)]

    def add(self, host: str) -> None:
        self._held[subscriber(host)] += 1

    def largest(self, count: int) -> list[tuple[str, int]]:
        """So many of those who hold the most, by what stands for their addresses."""
        return self._held.most_common(count)

    def remove(self, host: str) -> None:
        peer = subscriber(host)
        self._held[peer] -= 1
        if self._held[peer] <= 0:
            del self._held[peer]


def to_tell(first: Holders, second: Holders, exempt: Networks) -> dict[str, tuple[int, int]]:
    """What those hold, of two kinds, who hold the most and have limits; for the supervisor."""
    one, other = dict(first.largest(MAX_TOLD)), dict(second.largest(MAX_TOLD))
    return {
        peer: (one.get(peer, 0), other.get(peer, 0))
        for peer in one.keys() | other.keys()
        if peer.partition("/")[0] not in exempt
    }


def held_by(host: str, held: Held) -> tuple[int, int]:
    """What a host's subscriber has in such a book."""
    return held.get(subscriber(host), (0, 0))
