"""Other hosts as an output of an egress: each has the renditions that are watched there.

Pure but for whom it asks.

A host names streams by their digests. Which stream that is, the cluster child says, by way of the
supervisor; and the epoch under which this host has it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from common.config.settings import Settings
from common.ipc.cluster_messages import OwnerWanted, StreamOwner
from common.ipc.control_messages import Endpoint
from common.ipc.envelope import encode
from common.ipc.identity import StreamId
from common.link.messages import TREE_VERSION, LinkClosed, LinkInstead, LinkOpened, Relay
from common.link.pulling import Media
from common.link.serving import Demanded, Serving
from common.link.tree import instead
from egress.output import Audience, OutputContext, ViewerStatus
from egress.relay.feed import Feed
from egress.relay.played_stream import PlayedStream
from egress.streams.stream import Stream

PROTOCOL: Final = "relay"
ASK_AGAIN_S: Final = 5.0  # changes are reported for 15 s after the last time
LEAVE_S: Final = 12.0  # that a stream is sent on which another host has now: a GOP may take 10 s
HANDOVER_MS: Final = 10_000  # players are kept so long there, for the stream's other host
ENDED: Final = "the stream has ended"


@dataclass(slots=True)
class _Wanted:
    """What one host wants of a stream."""

    renditions: tuple[str, ...]
    feeds: dict[str, Feed] = field(default_factory=dict)


@dataclass(slots=True)
class Peer:
    """One connection of a host that plays streams of this one."""

    serving: Serving
    wanted: dict[str, _Wanted] = field(default_factory=dict)  # by digest

    @property
    def knows_tree(self) -> bool:
        """Tell if it can be told to ask others."""
        greeting = self.serving.peer
        return greeting is not None and greeting.version >= TREE_VERSION

    @property
    def relay(self) -> Relay:
        """Who it is, and where it can be asked by others; "": nowhere."""
        greeting = self.serving.peer
        if greeting is None:
            return Relay("", "")
        return Relay(greeting.host, greeting.relay if self.knows_tree else "")


class Played(Protocol):
    """Streams of other hosts that come here, to be passed on: `egress.relay.pulls.Pulls`."""

    def begin_branch(self, digest: str, /) -> PlayedStream | None: ...

    def is_pulled(self, digest: str, /) -> bool: ...

    def on_branch(self, digest: str, now: float, /) -> None: ...


class _NothingPlayed:
    def begin_branch(self, digest: str, /) -> PlayedStream | None:
        return None

    def is_pulled(self, digest: str, /) -> bool:
        return False

    def on_branch(self, digest: str, now: float, /) -> None: ...


class RelayOutput:
    """An `Output`."""

    protocol = PROTOCOL
    endpoints: Mapping[str, str] = {}

    def __init__(self, context: OutputContext, ask: Callable[[OwnerWanted], object]) -> None:
        self._context = context
        self._ask = ask
        self._peers: dict[int, Peer] = {}
        self._owned: dict[str, StreamOwner] = {}  # of what is wanted: those that are here
        self._digests: dict[StreamId, str] = {}
        self._leaving: dict[str, float] = {}  # of those: what another host has now, and until when
        self._asked_s: dict[str, float] = {}
        self._dropped = 0  # by connections that are gone
        self.played: Played = _NothingPlayed()

    # ---- the other hosts ----------------------------------------------------------------------

    def arrived(self, serving: Serving) -> None:
        """A host has connected."""
        self._peers[id(serving)] = Peer(serving)

    def left(self, serving: Serving) -> None:
        """It is gone."""
        peer = self._peers.pop(id(serving), None)
        if peer is not None:
            self._dropped += serving.backlog.dropped
            for digest in tuple(peer.wanted):
                self._unwant(peer, digest)

    def demanded(self, serving: Serving, demanded: Demanded) -> None:
        """It has said what is watched of a stream there."""
        peer, digest = self._peers[id(serving)], demanded.stream
        if not demanded.renditions:
            self._unwant(peer, digest)
            return
        if digest in self._leaving and digest not in peer.wanted and peer.knows_tree:
            serving.instead(digest)
            return
        if digest not in peer.wanted and peer.knows_tree:
            others = self._others(peer, digest)
            if others or self._is_on_its_way(digest):
                serving.instead(digest, others)
                return
        if digest not in peer.wanted:
            self._asked_s.pop(digest, None)  # whose it is may be another's by now
        wanted = peer.wanted.setdefault(digest, _Wanted(()))
        before, wanted.renditions = wanted.renditions, demanded.renditions
        for name in before:
            if name not in wanted.renditions:
                self._end_feed(peer, digest, name)
        if digest in self._owned:
            self._follow(peer, digest)
        else:
            self._ask_owner(digest, self._context.clock())
            names = [name for name in wanted.renditions if name not in before]
            self._begin_branch(peer, digest, names, is_first=not before)

    def on_owner(self, owner: StreamOwner) -> None:
        """The cluster child has said who has a stream."""
        digest = owner.digest
        if not any(digest in peer.wanted for peer in self._peers.values()):
            return
        known = self._owned.get(digest)
        if owner.is_here and owner.stream_id:
            if known is not None and owner.epoch < known.epoch:
                return  # the claim is to be made anew: until then the one before holds
            self._leaving.pop(digest, None)
            self._owned[digest] = owner
            self._digests[owner.stream_id] = digest
        elif not owner.host or not (known is not None or owner.is_certain):
            return  # nobody has it: it ends here by itself
        elif known is not None and not self._is_finished(known.stream_id):
            self._leaving.setdefault(digest, self._context.clock() + LEAVE_S)
            return  # its last pictures are still to come
        else:
            self._leave(digest)
            return
        for peer in self._peers.values():
            if digest in peer.wanted:
                self._follow(peer, digest)

    # ---- what other hosts have ----------------------------------------------------------------

    def wanted_of(self, digest: str) -> frozenset[str]:
        """The renditions of a stream of another host that further ones take from this one."""
        if digest in self._owned:
            return frozenset()
        found = [peer.wanted[digest].renditions for peer in self._taking(digest)]
        return frozenset().union(*found)

    def pass_on(self, message: Media, payloads: Sequence[bytes]) -> None:
        """Something of a stream has come here that further hosts take from this one."""
        peers = self._taking(message.stream)
        if not peers or message.stream in self._owned or isinstance(message, LinkInstead):
            return
        envelope = encode(message)
        for peer in peers:
            if isinstance(message, LinkOpened):
                peer.serving.opened(message)
            elif isinstance(message, LinkClosed):
                peer.serving.closed(message.stream, message.reason, message.hold_ms)
            else:
                peer.serving.pass_on(message, payloads, envelope)

    def release(self, digest: str) -> None:
        """A stream comes to this host no more: those who took it from here ask its owner."""
        if digest not in self._owned:
            for peer in self._taking(digest):
                if peer.knows_tree:
                    del peer.wanted[digest]
                    peer.serving.instead(digest)

    def _taking(self, digest: str) -> Sequence[Peer]:
        return [peer for peer in self._peers.values() if digest in peer.wanted]

    def _others(self, peer: Peer, digest: str) -> Sequence[Relay]:
        """Whom it is to ask in place of this host; (): nobody."""
        return instead(peer.relay.host, [other.relay for other in self._taking(digest)])

    def _is_on_its_way(self, digest: str) -> bool:
        """Tell if this host itself looks for who sends it: two might wait for each other."""
        is_pulled = digest not in self._owned and self.played.is_pulled(digest)
        return is_pulled and self.played.begin_branch(digest) is None

    def _begin_branch(
        self, peer: Peer, digest: str, names: Sequence[str], *, is_first: bool
    ) -> None:
        stream = self.played.begin_branch(digest)
        if stream is not None and stream.link is not None:
            peer.serving.opened(stream.link)
            begin = stream.passed_on(names, self._context.clock(), is_first=is_first)
            for message, payloads in begin:
                peer.serving.pass_on(message, payloads, encode(message))
        self.played.on_branch(digest, self._context.clock())

    # ---- the output ---------------------------------------------------------------------------

    @property
    def counters(self) -> Mapping[str, int]:
        backlogs = [peer.serving.backlog for peer in self._peers.values()]
        return {
            "relay hosts": len(self._peers),
            "relay streams": sum(len(peer.wanted) for peer in self._peers.values()),
            "relay dropped": self._dropped + sum(backlog.dropped for backlog in backlogs),
            "relay waiting bytes": sum(backlog.waiting_bytes for backlog in backlogs),
        }

    def audience(self, stream_id: StreamId) -> Mapping[str, Audience]:
        found: dict[str, Audience] = {}
        digest = self._digests.get(stream_id, "")
        for peer in self._peers.values():
            wanted = peer.wanted.get(digest)
            for name in wanted.feeds if wanted is not None else ():
                found[name] = Audience(found.get(name, Audience(0, 0)).players + 1, 0)
        return found

    def viewers(self) -> Iterable[ViewerStatus]:
        return ()  # the other host has them

    def end_viewer(self, number: int, reason: str) -> None: ...

    def serves(self) -> bool:
        return any(wanted.feeds for peer in self._peers.values() for wanted in peer.wanted.values())

    def configure(self, settings: Settings) -> None: ...

    def on_topology(self, endpoints: Sequence[Endpoint]) -> None: ...

    def on_stream(self, stream: Stream) -> None:
        """It has come, or its ladder has changed."""
        digest = self._digests.get(stream.stream_id)
        for peer in self._peers.values():
            if digest is not None and digest in peer.wanted:
                self._follow(peer, digest)

    def check(self, now: float) -> None:
        wanted = {digest for peer in self._peers.values() for digest in peer.wanted}
        for digest in wanted:
            self._ask_owner(digest, now)
        for digest in [digest for digest in self._asked_s if digest not in wanted]:
            del self._asked_s[digest]
            self._forget(digest)
        for digest, until_s in tuple(self._leaving.items()):
            if now >= until_s or self._is_finished(self._owned[digest].stream_id):
                self._leave(digest)
        for peer in self._peers.values():
            for digest in peer.wanted:
                self._follow(peer, digest)  # its generation may be another one
            peer.serving.tick()

    async def stop(self, reason: str) -> None:
        self.close(reason)

    def close(self, reason: str) -> None:
        for peer in tuple(self._peers.values()):
            self.left(peer.serving)

    # ---- inside -------------------------------------------------------------------------------

    def _ask_owner(self, digest: str, now: float) -> None:
        if now - self._asked_s.get(digest, -ASK_AGAIN_S) >= ASK_AGAIN_S:
            self._asked_s[digest] = now
            self._ask(OwnerWanted(digest=digest))

    def _is_finished(self, stream_id: StreamId) -> bool:
        """Tell if nothing more comes of a stream that another host has now."""
        stream = self._context.streams.get(stream_id)
        return stream is None or stream.is_finished

    def _leave(self, digest: str) -> None:
        """Another host has it: who took it from here asks that one, or takes it by way of here."""
        self._forget(digest)
        if not self.played.is_pulled(digest):
            self.release(digest)
            return
        for peer in self._peers.values():
            if digest in peer.wanted:
                self._follow(peer, digest)

    def _forget(self, digest: str) -> None:
        """This host has it no more."""
        self._leaving.pop(digest, None)
        owner = self._owned.pop(digest, None)
        if owner is None:
            return
        self._digests.pop(owner.stream_id, None)
        for peer in self._peers.values():
            wanted = peer.wanted.get(digest)
            if wanted is not None:
                self._end_feeds(peer, digest, wanted, owner.stream_id)
                peer.serving.closed(digest, "this host has it no more", HANDOVER_MS)

    def _follow(self, peer: Peer, digest: str) -> None:
        """Have a host sent what it wants of a stream, as far as that is there."""
        owner, wanted = self._owned.get(digest), peer.wanted.get(digest)
        if owner is None or wanted is None:
            return
        stream_id = owner.stream_id
        stream = self._context.streams.get(stream_id)
        if stream is not None:
            peer.serving.opened(_opening(stream, digest, owner.epoch))
        is_waiting = False
        for name in wanted.renditions:
            if name in wanted.feeds:
                continue
            rendition = stream.renditions.get(name) if stream is not None else None
            if rendition is not None:
                self._context.waiting.remove(stream_id, (id(peer), name))
                on_end = partial(self._on_feed_end, peer, digest, name)
                feed = wanted.feeds[name] = Feed(peer.serving, digest, rendition, on_end)
                feed.begin()
            elif stream is None:
                is_waiting = True
                again = partial(self._follow, peer, digest)
                self._context.waiting.add(stream_id, name, (id(peer), name), again)
        if is_waiting:
            self._context.report_demand(stream_id)

    def _on_feed_end(self, peer: Peer, digest: str, name: str, reason: str) -> None:
        wanted, owner = peer.wanted.get(digest), self._owned.get(digest)
        if wanted is None or owner is None:
            return
        wanted.feeds.pop(name, None)
        if self._context.streams.get(owner.stream_id) is None:
            peer.serving.closed(digest, reason or ENDED, 0)

    def _unwant(self, peer: Peer, digest: str) -> None:
        wanted, owner = peer.wanted.pop(digest, None), self._owned.get(digest)
        if wanted is not None and owner is not None:
            self._end_feeds(peer, digest, wanted, owner.stream_id)

    def _end_feeds(self, peer: Peer, digest: str, wanted: _Wanted, stream_id: StreamId) -> None:
        for name in wanted.renditions:
            self._context.waiting.remove(stream_id, (id(peer), name))
        feeds, wanted.feeds = wanted.feeds, {}
        for feed in feeds.values():
            feed.close()

    def _end_feed(self, peer: Peer, digest: str, name: str) -> None:
        owner = self._owned.get(digest)
        if owner is not None:
            self._context.waiting.remove(owner.stream_id, (id(peer), name))
        feed = peer.wanted[digest].feeds.pop(name, None)
        if feed is not None:
            feed.close()


def _opening(stream: Stream, digest: str, epoch: int) -> LinkOpened:
    template = stream.template.without_access()
    overrides, zero_unix_ms = stream.overrides, stream.epoch_ms
    own = digest, epoch, stream.generation, template, stream.transcoded
    return LinkOpened(*own, overrides, zero_unix_ms)
