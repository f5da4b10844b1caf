"""A stream of another host that is wanted here: who has it, who had it, and what it is played as.

And what such streams go to: the egresses here, and further hosts. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import Protocol

from common.ipc.cluster_messages import StreamOwner
from common.ipc.identity import Generation, StreamId
from common.ipc.relay_messages import RemotePlay, RemotePlayEnd
from common.link.forwarding import Forwarding
from common.link.messages import LinkOpened
from common.link.pulling import Media, Pulling
from common.link.tree import ParentSearch
from egress.relay.handover import Handover
from egress.relay.played_stream import Frames, Key, PlayedStream


class Replayable(Protocol):
    """What is kept of a rendition."""

    def catch_up(self, *, with_last: bool = False) -> Iterable[Frames]: ...


class Links(Protocol):
    """The way to the egresses: `common.ipc.egresses.Egresses`."""

    def send(self, rendition: Key, frames: Frames) -> None: ...

    def send_tags(self, rendition: Key, frames: Frames, *, is_start: bool) -> None: ...

    def gather(self) -> None: ...

    def flush(self) -> None: ...

    def forget(self, stream: StreamId, generation: Generation) -> None: ...

    def demanded(self, stream: StreamId) -> frozenset[str]: ...


class Branches(Protocol):
    """Hosts that take streams of others from this one: `egress.relay.output.RelayOutput`."""

    def wanted_of(self, digest: str, /) -> frozenset[str]: ...

    def pass_on(self, message: Media, payloads: Frames, /) -> None: ...

    def release(self, digest: str, /) -> None: ...


class NoBranches:
    """No host takes any."""

    def wanted_of(self, digest: str, /) -> frozenset[str]:
        return frozenset()

    def pass_on(self, message: Media, payloads: Frames, /) -> None: ...

    def release(self, digest: str, /) -> None: ...


@dataclass(slots=True, eq=False)
class Host:
    """One that streams are pulled from."""

    name: str
    address: str  # HOST:PORT of its relay
    pulling: Pulling
    used_s: float
    forwarding: Forwarding  # publishers whose streams it has


@dataclass(slots=True)
class Before:
    """A host that a stream still comes from, though the next one is to have it."""

    host: Host
    digest: str
    until_s: float


@dataclass(slots=True)
class Play:
    """A stream that is wanted here."""

    play: RemotePlay
    owner: StreamOwner | None = None
    parent: ParentSearch | None = None  # of whom it comes, while there is an owner …
    is_sent: bool = False  # … who has let this host in
    stream: PlayedStream | None = None
    asked_s: float = -inf
    unheard_s: float | None = None  # since when its owner is not there
    confirm_s: float = inf  # the supervisor is to say until then that it is wanted
    is_other: bool = False  # its owner is not the one whose media came last
    before: Before | None = None
    handover: Handover | None = None  # while its renditions go from one owner to the next
    end: RemotePlayEnd | None = None  # it is published here now: `before` sends the last of it

    @property
    def is_open(self) -> bool:
        """Whether there is something to play."""
        return self.stream is not None and self.stream.is_open

    @property
    def is_by_way(self) -> bool:
        """Whether it comes by way of a host that is not its owner."""
        return self.is_open and self.parent is not None and not self.parent.is_at_owner

    def goes_on(self, opened: LinkOpened) -> bool:
        """Tell if what was opened is what is played: its time has the same zero."""
        link = self.stream.link if self.stream is not None else None
        if link is None or link.zero_unix_ms is None:
            return False
        return link.zero_unix_ms == opened.zero_unix_ms

    def owner_is(self, owner: StreamOwner) -> bool:
        """Tell if that is the host, and the farm on it, that is known to have it."""
        known = self.owner
        return known is not None and _who(known) == _who(owner)


def _who(owner: StreamOwner) -> tuple[str, str, str]:
    return owner.host, owner.relay, owner.farm
