"""Who may connect and publish: limits per address and in all, publish keys, refusals remembered.

Counts and token buckets over values; the shell asks before it takes memory for a peer. An IPv6
peer is counted by its /64, which is what one subscriber holds. Exempt networks (loopback unless
configured otherwise) meet only the limits that guard the process itself.

Pure: `now` is CLOCK_MONOTONIC in seconds, given by the caller.
"""

import hashlib
import hmac
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from common.identity import StreamId
from common.settings import IngestSettings

REMEMBER_S = 30.0
MAX_REMEMBERED = 1_000
MAX_BUCKETS = 10_000
_HANDSHAKE_BURST = 2.0  # seconds' worth of handshakes that may come at once


class Admission:
    """The books of one listener: `admit` and `release` a connection, a publish likewise."""

    def __init__(self, settings: IngestSettings, max_descriptors: int) -> None:
        """`max_descriptors` connections are the most that the process can hold open."""
        self._max_descriptors = max_descriptors
        self._open = 0
        self._connections: Counter[str] = Counter()
        self._publishes: Counter[str] = Counter()
        self._buckets: dict[str, tuple[float, float]] = {}  # tokens, and when they were counted
        self.configure(settings)

    def configure(self, settings: IngestSettings) -> None:
        """Use other limits from now on; what is open stays open."""
        self._settings = settings
        self._exempt = tuple(ip_network(text, strict=False) for text in settings.exempt_networks)

    @property
    def open_connections(self) -> int:
        return self._open

    def admit(self, host: str, now: float) -> str | None:
        """Count a new connection in, or say why not."""
        settings = self._settings
        total = self._open
        if total >= settings.max_connections:
            return f"max_connections = {settings.max_connections} are open"
        if total >= self._max_descriptors:
            return f"descriptors for {self._max_descriptors} connections are used up"
        peer = _peer(host)
        if not self._is_exempt(host):
            if self._connections[peer] >= settings.max_connections_per_address:
                return (
                    f"max_connections_per_address = {settings.max_connections_per_address} are open"
                )
            if not self._take_token(peer, now):
                return (
                    f"more than max_handshakes_per_address = "
                    f"{settings.max_handshakes_per_address:g} a second"
                )
        self._connections[peer] += 1
        self._open += 1
        return None

    def release(self, host: str) -> None:
        """Count a connection out that was admitted."""
        _count_down(self._connections, _peer(host))
        self._open -= 1

    def admit_publish(self, host: str) -> str | None:
        """Count a publisher in, or say why not."""
        peer = _peer(host)
        limit = self._settings.max_publishes_per_address
        if self._publishes[peer] >= limit and not self._is_exempt(host):
            return f"{limit} streams are published from this address, as many as one may"
        self._publishes[peer] += 1
        return None

    def release_publish(self, host: str) -> None:
        """Count a publisher out that was admitted."""
        _count_down(self._publishes, _peer(host))

    def _is_exempt(self, host: str) -> bool:
        address = _parse(host)
        return address is not None and any(
            address.version == network.version and address in network for network in self._exempt
        )

    def _take_token(self, peer: str, now: float) -> bool:
        rate = self._settings.max_handshakes_per_address
        most = max(1.0, rate * _HANDSHAKE_BURST)
        if len(self._buckets) >= MAX_BUCKETS:
            self._forget_full_buckets(rate, most, now)
        tokens, since = self._buckets.get(peer, (most, now))
        tokens = min(most, tokens + (now - since) * rate)
        if tokens < 1:
            self._buckets[peer] = tokens, now
            return False
        self._buckets[peer] = tokens - 1, now
        return True

    def _forget_full_buckets(self, rate: float, most: float, now: float) -> None:
        self._buckets = {
            peer: (tokens, since)
            for peer, (tokens, since) in self._buckets.items()
            if tokens + (now - since) * rate < most
        }
        # Under an attack from very many addresses no book of them all is kept: begin anew.
        if len(self._buckets) >= MAX_BUCKETS:
            self._buckets.clear()


def _count_down(counter: Counter[str], peer: str) -> None:
    counter[peer] -= 1
    if counter[peer] <= 0:
        del counter[peer]


def _parse(host: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _peer(host: str) -> str:
    address = _parse(host)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, 64), strict=False))
    return str(address) if address is not None else host


def is_key_allowed(hashes: Sequence[str], key: str) -> bool:
    """Whether `key` is one whose SHA-256 (hex) is listed; without any listed, every one is.

    Takes the same time whichever entry matches.
    """
    if not hashes:
        return True
    digest = hashlib.sha256(key.encode()).hexdigest()
    found = False
    for listed in hashes:
        found |= hmac.compare_digest(digest.encode(), listed.lower().encode())
    return found


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a publisher was or is refused: RTMP's code, and a text for people."""

    code: str
    description: str
    lasting: bool = False  # another attempt at once would end in the same way


class RefusalMemory:
    """Refusals that came after Publish.Start, kept for the next attempt.

    OBS and others show the reason of a refusal only before Publish.Start, and reconnect for ever
    when a connection is closed behind it (rtmp-facts 7): their next attempt must be told at once.
    """

    def __init__(self) -> None:
        self._refusals: dict[StreamId, tuple[float, Refusal]] = {}

    def remember(self, stream: StreamId, refusal: Refusal, now: float) -> None:
        self._refusals.pop(stream, None)
        if len(self._refusals) >= MAX_REMEMBERED:
            del self._refusals[next(iter(self._refusals))]  # the oldest
        self._refusals[stream] = now + REMEMBER_S, refusal

    def recall(self, stream: StreamId, now: float) -> Refusal | None:
        """The refusal that still stands for this stream."""
        entry = self._refusals.get(stream)
        if entry is None:
            return None
        until, refusal = entry
        if now >= until:
            del self._refusals[stream]
            return None
        return refusal
