"""All streams of this egress, and media that came before its stream was opened. Pure.

A worker's first tags may overtake ingest's `StreamOpen`, which comes on another connection. Such
media is queued: some of it, for a second.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from common.ipc.identity import StreamId
from common.ipc.media_messages import GenerationEnd, RenditionOpen, StreamClosed, StreamOpen, Tags
from egress.streams.rendition import Rendition
from egress.streams.stream import MediaMessage, Stream

QUEUED_S = 1.0
MAX_QUEUED = 1_000  # messages, of all streams together
MAX_QUEUED_BYTES = 32 * 1024 * 1024


class _Queued(NamedTuple):
    """A message that waits for its stream."""

    since_s: float
    message: MediaMessage
    payloads: Sequence[bytes]


class Streams:
    """Streams by id. What `take` changed is in the stream's own state."""

    def __init__(self, on_demand: Callable[[StreamId], object] = lambda _: None) -> None:
        """`on_demand` is called when a rendition of a stream has its first subscriber."""
        self.by_id: dict[StreamId, Stream] = {}
        self.unplaced = 0  # messages that found no stream in time
        self._on_demand = on_demand
        self._queued: deque[_Queued] = deque()
        self._queued_bytes = 0

    def get(self, stream_id: StreamId) -> Stream | None:
        return self.by_id.get(stream_id)

    def remove(self, stream_id: StreamId) -> None:
        self.by_id.pop(stream_id, None)

    def open(self, message: StreamOpen, now: float) -> tuple[Stream, tuple[Rendition, ...]]:
        """Open a stream, or open it anew; returns it and the renditions that are gone by it."""
        stream = self.by_id.get(message.stream_id)
        gone: tuple[Rendition, ...] = ()
        if stream is None:
            stream = self.by_id[message.stream_id] = Stream(message, now, self._on_demand)
        else:
            gone = stream.open(message, now)
        gone += self._take_queued(stream, now)
        return stream, gone

    def close(self, message: StreamClosed, now: float) -> Stream | None:
        stream = self.by_id.get(message.stream_id)
        if stream is not None:
            stream.close(message, now)
        return stream

    def take(
        self, message: RenditionOpen | Tags | GenerationEnd, payloads: Sequence[bytes], now: float
    ) -> tuple[Stream | None, tuple[Rendition, ...]]:
        """Media; returns its stream, if there is one yet, and the renditions gone by it."""
        stream = self.by_id.get(message.stream_id)
        if stream is None or not stream.knows(message.generation):
            self._queue(message, payloads, now)
            return None, ()
        return stream, stream.take(message, payloads, now)

    def expire(self, now: float) -> None:
        """Drop what was queued too long."""
        while self._queued and self._queued[0].since_s + QUEUED_S <= now:
            self._forget_oldest()

    @property
    def queued(self) -> int:
        return len(self._queued)

    def _queue(self, message: MediaMessage, payloads: Sequence[bytes], now: float) -> None:
        self._queued.append(_Queued(now, message, payloads))
        self._queued_bytes += _size(payloads)
        while len(self._queued) > MAX_QUEUED or self._queued_bytes > MAX_QUEUED_BYTES:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        self._queued_bytes -= _size(self._queued.popleft().payloads)
        self.unplaced += 1

    def _take_queued(self, stream: Stream, now: float) -> tuple[Rendition, ...]:
        if not self._queued:
            return ()
        self.expire(now)
        gone: tuple[Rendition, ...] = ()
        rest: deque[_Queued] = deque()
        for queued in self._queued:
            message = queued.message
            if message.stream_id == stream.stream_id and stream.knows(message.generation):
                gone += stream.take(message, queued.payloads, now)
            else:
                rest.append(queued)
        self._queued = rest
        self._queued_bytes = sum(_size(queued.payloads) for queued in rest)
        return gone


def _size(payloads: Iterable[bytes]) -> int:
    return sum(map(len, payloads))
