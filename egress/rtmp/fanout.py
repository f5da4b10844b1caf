"""Sends one rendition's flushes to its players: the hot loop of egress.

Players in step form groups that get the same bytes: one `send` a player and flush, a plain loop,
nothing made per player. Who takes less than all of a flush leaves its group and is served from its
own queue (`egress.rtmp.player_queue`) until it has caught up.

No event loop here. A `Sink` has a non-blocking socket, and is told when it has something queued;
tests give socket pairs.
"""

from collections.abc import Sequence
from operator import length_hint
from typing import Protocol

from common.ipc.identity import StreamId
from egress.rtmp.player_queue import Player
from egress.streams.gop_buffer import Entry
from egress.streams.rendition import Rendition


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


class Group:
    """Players who get the same bytes, with their sockets in a list of their own.

    The loop over the sockets runs through more memory than a cache holds, once a frame: whatever
    else it read of a player would be read from far away each time.
    """

    __slots__ = ("peers", "sinks")

    def __init__(self) -> None:
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
    """One rendition and its players.

    A sink is in a group, or behind. After it has sent all of its queue it calls `caught_up`.
    """

    def __init__(self, stream_id: StreamId, rendition: Rendition) -> None:
        self.stream_id = stream_id
        self.rendition = rendition
        self.behind: set[Sink] = set()
        self._dropped = 0
        self._groups: dict[tuple[int, int], Group] = {}
        self._group_of: dict[Sink, tuple[int, int]] = {}

    @property
    def players(self) -> int:
        return len(self._group_of) + len(self.behind)

    def dropped(self) -> int:
        """Tags that players missed because they were slow, those who left included."""
        return self._dropped + sum(sink.player.dropped for sink in self.sinks())

    def sinks(self) -> Sequence[Sink]:
        return (*self._group_of, *self.behind)

    def add(self, sink: Sink) -> None:
        """A player that has joined; what it starts with is in its queue."""
        self.behind.add(sink)

    def remove(self, sink: Sink) -> None:
        """The player is gone or plays nothing more."""
        if sink in self.behind or sink in self._group_of:
            self._dropped += sink.player.dropped
        self.behind.discard(sink)
        self._leave_group(sink)

    def step_out(self, sink: Sink) -> None:
        """Something other than the shared bytes is for this player: it is served alone for now."""
        if self._leave_group(sink):
            self.behind.add(sink)

    def caught_up(self, sink: Sink) -> None:
        """The queue is empty: in step again, if nothing else is missing."""
        if sink in self.behind and sink.player.is_in_step(self.rendition.gop_buffer):
            self.behind.discard(sink)
            key = sink.player.group
            group = self._groups.get(key)
            if group is None:
                group = self._groups[key] = Group()
            group.add(sink)
            self._group_of[sink] = key

    def flush(self, now: float) -> None:
        """Send everything that came."""
        entries = self.rendition.take(now)
        if not entries:
            return
        behind = tuple(self.behind)
        for (message_stream_id, kinds), group in tuple(self._groups.items()):
            data = b"".join([e.shared(message_stream_id) for e in entries if e.kind & kinds])
            if data:
                self._send(group, data, entries)
        for sink in behind:
            had_queue = sink.player.has_queue
            sink.player.offer(entries)
            if not had_queue and sink.player.has_queue:
                sink.on_queued()
            elif not had_queue:
                self.caught_up(sink)

    def _send(self, group: Group, data: bytes, entries: Sequence[Entry]) -> None:
        for sink, sent in group.send(data):
            self.step_out(sink)
            if isinstance(sent, OSError):
                sink.player.leave(discard=True)
                sink.on_broken(sent)
            else:
                sink.player.fall_behind(data, sent, entries)
                sink.on_queued()

    def _leave_group(self, sink: Sink) -> bool:
        key = self._group_of.pop(sink, None)
        if key is None:
            return False
        group = self._groups[key]
        group.remove(sink)
        if not group.sinks:
            del self._groups[key]
        return True
