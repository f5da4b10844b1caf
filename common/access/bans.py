"""Whom an operator keeps out: addresses, networks and streams, for a time or for good. Pure.

The supervisor has the list (`supervisor/farm/operators/ban_list.py`); ingests and egresses are
given all of it whenever it changes, and look up here. Times are wall-clock, since a ban outlives
processes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from common.access.peer_address import parse
from common.access.refusal import Refusal, RefusalReason
from common.words import time_left

# What an operator may ask for, on the command line and by HTTP.
MAX_BAN_S: Final = 3_650 * 86_400
MAX_REASON_CHARS: Final = 200
MAX_KICK_S: Final = 86_400  # that a stream stays out which was kicked


@dataclass(frozen=True, slots=True)
class Ban:
    """One entry; it has either a network or a stream."""

    network: str = ""  # "203.0.113.0/24"
    stream: str = ""  # APP/KEY
    until_unix: float = 0.0  # 0: until it is taken back
    reason: str = ""  # for the operator alone
    by: str = ""  # who asked for it
    since_unix: float = 0.0

    @property
    def target(self) -> str:
        return self.network or self.stream

    def left_s(self, now_unix: float) -> float | None:
        """For how much longer it holds; None: without end."""
        return self.until_unix - now_unix if self.until_unix else None

    def is_over(self, now_unix: float) -> bool:
        return bool(self.until_unix) and now_unix >= self.until_unix


def target_of(text: str) -> tuple[str, str]:
    """The network, else the stream, that an operator names; the other one is empty.

    An address of IPv6 stands for its /64, which is what one subscriber has; with a prefix length it
    is taken as it is written.

    Raises:
        ValueError: it is neither.
    """
    try:
        if "/" not in text:
            address = ip_address(text.strip("[]"))
            mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
            if mapped is not None:
                return str(ip_network(mapped)), ""
            prefix = 64 if isinstance(address, IPv6Address) else 32
            return str(ip_network((address, prefix), strict=False)), ""
        return str(ip_network(text, strict=False)), ""
    except ValueError:
        app, slash, key = text.partition("/")
        if not (slash and app and key):
            raise ValueError("must be an address, a network or APP/KEY") from None
        return "", text


class Bans:
    """The entries that hold, to be looked up by address and by stream."""

    def __init__(self, unix_time: Callable[[], float]) -> None:
        self.version = 0  # grows with each list
        self._unix_time = unix_time
        self._streams: dict[str, Ban] = {}
        # By version of IP and prefix length, by the network's number.
        self._networks: dict[tuple[int, int], dict[int, Ban]] = {}

    def replace(self, bans: Sequence[Ban]) -> None:
        """Take over another list; what cannot be read in it is left out."""
        self.version += 1
        self._streams = {ban.stream: ban for ban in bans if ban.stream}
        self._networks = {}
        for ban in bans:
            if not ban.network:
                continue
            try:
                network = ip_network(ban.network)
            except ValueError:
                continue
            size = (network.version, network.prefixlen)
            self._networks.setdefault(size, {})[int(network.network_address)] = ban

    def __bool__(self) -> bool:
        return bool(self._streams or self._networks)

    def refusal(self, host: str, stream: str = "") -> Refusal | None:
        """Why a peer at an address may not have a stream, or nothing at all; None: it may."""
        if not self:
            return None
        now_unix = self._unix_time()
        ban = self._of_host(host)
        if ban is not None and not ban.is_over(now_unix):
            return _refusal("this address is", ban, now_unix)
        ban = self._streams.get(stream)
        if ban is not None and not ban.is_over(now_unix):
            return _refusal("this stream is", ban, now_unix)
        return None

    def _of_host(self, host: str) -> Ban | None:
        """The narrowest entry that has the address."""
        address = parse(host)
        if address is None:
            return None
        bits, number = address.max_prefixlen, int(address)
        for version, prefix in sorted(self._networks, reverse=True):
            if version == address.version:
                base = number >> (bits - prefix) << (bits - prefix)
                found = self._networks[version, prefix].get(base)
                if found is not None and not found.is_over(self._unix_time()):
                    return found
        return None


def _refusal(what: str, ban: Ban, now_unix: float) -> Refusal:
    left_s = ban.left_s(now_unix)
    until = f" for {time_left(left_s)} more" if left_s is not None else ""
    detail = f"ban of {ban.network or 'this stream'}"
    if ban.reason:
        detail = f"{detail}: {ban.reason}"
    return Refusal(RefusalReason.BANNED, f"{what} banned by the operator{until}", detail=detail)
