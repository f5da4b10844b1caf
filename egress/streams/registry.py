"""All streams of this egress, and tags that came before their stream was opened. Pure.

A worker's first tags may overtake ingest's `StreamOpen`, which comes on another connection. Such
tags are parked: some of them, for a second.
"""

from collections import deque
from collections.abc import Iterable, Sequence

from common.ipc.identity import StreamId
from common.ipc.media_messages import GenerationEnd, RenditionOpen, StreamClosed, StreamOpen, Tags
from egress.streams.stream import MediaMessage, Stream

PARKED_S = 1.0
MAX_PARKED = 1_000  # messages, of all streams together
MAX_PARKED_BYTES = 32 * 1024 * 1024

_QueuedRequest = tuple[float, MediaMessage, Sequence[bytes]]


class Streams:
    """Streams by id. What `take` and `tick` changed is told by the streams' own state."""

    def __init__(self) -> None:
        self.by_id: dict[StreamId, Stream] = {}
        self.unplaced = 0  # messages that found no stream in time
        self._queued: deque[_QueuedRequest] = deque()
        self._queued_bytes = 0

    def get(self, stream_id: StreamId) -> Stream | None:
        return self.by_id.get(stream_id)

    def remove(self, stream_id: StreamId) -> None:
        self.by_id.pop(stream_id, None)

    def open(self, message: StreamOpen, now: float) -> tuple[Stream, tuple[str, ...]]:
        """Open a stream, or open it anew; returns it and the renditions that are gone by it."""
        stream = self.by_id.get(message.stream_id)
        gone: tuple[str, ...] = ()
        if stream is None:
            stream = self.by_id[message.stream_id] = Stream(message, now)
        else:
            gone = stream.open(message, now)
        gone += self._unpark(stream, now)
        return stream, gone

    def close(self, message: StreamClosed, now: float) -> Stream | None:
        stream = self.by_id.get(message.stream_id)
        if stream is not None:
            stream.close(message, now)
        return stream

    def take(
        self, message: RenditionOpen | Tags | GenerationEnd, payloads: Sequence[bytes], now: float
    ) -> tuple[Stream | None, tuple[str, ...]]:
        """Media; returns its stream, if there is one yet, and the renditions gone by it."""
        stream = self.by_id.get(message.stream_id)
        if stream is None or not stream.knows(message.generation):
            self._park(message, payloads, now)
            return None, ()
        return stream, stream.take(message, payloads, now)

    def expire(self, now: float) -> None:
        """Drop what was parked too long."""
        while self._queued and self._queued[0][0] + PARKED_S <= now:
            self._forget_oldest()

    @property
    def queued(self) -> int:
        return len(self._queued)

    def _park(self, message: MediaMessage, payloads: Sequence[bytes], now: float) -> None:
        self._queued.append((now, message, payloads))
        self._queued_bytes += _size(payloads)
        while len(self._queued) > MAX_PARKED or self._queued_bytes > MAX_PARKED_BYTES:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        self._queued_bytes -= _size(self._queued.popleft()[2])
        self.unplaced += 1

    def _unpark(self, stream: Stream, now: float) -> tuple[str, ...]:
        if not self._queued:
            return ()
        self.expire(now)
        gone: tuple[str, ...] = ()
        rest: deque[_QueuedRequest] = deque()
        for queued in self._queued:
            _, message, payloads = queued
            if message.stream_id == stream.stream_id and stream.knows(message.generation):
                gone += stream.take(message, payloads, now)
            else:
                rest.append(queued)
        self._queued = rest
        self._queued_bytes = sum(_size(payloads) for _, _, payloads in rest)
        return gone


def _size(payloads: Iterable[bytes]) -> int:
    return sum(map(len, payloads))
