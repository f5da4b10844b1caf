"""Who sends a stream to whom, where many hosts play it. Pure.

A host sends a stream to `FAN_OUT` others at most. Who asks beyond these is told who they are, and
asks them, nearer ones first: so the hosts of a stream are a tree of the least depth that there was
room for when each of them came. Nothing of it stands in etcd. Three rules keep it a tree, whoever
comes and goes in whatever order:

- A host that has lost its parent lets its children go before it asks for another one; they ask the
  owner, as it does. So nobody takes a branch along.
- Each host that sends a stream says the hosts that it came by. Who is one of them, or would be
  farther than `MAX_HOPS` from the owner, does not take it.
- A parent that was lost is not asked again for `AVOID_S`.
"""

from collections.abc import Collection, Sequence
from random import Random
from typing import Final

from common.link.messages import Relay

FAN_OUT: Final = 8  # hosts that take a stream of one host
MAX_HOPS: Final = 6  # links between the owner and a host that plays: 8 to the sixth are enough
AVOID_S: Final = 10.0  # that a parent is not asked again which was lost
SOON_S: Final = 0.1  # until the owner is asked again where nobody sends it …
AGAIN_S: Final = 1.0  # … and then twice as long, up to this


def instead(host: str, takers: Collection[Relay]) -> Sequence[Relay]:
    """Whom a host should ask for a stream that these take of this one; (): it is let in."""
    others = {relay.host: relay for relay in takers if relay.host != host}
    if len(others) < FAN_OUT:
        return ()
    return [relay for relay in others.values() if relay.address]


def may_take(own: str, path: Sequence[str]) -> bool:
    """Tell if a host may take a stream that came by these hosts, the owner first."""
    return own not in path and len(path) <= MAX_HOPS


class ParentSearch:
    """Whom a host takes one stream of: the owner, or a host that has it of the owner."""

    def __init__(self, own: str, owner: Relay, random: Random | None = None) -> None:
        self.parent: Relay | None = owner  # None: nobody had room; the owner is asked again
        self._own = own
        self._owner = owner
        self._random = random or Random()  # nosec B311 # no secret is made of it
        self._next: list[Relay] = []  # to be asked, nearer ones first
        self._asked: set[str] = {owner.host}
        self._avoid_s: dict[str, float] = {}  # until when, by host
        self._again_s = 0.0
        self._pause_s = SOON_S

    @property
    def is_at_owner(self) -> bool:
        """Whether the owner itself is asked, or sends."""
        return self.parent == self._owner

    def refused(self, instead: Collection[Relay], now: float) -> Relay | None:
        """The parent does not send it, and names others; returns whom to ask now."""
        found = [relay for relay in instead if self._is_new(relay, now)]
        self._random.shuffle(found)
        self._next += found
        self._asked.update(relay.host for relay in found)
        self.parent = self._next.pop(0) if self._next else None
        if self.parent is None:
            self._again_s = now + self._pause_s
            self._pause_s = min(AGAIN_S, 2 * self._pause_s)
        return self.parent

    def wait_s(self, now: float) -> float:
        """How long it is until somebody is asked again, while nobody is."""
        return max(0.0, self._again_s - now)

    def released(self) -> Relay | None:
        """The parent has it no more itself; returns whom to ask now: the owner."""
        self._restart()
        return self.parent

    def lost(self, now: float) -> Relay | None:
        """The parent is gone; returns whom to ask now: the owner, unless that is who is gone."""
        if self.parent is not None and not self.is_at_owner:
            self._avoid_s[self.parent.host] = now + AVOID_S
            self._restart()
        return self.parent

    def tick(self, now: float) -> Relay | None:
        """Whom to ask, if nobody sends it; None: nobody yet, or somebody does."""
        if self.parent is not None or now < self._again_s:
            return None
        self._restart()
        return self.parent

    def _restart(self) -> None:
        self.parent, self._next, self._asked = self._owner, [], {self._owner.host}

    def _is_new(self, relay: Relay, now: float) -> bool:
        is_known = relay.host in self._asked or relay.host == self._own
        return not is_known and bool(relay.address) and self._avoid_s.get(relay.host, 0.0) <= now
