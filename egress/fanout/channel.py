"""A rendition's players as one subscriber of it, who sends them what is flushed: the hot loop.

Players in step form groups that get the same bytes: one `send` a player and flush, a plain loop,
nothing made per player. Who takes less than all of a flush leaves its group and is served from its
own queue (`egress.fanout.player_queue`) until it has caught up.

No event loop here. A `Sink` has a non-blocking socket, and is called when it has something queued;
tests give socket pairs.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from operator import length_hint
from typing import Protocol

from common.ipc.identity import StreamId
from egress.fanout.entries import Entry, EntryBuffer, WireForm
from egress.fanout.player_queue import Player
from egress.output import Audience
from egress.sound.carried import CLASSIC, CarriedSound, carried
from egress.sound.coded import SoundForms
from egress.streams.rendition import Rendition
from egress.streams.subscribers import Start
from egress.streams.tag import VIDEO, Config, Tag


class Peer(Protocol):
    """A non-blocking socket."""

    def send(self, data: bytes, /) -> int:
        """Raises BlockingIOError when full, OSError when broken."""


class Sink(Protocol):
    """A connection that plays."""

    player: Player
    place: int  # in its group's lists; kept by the channel

    @property
    def peer(self) -> "Peer":
        """The socket."""

    def on_queued(self) -> None:
        """There is something in the player's queue: send it, now or when the socket takes it."""

    def on_broken(self, error: OSError) -> None:
        """The socket failed. The sink leaves the channel by itself, not within this call."""

    def finish(self, reason: str) -> None:
        """The rendition is over. The sink leaves the channel, now or later."""


class Group:
    """Players who get the same bytes, with their sockets in a list of their own.

    The loop over the sockets runs through more memory than a cache holds, once a frame: whatever
    else it read of a player would be read from far away each time.
    """

    __slots__ = ("peers", "sends", "sinks")

    def __init__(self) -> None:
        self.sends = 0
        self.sinks: list[Sink] = []
        self.peers: list[Peer] = []

    def add(self, sink: Sink) -> None:
        sink.place = len(self.sinks)
        self.sinks.append(sink)
        self.peers.append(sink.peer)

    def remove(self, sink: Sink) -> None:
        """Put the last one in its place."""
        last, peer = self.sinks.pop(), self.peers.pop()
        if last is not sink:
            self.sinks[sink.place] = last
            self.peers[sink.place] = peer
            last.place = sink.place

    def send(self, data: bytes) -> list[tuple[Sink, int | OSError]]:
        """Send to all; returns those who took less, with how much or the error."""
        self.sends += 1
        size = len(data)
        peers = iter(self.peers)
        odd: list[tuple[Sink, int | OSError]] = []
        for peer in peers:
            try:
                sent: int | OSError = peer.send(data)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError as error:
                sent = error
            if sent != size:
                odd.append((self.sinks[len(self.peers) - length_hint(peers) - 1], sent))
        return odd


class Channel:
    """One rendition and its players: a `Subscriber` of the rendition while it has any.

    A sink is in a group, or behind. After it has sent all of its queue it calls `caught_up`.
    """

    def __init__(
        self,
        rendition: Rendition,
        on_empty: Callable[["Channel"], object] = lambda _: None,
        *,
        carries: Set[str] = CLASSIC,
        forms: SoundForms | None = None,
    ) -> None:
        """`on_empty` is called when the last player has left or the rendition has ended.

        `carries`: the codecs of sound that its players take. Others come in a form of `forms`.
        """
        self.rendition = rendition
        self.carries = carries
        self.buffer = EntryBuffer(carries)
        self._feed = carried(self, rendition.stream_id, carries, forms)
        self.behind: set[Sink] = set()
        self._on_empty = on_empty
        self._is_subscribed = False
        self._dropped: Counter[str] = Counter()  # by family of wire forms, of those who left
        self._sent_bytes: Counter[str] = Counter()  # likewise, and what groups were sent
        self._groups: dict[tuple[WireForm, int], Group] = {}
        self._group_of: dict[Sink, tuple[WireForm, int]] = {}

    @property
    def players(self) -> int:
        return len(self._group_of) + len(self.behind)

    def dropped(self) -> int:
        """Tags that players missed because they were slow, those who left included."""
        return self._dropped.total() + sum(sink.player.dropped for sink in self.sinks())

    def sent_bytes(self) -> int:
        """What sockets of players have taken, of those who left too."""
        return self._sent_bytes.total() + sum(sink.player.sent_bytes for sink in self.sinks())

    def audience(self, family: str) -> Audience:
        """Those whose wire form is of one family."""
        players = [sink.player for sink in self.sinks() if sink.player.form.family == family]
        return Audience(
            len(players),
            self._dropped[family] + sum(player.dropped for player in players),
            self._sent_bytes[family] + sum(player.sent_bytes for player in players),
        )

    def sinks(self) -> Sequence[Sink]:
        return (*self._group_of, *self.behind)

    # ---- players ------------------------------------------------------------------------------

    def join(self, sink: Sink, start: Start, form: WireForm) -> None:
        """Let a player in; what it starts with is in its queue then."""
        self._subscribe()
        self._keep_still()
        sink.player.join(self.buffer, start, form, self._flushed)
        self.behind.add(sink)
        if not self._is_subscribed:
            sink.finish("it failed")

    def remove(self, sink: Sink) -> None:
        """The player is gone or plays nothing more."""
        if sink in self.behind or sink in self._group_of:
            family = sink.player.form.family
            self._dropped[family] += sink.player.dropped
            self._sent_bytes[family] += sink.player.sent_bytes
        self.behind.discard(sink)
        self._leave_group(sink)
        if not self.players:
            self._unsubscribe()
            self._on_empty(self)

    def pause(self, sink: Sink) -> None:
        """Send it nothing new."""
        self.step_out(sink)
        sink.player.pause(self.buffer)

    def resume(self, sink: Sink) -> None:
        """Go on with it at live."""
        self.step_out(sink)
        sink.player.resume(self.buffer, self._flushed)

    def step_out(self, sink: Sink) -> None:
        """Something other than the shared bytes is for this player: it is served alone for now."""
        if self._leave_group(sink):
            self.behind.add(sink)

    def caught_up(self, sink: Sink) -> None:
        """The queue is empty: in step again, if nothing else is missing."""
        if sink in self.behind and sink.player.is_in_step(self.buffer):
            self.behind.discard(sink)
            key = sink.player.group
            group = self._groups.get(key)
            if group is None:
                group = self._groups[key] = Group()
            group.add(sink)
            self._group_of[sink] = key

    def sends_to(self, sink: Sink) -> int:
        """How often players in step with this one were sent something; 0: it is served alone."""
        key = self._group_of.get(sink)
        return self._groups[key].sends if key is not None else 0

    # ---- the subscriber -----------------------------------------------------------------------

    def on_config(self, config: Config, /) -> None:
        self.buffer.configure(config)

    def on_units(self, tags: Sequence[Tag], /) -> None:
        """Send everything that came."""
        entries = self.buffer.append(tags)
        behind = tuple(self.behind)
        for (form, kinds), group in tuple(self._groups.items()):
            data = b"".join([e.shared(form) for e in entries if e.kind & kinds])
            if data:
                self._send(group, data, entries, form.family)
        for sink in behind:
            had_queue = sink.player.has_queue
            sink.player.offer(entries)
            if not had_queue and sink.player.has_queue:
                sink.on_queued()
            elif not had_queue:
                self.caught_up(sink)
        self._keep_still()

    def on_end(self, reason: str, /) -> None:
        self._is_subscribed = False
        for sink in self.sinks():
            sink.finish(reason)
        self._on_empty(self)

    def _subscribe(self) -> None:
        if not self._is_subscribed:
            self._is_subscribed = True
            self.buffer = EntryBuffer(self.carries)
            self.rendition.subscribe(self._feed)

    def _unsubscribe(self) -> None:
        if self._is_subscribed:
            self._is_subscribed = False
            self.rendition.unsubscribe(self._feed)
            if isinstance(self._feed, CarriedSound):
                self._feed.close()
            self.buffer = EntryBuffer(self.carries)

    @property
    def _flushed(self) -> int:
        """How many entries one may start from: none while a newer keyframe waits to be flushed."""
        return len(self.buffer.gop) if self.rendition.flushed else 0

    def _keep_still(self) -> None:
        """Of a GOP that outgrew its limits keep what can be shown."""
        kept = self.rendition.gop_buffer
        if not kept.tags:
            self.buffer.keep_still(kept.last_dts_ms.get(VIDEO))

    def _send(self, group: Group, data: bytes, entries: Sequence[Entry], family: str) -> None:
        size = len(data)
        sent_bytes = size * len(group.peers)
        for sink, sent in group.send(data):
            sent_bytes -= size
            self.step_out(sink)
            if isinstance(sent, OSError):
                sink.player.leave(discard=True)
                sink.on_broken(sent)
            else:
                sent_bytes += sent
                sink.player.fall_behind(data, sent, entries)
                sink.on_queued()
        self._sent_bytes[family] += sent_bytes

    def _leave_group(self, sink: Sink) -> bool:
        key = self._group_of.pop(sink, None)
        if key is None:
            return False
        group = self._groups[key]
        group.remove(sink)
        if not group.sinks:
            del self._groups[key]
        return True


class Channels:
    """The channels of all renditions that have players: one for each sound that these take."""

    def __init__(self, forms: SoundForms | None = None) -> None:
        self._forms = forms
        self._by_stream: dict[StreamId, dict[tuple[str, Set[str]], Channel]] = {}

    def get(self, rendition: Rendition, carries: frozenset[str] = CLASSIC) -> Channel:
        """The rendition's channel for players of these codecs, made for the first of them."""
        channels = self._by_stream.setdefault(rendition.stream_id, {})
        key = rendition.name, carries
        channel = channels.get(key)
        if channel is None or channel.rendition is not rendition:
            channel = channels[key] = Channel(
                rendition, self._forget, carries=carries, forms=self._forms
            )
        return channel

    def audience(self, stream_id: StreamId, family: str) -> Mapping[str, Audience]:
        """The players of a stream's renditions whose wire form is of one family."""
        found: dict[str, Audience] = {}
        for (name, _), channel in self._by_stream.get(stream_id, {}).items():
            one, before = channel.audience(family), found.get(name, Audience(0, 0))
            found[name] = Audience(
                before.players + one.players,
                before.dropped + one.dropped,
                before.sent_bytes + one.sent_bytes,
            )
        return found

    def _forget(self, channel: Channel) -> None:
        stream_id, key = channel.rendition.stream_id, (channel.rendition.name, channel.carries)
        channels = self._by_stream.get(stream_id, {})
        if channels.get(key) is channel:
            channel.rendition.dropped += channel.dropped()
            channel.rendition.sent_bytes += channel.sent_bytes()
            del channels[key]
            if not channels:
                del self._by_stream[stream_id]
