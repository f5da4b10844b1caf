"""Which streams are pulled from which hosts, and what becomes of them here. Pure but for its ports.

The supervisor says which streams are wanted; the cluster child, by its way, who has them; the links
to the egresses, what of them is watched. A stream whose owner changes goes on under a higher
generation; one whose owner is away is held as its template has it, for whoever has it next.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final, Protocol

from common.ipc.cluster_messages import OwnerWanted, StreamOwner
from common.ipc.identity import ChildId, Generation, StreamId
from common.ipc.relay_messages import RemotePlay, RemotePlayEnd
from common.link.forwarding import Event, Forwarding
from common.link.messages import (
    LinkClosed,
    LinkGreeting,
    LinkHeaders,
    LinkInstead,
    LinkOpened,
    LinkTags,
    Relay,
)
from common.link.pulling import Media, Pulling
from common.link.tree import ParentSearch, may_take
from egress.relay.played_stream import Frames, Key, Out, PlayedStream
from egress.relay.still import AFTER_S

ASK_AGAIN_S: Final = 5.0  # changes are reported for 15 s after the last time
UNHEARD_S: Final = 10.0  # without its owner, before players hear of it: a link comes back sooner
UNCONFIRMED_S: Final = 20.0  # for another supervisor to say that a stream is still wanted
IDLE_S: Final = 30.0  # a connection that nothing is pulled by is kept


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


class _NoBranches:
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
class _Play:
    """A stream that is wanted here."""

    play: RemotePlay
    owner: StreamOwner | None = None
    parent: ParentSearch | None = None  # of whom it comes, while there is an owner …
    is_sent: bool = False  # … who has let this host in
    stream: PlayedStream | None = None
    asked_s: float = -inf
    unheard_s: float | None = None  # since when its owner is not there
    confirm_s: float = inf  # the supervisor is to say until then that it is wanted


class Pulls:  # long: one table of streams, which everything that comes changes
    """All of one relay."""

    def __init__(self, relay: ChildId, links: Links, ask: Callable[[OwnerWanted], object]) -> None:
        """`ask` asks who has a stream; the answer is a call of `on_owner`.

        `on_forwarded` gets what hosts say of publishers whose streams they have.
        """
        self.hosts: dict[tuple[str, str], Host] = {}
        self.branches: Branches = _NoBranches()
        self.keep_s = 10.0
        self._relay = relay
        self._links = links
        self._ask = ask
        self.on_forwarded: Callable[[Event], object] = lambda event: None
        self._own: LinkGreeting | None = None
        self._plays: dict[StreamId, _Play] = {}
        self._by_digest: dict[str, StreamId] = {}
        self._stale = 0  # of hosts that nothing is pulled from any more

    def __len__(self) -> int:
        return len(self._plays)

    @property
    def counters(self) -> Mapping[str, int]:
        return {
            "relay pulled streams": sum(map(_is_open, self._plays.values())),
            "relay pulled by way of others": sum(map(_is_by_way, self._plays.values())),
            "relay pulled from": sum(host.pulling.is_ready for host in self.hosts.values()),
            "relay stale": self._stale + sum(h.pulling.stale for h in self.hosts.values()),
        }

    def configure(self, own: LinkGreeting, keep_s: float) -> None:
        """How this host greets, and how long it pulls what nobody plays any more."""
        self._own, self.keep_s = own, keep_s

    # ---- what is wanted -----------------------------------------------------------------------

    def on_play(self, message: RemotePlay, now: float) -> None:
        """The supervisor wants a stream here, or under a higher generation."""
        play = self._plays.get(message.stream_id)
        if play is None:
            play = self._plays[message.stream_id] = _Play(message)
        if play.stream is not None and play.stream.generation < message.generation:
            self._leave(play)  # it begins anew: with its headers, and a GOP
        play.play, play.confirm_s = message, inf
        self._ask_owner(play, now)
        self._pull(play, now)

    def on_play_end(self, message: RemotePlayEnd, now: float) -> None:
        """Nobody wants it here any more, or it is published here."""
        play = self._plays.pop(message.stream_id, None)
        if play is not None:
            if play.owner is not None:
                self._by_digest.pop(play.owner.digest, None)
                self.branches.release(play.owner.digest)
            self._leave(play)
            self._close(play, message.reason, message.hold_ms)
            if play.stream is not None:
                self._links.forget(message.stream_id, play.stream.generation)

    def on_supervisor(self, now: float) -> None:
        """Another supervisor: it says anew what it wants."""
        for play in self._plays.values():
            play.confirm_s = now + UNCONFIRMED_S

    def on_owner(self, owner: StreamOwner, now: float) -> None:
        """The cluster child has said who has a stream."""
        play = self._plays.get(owner.stream_id)
        if play is None or (owner.host and play.owner and owner.epoch < play.owner.epoch):
            return
        known = play.owner
        if known is not None and not owner.relay and owner.host in ("", known.host):
            return  # the registry has lost sight of it: its link says what becomes of it
        is_known = known is not None and (known.host, known.relay) == (owner.host, owner.relay)
        if not is_known:
            self._leave(play)
            play.parent = None
        play.owner = owner if owner.relay and not owner.is_here else None
        if play.owner is None:
            play.parent = None
            if play.unheard_s is None and _is_open(play):
                play.unheard_s = now
            return
        self._pull(play, now)

    def on_demand(self, stream_id: StreamId, now: float) -> None:
        """Others of a stream's renditions are watched here than before."""
        play = self._plays.get(stream_id)
        host = self._host_of(play) if play is not None else None
        if play is not None and play.owner is not None and host is not None and play.stream:
            digest = play.owner.digest
            names = self._links.demanded(stream_id) | self.branches.wanted_of(digest)
            host.pulling.demand(digest, names, now)

    def forwarding(self, name: str, address: str, now: float) -> Forwarding | None:
        """The publishers whose streams a host has; None: this host is not configured yet."""
        if self._own is None:
            return None
        host = self._host(name, address, self._own, now)
        host.used_s = now
        return host.forwarding

    # ---- what comes ---------------------------------------------------------------------------

    def on_all_media(self, host: Host, found: Iterable[tuple[Media, Frames]], now: float) -> None:
        """Take what one read brought: its tags go on together."""
        self._links.gather()
        for message, payloads in found:
            self.on_media(host, message, payloads, now)
        self._links.flush()

    def on_media(self, host: Host, message: Media, payloads: Frames, now: float) -> None:
        """A host has sent something of a stream that is pulled from it."""
        play = self._play_of(message.stream)
        if play is None or self._host_of(play) is not host:
            return
        if isinstance(message, LinkInstead):
            self._ask_another(play, message.relays, now)
            return
        if isinstance(message, LinkOpened):
            if not may_take(host.pulling.own_host, message.path):
                self._leave(play)
                self._ask_another(play, (), now)
                return
            play.is_sent = True
        play.unheard_s = None
        self.branches.pass_on(message, payloads)
        if isinstance(message, LinkOpened):
            self._open(play, message, now)
        elif play.stream is None or not play.stream.is_open:
            return
        elif isinstance(message, LinkTags):
            ahead = play.stream.sound_before(message)
            if ahead is not None:
                self._send(play.stream, ahead)
            out = play.stream.tags(message, payloads, now)
            self._links.send_tags(play.stream.key(out.name), out.frames, is_start=out.is_start)
        elif isinstance(message, LinkHeaders):
            self._send(play.stream, play.stream.headers(message, payloads))
        elif isinstance(message, LinkClosed):
            self._close(play, message.reason, message.hold_ms)

    def outputs(self) -> Iterable[tuple[Key, Replayable]]:
        """What an egress that knows nothing must be sent of all streams."""
        for play in self._plays.values():
            if play.stream is not None:
                yield from play.stream.outputs()

    def on_lost(self, host: Host, now: float, reason: str = "") -> None:
        """The connection to a host is gone; it is tried again."""
        host.pulling.lost(reason)
        for play in self._plays.values():
            if self._host_of(play) is not host or play.parent is None or play.owner is None:
                continue
            if play.unheard_s is None:
                play.unheard_s = now
            self.branches.release(play.owner.digest)
            play.is_sent = False
            if not play.parent.is_at_owner:
                self._leave(play)
                play.parent.lost(now)
                self._pull(play, now)

    def begin_branch(self, digest: str) -> PlayedStream | None:
        """Return a stream that comes from another host, for a further one; None: it does not."""
        play = self._play_of(digest)
        if play is None or play.stream is None or not play.is_sent or not play.stream.is_open:
            return None
        return play.stream

    def is_pulled(self, digest: str) -> bool:
        """Tell if it comes of another host, or is to come."""
        play = self._play_of(digest)
        return play is not None and play.parent is not None

    def on_branch(self, digest: str, now: float) -> None:
        """Others of its renditions are wanted by further hosts than before."""
        play = self._play_of(digest)
        if play is not None:
            self.on_demand(play.play.stream_id, now)

    def tick(self, now: float) -> None:
        """Ask again, report, and let go of what is over; to be called once a second."""
        for play in tuple(self._plays.values()):
            self._ask_owner(play, now)
            if play.unheard_s is not None and now - play.unheard_s >= UNHEARD_S:
                self._hold_or_close(play, now - play.unheard_s)
            if play.confirm_s <= now:
                self.on_play_end(RemotePlayEnd(play.play.stream_id, "nobody wants it"), now)
        for play in self._plays.values():
            if play.parent is not None and play.parent.tick(now) is not None:
                self._pull(play, now)
            if play.owner is not None and play.stream is not None:
                self.on_demand(play.play.stream_id, now)
        for key, host in tuple(self.hosts.items()):
            host.pulling.keep_s = self.keep_s
            host.pulling.tick(now)
            if host.pulling.streams or len(host.forwarding):
                host.used_s = now
            elif now - host.used_s >= IDLE_S:
                self._stale += host.pulling.stale
                del self.hosts[key]

    def show_stills(self, now: float) -> bool:
        """Have streams whose hosts are away show their last picture; to be called often.

        False: all are there.
        """
        away = [one for one in self._plays.values() if one.unheard_s is not None]
        self._links.gather()
        for play in away:
            stream = play.stream
            if stream is None or now - (play.unheard_s or now) < AFTER_S:
                continue
            for out in stream.stills(now):
                self._links.send_tags(stream.key(out.name), out.frames, is_start=True)
        self._links.flush()
        return bool(away)

    # ---- inside -------------------------------------------------------------------------------

    def _hold_or_close(self, play: _Play, away_s: float) -> None:
        """Its host stays away: its players are held, with a picture where there is one."""
        stream = play.stream
        hold_ms = stream.hold_ms if stream is not None else 0
        if stream is None or not stream.has_still:
            self._close(play, "its host cannot be reached", hold_ms)
        elif away_s >= UNHEARD_S + hold_ms / 1000:
            self._close(play, "its host cannot be reached", 0)

    def _ask_owner(self, play: _Play, now: float) -> None:
        if now - play.asked_s >= ASK_AGAIN_S:
            play.asked_s = now
            self._ask(OwnerWanted(stream_id=play.play.stream_id))

    def _play_of(self, digest: str) -> _Play | None:
        return self._plays.get(self._by_digest.get(digest, StreamId("")))

    def _host_of(self, play: _Play) -> Host | None:
        """Whom it is pulled from."""
        parent = play.parent.parent if play.parent is not None else None
        return self.hosts.get(parent) if parent is not None else None

    def _pull(self, play: _Play, now: float) -> None:
        owner = play.owner
        if owner is None or self._own is None:
            return
        if play.parent is None:
            play.parent = ParentSearch(self._own.host, Relay(owner.host, owner.relay))
        parent = play.parent.parent
        if parent is None:
            return
        host = self._host(*parent, self._own, now)
        self._by_digest[owner.digest] = owner.stream_id
        is_new = owner.digest not in host.pulling.streams
        begin = play.play.renditions if is_new else ()  # then what is watched counts
        host.pulling.pull(owner.digest, owner.epoch, begin, now)
        self.on_demand(play.play.stream_id, now)

    def _ask_another(self, play: _Play, relays: Sequence[Relay], now: float) -> None:
        """Whoever it was asked of does not send it."""
        if play.parent is None or play.owner is None:
            return
        if play.unheard_s is None:
            play.unheard_s = now
        self.branches.release(play.owner.digest)
        was_sent, play.is_sent = play.is_sent, False
        if was_sent and not play.parent.is_at_owner:
            play.parent.released()
        else:
            play.parent.refused(relays, now)
        self._pull(play, now)

    def _host(self, name: str, address: str, own: LinkGreeting, now: float) -> Host:
        host = self.hosts.get((name, address))
        if host is None:
            forwarding = Forwarding(name, lambda event: self.on_forwarded(event))
            pulling = Pulling(own, name, self.keep_s, forwarding)
            host = self.hosts[name, address] = Host(name, address, pulling, now, forwarding)
        return host

    def _leave(self, play: _Play) -> None:
        """Pull it from that host no more."""
        owner, host = play.owner, self._host_of(play)
        play.is_sent = False
        if owner is not None and host is not None:
            host.pulling.drop(owner.digest)

    def _open(self, play: _Play, message: LinkOpened, now: float) -> None:
        generation = play.play.generation
        if play.stream is not None and play.stream.generation < generation:
            self._links.forget(play.play.stream_id, play.stream.generation)
            play.stream = None
        if play.stream is None:
            play.stream = PlayedStream(play.play.stream_id, generation, self._relay)
        self._send(play.stream, play.stream.opened(message))

    def _close(self, play: _Play, reason: str, hold_ms: int) -> None:
        play.unheard_s = None
        if play.stream is not None:
            for out in play.stream.closed(reason, hold_ms):
                self._send(play.stream, out)

    def _send(self, stream: PlayedStream, out: Out) -> None:
        self._links.send(stream.key(out.name), out.frames)


def _is_open(play: _Play) -> bool:
    return play.stream is not None and play.stream.is_open


def _is_by_way(play: _Play) -> bool:
    return _is_open(play) and play.parent is not None and not play.parent.is_at_owner
