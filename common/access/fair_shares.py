"""Who makes room for whom where all places are taken. Pure.

The address that has the most places gives one to whoever comes from an address that has at least
two fewer. So one address may have all of them while nobody else wants any, and keeps nobody out;
among those who want more than there is, each address gets its share, whatever the others try.
Exempt networks, where many come by one address, give none, and what they have counts for nothing.
"""

from collections.abc import Collection, Iterable
from typing import Generic, TypeVar

from common.access.peer_address import Networks, subscriber

T = TypeVar("T")


class FairShares(Generic[T]):
    """Places by address: who has them, in the order in which they came."""

    def __init__(
        self, holders: Iterable[tuple[str, T]] = (), exempt: Networks | None = None
    ) -> None:
        """`holders`: their hosts, and what each of them has."""
        self._exempt = exempt if exempt is not None else Networks(())
        self._held: dict[str, dict[T, None]] = {}
        self._largest: str | None = None  # None: to be found
        for host, one in holders:
            self.add(host, one)

    def add(self, host: str, one: T) -> None:
        """A place is taken."""
        if host not in self._exempt:
            peer = subscriber(host)
            held = self._held.setdefault(peer, {})
            held[one] = None
            if self._largest is not None and len(held) > len(self._held[self._largest]):
                self._largest = peer

    def remove(self, host: str, one: T) -> None:
        """It is free again; nothing, where it was not taken."""
        peer = subscriber(host)
        held = self._held.get(peer, {})
        held.pop(one, None)
        if not held:
            self._held.pop(peer, None)
        if peer == self._largest:
            self._largest = None

    def give_way(self, host: str) -> Collection[T]:
        """Of which one has to go so that somebody of `host` may come; none: he may not."""
        if self._largest is None:
            self._largest = max(self._held, key=lambda peer: len(self._held[peer]), default=None)
        if self._largest is None:
            return ()
        most = self._held[self._largest]
        own = 0 if host in self._exempt else len(self._held.get(subscriber(host), ()))
        return most.keys() if len(most) >= own + 2 else ()
