"""Which streams are pulled from which hosts, and what becomes of them here. Pure but for its ports.

The supervisor says which streams are wanted; the cluster child, by its way, who has them; the links
to the egresses, what of them is watched. A stream whose owner changes goes on as it is if its time
has the same zero there, and is taken from both owners for a moment (`handover.py`); else it goes on
under a higher generation. One whose owner is away is held as its template has it, for whoever has
it next.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from typing import Final

from common.ipc.cluster_messages import OwnerWanted, StreamOwner
from common.ipc.identity import ChildId, StreamId
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
from egress.relay.handover import Handover
from egress.relay.play import Before, Branches, Host, Links, NoBranches, Play, Replayable
from egress.relay.played_stream import Frames, Key, Out, PlayedStream
from egress.relay.still import AFTER_S

ASK_AGAIN_S: Final = 5.0  # changes are reported for 15 s after the last time
UNHEARD_S: Final = 10.0  # without its owner, before players hear of it: a link comes back sooner
LEAVE_S: Final = 12.0  # that who had a stream is listened to before the next one sends it …
OVERLAP_S: Final = 3.0  # … and since then
UNCONFIRMED_S: Final = 20.0  # for another supervisor to say that a stream is still wanted
IDLE_S: Final = 30.0  # a connection that nothing is pulled by is kept


class Pulls:  # long: one table of streams, which everything that comes changes
    """All of one relay."""

    def __init__(self, relay: ChildId, links: Links, ask: Callable[[OwnerWanted], object]) -> None:
        """`ask` asks who has a stream; the answer is a call of `on_owner`.

        `on_forwarded` gets what hosts say of publishers whose streams they have.
        """
        self.hosts: dict[tuple[str, str], Host] = {}
        self.branches: Branches = NoBranches()
        self.keep_s = 10.0
        self._relay = relay
        self._links = links
        self._ask = ask
        self.on_forwarded: Callable[[Event], object] = lambda event: None
        # Calls something after so many seconds, with the time of then.
        self.later: Callable[[float, Callable[[float], None]], object] = lambda seconds, what: None
        self._own: LinkGreeting | None = None
        self._plays: dict[StreamId, Play] = {}
        self._by_digest: dict[str, StreamId] = {}
        self._stale = 0  # of hosts that nothing is pulled from any more

    def __len__(self) -> int:
        return len(self._plays)

    @property
    def counters(self) -> Mapping[str, int]:
        return {
            "relay pulled streams": sum(play.is_open for play in self._plays.values()),
            "relay pulled by way of others": sum(play.is_by_way for play in self._plays.values()),
            "relay pulled from": sum(host.pulling.is_ready for host in self.hosts.values()),
            "relay stale": self._stale + sum(h.pulling.stale for h in self.hosts.values()),
        }

    @property
    def open_streams(self) -> tuple[StreamId, ...]:
        """Those that come from other hosts just now, and have something to play."""
        return tuple([name for name, play in self._plays.items() if play.is_open])

    def configure(self, own: LinkGreeting, keep_s: float) -> None:
        """How this host greets, and how long it pulls what nobody plays any more."""
        self._own, self.keep_s = own, keep_s

    # ---- what is wanted -----------------------------------------------------------------------

    def on_play(self, message: RemotePlay, now: float) -> None:
        """The supervisor wants a stream here, or under a higher generation."""
        play = self._plays.get(message.stream_id)
        if play is not None and play.end is not None:
            self._end(play, play.end)
            play = None
        if play is None:
            play = self._plays[message.stream_id] = Play(message)
        play.play, play.confirm_s = message, inf
        self._ask_owner(play, now)
        self._pull(play, now)

    def on_play_end(self, message: RemotePlayEnd, now: float) -> None:
        """Nobody wants it here any more, or it is published here."""
        play = self._plays.get(message.stream_id)
        if play is None:
            return
        if message.hold_ms:
            self._part(play, now)
        if message.hold_ms and play.before is not None:
            play.end, play.owner, play.parent = message, None, None  # its last pictures come
        else:
            self._end(play, message)

    def on_supervisor(self, now: float) -> None:
        """Another supervisor: it says anew what it wants."""
        for play in self._plays.values():
            play.confirm_s = now + UNCONFIRMED_S

    def on_owner(self, owner: StreamOwner, now: float) -> None:
        """The cluster child has said who has a stream."""
        play = self._plays.get(owner.stream_id)
        if play is None or play.end is not None:
            return
        if self._own is not None and owner.host == self._own.host and not owner.is_here:
            return  # its key is to be deleted, or another's: nobody asks himself
        if owner.host and play.owner and owner.epoch < play.owner.epoch:
            return
        known = play.owner
        if known is not None and not owner.relay and owner.host in ("", known.host):
            return  # the registry has lost sight of it: its link says what becomes of it
        if not play.owner_is(owner):
            self._part(play, now)
            play.parent, play.is_other = None, True
        play.owner = owner if owner.relay and not owner.is_here else None
        if play.owner is None:
            play.parent = None
            if play.unheard_s is None and play.is_open:
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
        if play is None:
            return
        if play.before is not None and play.before.host is host:
            self._on_before(play, message, payloads, now)
            return
        if self._host_of(play) is not host:
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
        if isinstance(message, LinkOpened):
            self._open(play, message, now)
        if play.before is None:
            self.branches.pass_on(message, payloads)
        if isinstance(message, LinkOpened) or play.stream is None or not play.stream.is_open:
            return
        if play.handover is not None and isinstance(message, LinkHeaders | LinkTags):
            self._send_all(play.stream, play.handover.next(message, payloads, now))
            self._look_if_over(play, now)
        elif isinstance(message, LinkClosed):
            self._close(play, message.reason, message.hold_ms)
        else:
            self._take(play.stream, message, payloads, now)

    def outputs(self) -> Iterable[tuple[Key, Replayable]]:
        """What an egress that knows nothing must be sent of all streams."""
        for play in self._plays.values():
            if play.stream is not None:
                yield from play.stream.outputs()

    def on_lost(self, host: Host, now: float, reason: str = "") -> None:
        """The connection to a host is gone; it is tried again."""
        host.pulling.lost(reason)
        for play in tuple(self._plays.values()):
            if play.before is not None and play.before.host is host:
                self._end_before(play, now)
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
        return play.stream if play.before is None else None

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
            if play.before is not None and play.before.until_s <= now:
                self._end_before(play, now)
            self._look_if_over(play, now)
            if play.confirm_s <= now:
                self.on_play_end(RemotePlayEnd(play.play.stream_id, "nobody wants it"), now)
        self._ask_again(now)
        for play in self._plays.values():
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

    def _hold_or_close(self, play: Play, away_s: float) -> None:
        """Its host stays away: its players are held, with a picture where there is one."""
        stream = play.stream
        hold_ms = stream.hold_ms if stream is not None else 0
        if stream is None or not stream.has_still:
            self._close(play, "its host cannot be reached", hold_ms)
        elif away_s >= UNHEARD_S + hold_ms / 1000:
            self._close(play, "its host cannot be reached", 0)

    def _ask_owner(self, play: Play, now: float) -> None:
        if now - play.asked_s >= ASK_AGAIN_S:
            play.asked_s = now
            self._ask(OwnerWanted(stream_id=play.play.stream_id))

    def _play_of(self, digest: str) -> Play | None:
        return self._plays.get(self._by_digest.get(digest, StreamId("")))

    def _host_of(self, play: Play) -> Host | None:
        """Whom it is pulled from."""
        parent = play.parent.parent if play.parent is not None else None
        return self.hosts.get(parent) if parent is not None else None

    def _pull(self, play: Play, now: float) -> None:
        owner = play.owner
        if owner is None or self._own is None:
            return
        if play.parent is None:
            play.parent = ParentSearch(self._own.host, Relay(owner.host, owner.relay))
        parent = play.parent.parent
        if parent is None:
            return
        host = self._host(*parent, self._own, now)
        if play.before is not None and play.before.host is host:
            self._end_before(play, now)  # one and the same sends it anew
        self._by_digest[owner.digest] = owner.stream_id
        is_new = owner.digest not in host.pulling.streams
        begin = play.play.renditions if is_new else ()  # then what is watched counts
        host.pulling.pull(owner.digest, owner.epoch, begin, now)
        self.on_demand(play.play.stream_id, now)

    def _ask_another(self, play: Play, relays: Sequence[Relay], now: float) -> None:
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
        if play.parent.parent is None:  # the owner may have just come to be one
            self.later(play.parent.wait_s(now) + 0.01, self._ask_again)

    def _ask_again(self, now: float) -> None:
        """Ask for what nobody sends, where it is time to."""
        for play in self._plays.values():
            if play.parent is not None and play.parent.tick(now) is not None:
                self._pull(play, now)

    def _host(self, name: str, address: str, own: LinkGreeting, now: float) -> Host:
        host = self.hosts.get((name, address))
        if host is None:
            forwarding = Forwarding(name, lambda event: self.on_forwarded(event))
            pulling = Pulling(own, name, self.keep_s, forwarding)
            host = self.hosts[name, address] = Host(name, address, pulling, now, forwarding)
        return host

    def _part(self, play: Play, now: float) -> None:
        """Take it from that host as long as the next one has not all of it."""
        host, owner = self._host_of(play), play.owner
        if host is None or owner is None:
            return
        stream = play.stream
        if stream is None or not stream.is_open or not play.is_sent or not host.pulling.is_ready:
            self._leave(play)
            return
        if play.before is not None:  # who had it before that one
            self._end_before(play, now)
        play.before = Before(host, owner.digest, now + LEAVE_S)
        play.is_sent = False

    def _on_before(self, play: Play, message: Media, payloads: Frames, now: float) -> None:
        """Something of the host that had the stream."""
        stream = play.stream
        if isinstance(message, LinkInstead | LinkClosed) or stream is None:
            self._end_before(play, now)
        elif not isinstance(message, LinkOpened):
            play.unheard_s = None
            self.branches.pass_on(message, payloads)
            if play.handover is not None:
                self._send_all(stream, play.handover.before(message, payloads, now))
                self._look_if_over(play, now)
            else:
                self._take(stream, message, payloads, now)

    def _end_before(self, play: Play, now: float) -> None:
        """The host that had the stream sends nothing more of it, or nothing that is of use."""
        before, play.before = play.before, None
        if before is None:
            return
        before.host.pulling.drop(before.digest)
        if play.end is not None:
            self._end(play, play.end)
            return
        if not play.is_sent and play.unheard_s is None:
            play.unheard_s = now
        self.branches.release(before.digest)
        if play.handover is not None and play.stream is not None:
            self._send_all(play.stream, play.handover.end_before(now))

    def _look_if_over(self, play: Play, now: float) -> None:
        """End a handover when all is the next host's."""
        handover, stream = play.handover, play.stream
        if handover is None or stream is None:
            return
        if handover.are_over:
            self._end_before(play, now)
        if play.before is None and handover.is_over(now):
            play.handover = None
            self._send_all(stream, handover.end())

    def _end(self, play: Play, message: RemotePlayEnd) -> None:
        """It is not played here any more."""
        del self._plays[message.stream_id]
        digest = play.owner.digest if play.owner is not None else ""
        if play.before is not None:
            digest = play.before.digest
            play.before.host.pulling.drop(digest)
        if digest:
            self._by_digest.pop(digest, None)
            self.branches.release(digest)
        self._leave(play)
        if play.stream is not None:
            self._close(play, message.reason, message.hold_ms, is_all=True)
            self._links.forget(message.stream_id, play.stream.generation)

    def _leave(self, play: Play) -> None:
        """Pull it from that host no more."""
        owner, host = play.owner, self._host_of(play)
        play.is_sent = False
        if owner is not None and host is not None:
            host.pulling.drop(owner.digest)

    def _open(self, play: Play, message: LinkOpened, now: float) -> None:
        stream, generation = play.stream, play.play.generation
        goes_on = play.goes_on(message)
        if stream is not None and not goes_on and stream.generation < generation:
            self._links.forget(play.play.stream_id, stream.generation)
            play.stream = stream = play.handover = None
        if stream is None:
            stream = play.stream = PlayedStream(play.play.stream_id, generation, self._relay)
        if play.is_other and goes_on:
            play.handover = Handover(stream, now)
        self._send(stream, stream.opened(message))
        if play.before is not None and goes_on:
            play.before.until_s = now + OVERLAP_S
        elif play.before is not None:
            self._end_before(play, now)
        elif play.is_other and play.handover is not None:
            play.handover.end_before(now)
        play.is_other = False

    def _take(
        self, stream: PlayedStream, message: LinkHeaders | LinkTags, payloads: Frames, now: float
    ) -> None:
        if isinstance(message, LinkHeaders):
            self._send(stream, stream.headers(message, payloads))
            return
        ahead = stream.sound_before(message)
        if ahead is not None:
            self._send(stream, ahead)
        out = stream.tags(message, payloads, now)
        self._links.send_tags(stream.key(out.name), out.frames, is_start=out.is_start)

    def _close(self, play: Play, reason: str, hold_ms: int, *, is_all: bool = False) -> None:
        play.unheard_s = play.handover = None
        if play.stream is not None:
            self._send_all(play.stream, play.stream.closed(reason, hold_ms, is_all=is_all))

    def _send_all(self, stream: PlayedStream, outs: Iterable[Out]) -> None:
        for out in outs:
            if out.is_start:
                self._send(stream, out)
            else:
                self._links.send_tags(stream.key(out.name), out.frames, is_start=False)

    def _send(self, stream: PlayedStream, out: Out) -> None:
        self._links.send(stream.key(out.name), out.frames)
