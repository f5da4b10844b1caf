"""Peers' IP addresses as limits see them: who counts as one peer, who is exempt. Pure.

An IPv6 peer is counted by its /64, which is what one subscriber holds; an IPv4 address written
as an IPv6 one is taken as the former.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network


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
