"""All streams of this egress, and media that came before its stream was opened. Pure.

A worker's first tags may overtake ingest's `StreamOpen`, which comes on another connection. Such
media is queued: some of it, for a second. What a child may not send (`senders.py`) is dropped.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Final, NamedTuple, Protocol

from common.ipc.identity import ChildId, StreamId
from common.ipc.media_messages import RenditionOpen, StreamClosed, StreamOpen
from common.process.stage_times import StageDelays
from egress.streams import demand, senders
from egress.streams.next_generation import MediaMessage
from egress.streams.rendition import Rendition
from egress.streams.senders import Senders, StreamMessage
from egress.streams.stream import Stream, is_another_start

QUEUED_S = 1.0
MAX_QUEUED = 1_000  # messages, of all streams together
MAX_QUEUED_BYTES = 32 * 1024 * 1024


class Sender(demand.Sender, senders.Sender, Protocol):
    """One who sends media here."""


class _Anybody:
    """A sender that is not known, and takes no answers."""

    child = None
    worker: ChildId | None = None
    closed = True

    def answer(self, frames: Sequence[bytes], /) -> bool:
        return False


ANYBODY: Final = _Anybody()


class _Queued(NamedTuple):
    """A message that waits for its stream."""

    since_s: float
    message: MediaMessage
    payloads: Sequence[bytes]
    sender: Sender


class Streams:
    """Streams by id. What `take` changed is in the stream's own state."""

    def __init__(
        self,
        on_demand: Callable[[StreamId], object] = lambda _: None,
        on_sender: Callable[[StreamId, Sender], object] = lambda _, __: None,
        on_denied: Callable[[StreamMessage, Sender], object] = lambda _, __: None,
        *,
        for_segments: bool = False,
    ) -> None:
        """`on_demand` is called when a rendition of a stream has its first subscriber.

        `on_sender`: whenever one who may send a stream opens it, or a rendition of it. `on_denied`:
        when somebody has sent what he may not. `for_segments`: streams are cut to segments here. So
        of each rendition the last whole GOPs are kept too, and another start of a stream is another
        stream: its time is not put behind that of the one before, off the grid of keyframes.
        """
        self.by_id: dict[StreamId, Stream] = {}
        self.unplaced = 0  # messages that found no stream in time
        self.delays = StageDelays()  # of all streams, also of those that have ended
        self.denied = 0  # messages of children that may not send them
        self._on_demand = on_demand
        self._on_sender = on_sender
        self._on_denied = on_denied
        self._for_segments = for_segments
        self._senders = Senders()
        self._queues: dict[ChildId | None, deque[_Queued]] = {}  # by who sent it, none empty
        self._queued_bytes = 0

    def get(self, stream_id: StreamId) -> Stream | None:
        return self.by_id.get(stream_id)

    def remove(self, stream_id: StreamId) -> None:
        self.by_id.pop(stream_id, None)
        self._senders.forget(stream_id)

    def open(
        self, message: StreamOpen, now: float, sender: Sender = ANYBODY
    ) -> tuple[Stream | None, tuple[Rendition, ...]]:
        """Open a stream, or open it anew; returns it and the renditions that are gone by it.

        None where the sender may not.
        """
        if not self._may_send(sender, message):
            return None, ()
        self._senders.opened(message)
        self._on_sender(message.stream_id, sender)
        stream = self.by_id.get(message.stream_id)
        gone: tuple[Rendition, ...] = ()
        if stream is not None and self._for_segments and is_another_start(stream, message):
            gone, stream = tuple(stream.renditions.values()), None
        if stream is None:
            stream = Stream(
                message, now, self._on_demand, self.delays, keeps_last=self._for_segments
            )
            self.by_id[message.stream_id] = stream
        else:
            gone = stream.open(message, now)
        gone += self._take_queued(stream, now)
        return stream, gone

    def close(self, message: StreamClosed, now: float, sender: Sender = ANYBODY) -> Stream | None:
        """End a stream, or hold it; None: there is none, or the sender may not."""
        if not self._may_send(sender, message):
            return None
        stream = self.by_id.get(message.stream_id)
        if stream is not None:
            stream.close(message, now)
        return stream

    def take(
        self,
        message: MediaMessage,
        payloads: Sequence[bytes],
        now: float,
        sender: Sender = ANYBODY,
    ) -> tuple[Stream | None, tuple[Rendition, ...]]:
        """Media; returns its stream, if there is one yet, and the renditions gone by it."""
        stream = self.by_id.get(message.stream_id)
        if stream is None or not stream.knows(message.generation):
            self._queue(_Queued(now, message, payloads, sender))
            return None, ()
        if not self._may_send(sender, message):
            return None, ()
        if self._senders.is_stood_in_for(sender, message):
            if isinstance(message, RenditionOpen):
                stream.set_aside(message, payloads)
            return None, ()
        if isinstance(message, RenditionOpen):
            self._on_sender(message.stream_id, sender)
        return stream, stream.take(message, payloads, now)

    def expire(self, now: float) -> None:
        """Drop what was queued too long."""
        for child, queue in tuple(self._queues.items()):
            while queue and queue[0].since_s + QUEUED_S <= now:
                self._forget_oldest(child)

    @property
    def are_none(self) -> bool:
        """True without a stream, and without media that waits for one."""
        return not (self.by_id or self._queues)

    @property
    def queued(self) -> int:
        return sum(map(len, self._queues.values()))

    def _may_send(self, sender: Sender, message: StreamMessage) -> bool:
        if self._senders.may_send(sender, message):
            return True
        self.denied += 1
        self._on_denied(message, sender)
        return False

    def _queue(self, entry: _Queued) -> None:
        self._queues.setdefault(entry.sender.child, deque()).append(entry)
        self._queued_bytes += _size(entry.payloads)
        while self.queued > MAX_QUEUED or self._queued_bytes > MAX_QUEUED_BYTES:
            # of the one who has the most: a noisy one drives nobody else's out
            self._forget_oldest(max(self._queues, key=lambda child: len(self._queues[child])))

    def _forget_oldest(self, child: ChildId | None) -> None:
        queue = self._queues[child]
        self._queued_bytes -= _size(queue.popleft().payloads)
        self.unplaced += 1
        if not queue:
            del self._queues[child]

    def _take_queued(self, stream: Stream, now: float) -> tuple[Rendition, ...]:
        if not self._queues:
            return ()
        self.expire(now)
        gone: tuple[Rendition, ...] = ()
        queues, self._queues, self._queued_bytes = self._queues, {}, 0
        for entry in chain.from_iterable(queues.values()):
            message = entry.message
            if message.stream_id == stream.stream_id and stream.knows(message.generation):
                _, without = self.take(message, entry.payloads, now, entry.sender)
                gone += without
            else:
                self._queue(entry)
        return gone


def _size(payloads: Iterable[bytes]) -> int:
    return sum(map(len, payloads))
