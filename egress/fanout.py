"""Sends one rendition's flushes to its players: the hot loop of egress.

Players in step form groups that get the same bytes: one `send` a player and flush, a plain loop,
nothing made per player. Who takes less than all of a flush leaves its group and is served from its
own queue (`egress.player`) until it has caught up.

No event loop here. A `Sink` has a non-blocking `send`, and is told when it has something queued;
tests give socket pairs.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from egress.player import Player
from egress.rendition import Rendition
from egress.ring import Entry


class Sink(Protocol):
    """A connection that plays."""

    player: Player
    place: int  # in its group's list; kept by the channel

    @property
    def send(self) -> Callable[[bytes], int]:
        """Non-blocking: BlockingIOError when full, OSError when broken."""

    def on_queued(self) -> None:
        """There is something in the player's queue: send it, now or when the socket takes it."""

    def on_broken(self, error: OSError) -> None:
        """The socket failed. The sink leaves the channel by itself, not within this call."""


class Channel:
    """One rendition and its players.

    A sink is in a group, or behind. After it has sent all of its queue it calls `caught_up`.
    """

    def __init__(self, rendition: Rendition) -> None:
        self.rendition = rendition
        self.behind: set[Sink] = set()
        self._dropped = 0
        self._groups: dict[tuple[int, int], list[Sink]] = {}
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
        if sink in self.behind and sink.player.is_in_step(self.rendition.ring):
            self.behind.discard(sink)
            key = sink.player.group
            members = self._groups.setdefault(key, [])
            sink.place = len(members)
            members.append(sink)
            self._group_of[sink] = key

    def flush(self, now: float) -> None:
        """Send everything that came."""
        entries = self.rendition.take(now)
        if not entries:
            return
        behind = tuple(self.behind)
        for (message_stream_id, kinds), members in tuple(self._groups.items()):
            data = b"".join([e.shared(message_stream_id) for e in entries if e.kind & kinds])
            if data:
                self._send(members, data, entries)
        for sink in behind:
            had_queue = sink.player.has_queue
            sink.player.offer(entries)
            if not had_queue and sink.player.has_queue:
                sink.on_queued()
            elif not had_queue:
                self.caught_up(sink)

    def _send(self, members: list[Sink], data: bytes, entries: Sequence[Entry]) -> None:
        size = len(data)
        slow: list[tuple[Sink, int]] = []
        broken: list[tuple[Sink, OSError]] = []
        for sink in members:
            send = sink.send  # apart from the call: so the interpreter reads the slot directly
            try:
                sent = send(data)
            except (BlockingIOError, InterruptedError):
                slow.append((sink, 0))
            except OSError as error:
                broken.append((sink, error))
            else:
                if sent != size:
                    slow.append((sink, sent))
        for sink, sent in slow:
            self.step_out(sink)
            sink.player.fall_behind(data, sent, entries)
            sink.on_queued()
        for sink, reason in broken:
            self.step_out(sink)
            sink.player.leave(discard=True)
            sink.on_broken(reason)

    def _leave_group(self, sink: Sink) -> bool:
        key = self._group_of.pop(sink, None)
        if key is None:
            return False
        members = self._groups[key]
        last = members.pop()
        if last is not sink:
            members[sink.place] = last
            last.place = sink.place
        if not members:
            del self._groups[key]
        return True
