"""Keeps every publisher's last messages, and decides when they are written. Pure.

Who asks by `tfarm capture` gets a file. What is written by itself (a refusal after media came, a
broken connection, quarantine, decode errors) is limited: `AGAIN_S` for a stream, `NEXT_S` for all.
The disk is `CaptureSink`'s.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from common.access.refusal import Refusal, RefusalReason
from common.capture.capture_file import CapturedMessage, CapturedRead, CaptureInfo
from common.capture.headers_only import DATA, HeadersOnly
from common.config.settings import CaptureSettings
from common.ipc.identity import StreamId
from common.process.log import key_hash
from common.rtmp.events import Event, PublishRequested
from ingest.capture.recent_messages import Message, MessageMemory, RecentMessages, Snapshot
from ingest.streams.captures import CaptureResult, Done
from ingest.streams.publisher import PublishingConnection

AGAIN_S = 600.0
NEXT_S = 2.0
MAX_REMEMBERED = 1000  # streams that were captured by themselves
_MIN_SECRET_BYTES = 4
_SEPARATORS = re.compile(r"[/?&=#]")


@dataclass(frozen=True, slots=True)
class CaptureJob:
    """One file to be written."""

    info: CaptureInfo
    kept: Snapshot
    seconds: float  # from its first message to its last
    secrets: tuple[bytes, ...] = field(repr=False)  # that must not stand in it

    def captured(self) -> Iterator[CapturedRead]:
        """What goes into the file, made as it is asked for."""
        outlines = HeadersOnly() if self.info.headers_only else None
        began_s: float | None = None
        for read in self.kept.reads():
            began_s = read.at_s if began_s is None else began_s
            messages = tuple(self._message(message, outlines) for message in read.messages)
            at_us = round((read.at_s - began_s) * 1_000_000)
            yield CapturedRead(at_us, messages, read.unread_bytes)

    def _message(self, message: Message, outlines: HeadersOnly | None) -> CapturedMessage:
        type_id, timestamp, payload = message
        if type_id == DATA:
            for secret in self.secrets:
                payload = payload.replace(secret, b"*" * len(secret))
        if outlines is not None:
            return outlines.message(type_id, timestamp, payload)
        return CapturedMessage(type_id, timestamp, (payload,))


class CaptureSink(Protocol):
    """Writes files, one after the other."""

    @property
    def is_busy(self) -> bool:
        """Whether it has as much to do as it takes."""
        ...

    def put(self, job: CaptureJob, done: Done) -> None:
        """Write a file; `done` is called on the loop."""
        ...


@dataclass(slots=True)
class _Publisher:
    stream_id: StreamId
    recent: RecentMessages


@dataclass(frozen=True, slots=True)
class _Request:
    """What a connection asked for: its encoder's name, what it publishes as, its keys."""

    encoder: str = ""
    publish_type: str = "live"
    secrets: tuple[bytes, ...] = field(default=(), repr=False)


class Recorder:
    """`Captures` of one ingest."""

    def __init__(
        self, sink: CaptureSink, unix_time: Callable[[], float], clock: Callable[[], float]
    ) -> None:
        """`clock` is CLOCK_MONOTONIC."""
        self._sink = sink
        self._unix_time = unix_time
        self._clock = clock
        self._settings = CaptureSettings()
        self._memory = MessageMemory()
        self._requests: dict[object, _Request] = {}
        self._publishers: dict[object, _Publisher] = {}
        self._written_s: dict[StreamId, float] = {}  # by themselves
        self._last_s = -NEXT_S

    def configure(self, settings: CaptureSettings, processes: int) -> None:
        """Use other settings; the memory is shared evenly among so many ingests."""
        self._settings = settings
        self._memory.configure(settings.memory_bytes // max(1, processes), settings.seconds)

    # ---- what comes ---------------------------------------------------------------------------

    def connected(self, connection: object, encoder: str) -> None:
        """A connection says what it is."""
        self._requests[connection] = _Request(encoder[:200])

    def requested(self, connection: object, request: PublishRequested) -> None:
        """A connection asks to publish."""
        before = self._requests.get(connection, _Request())
        texts = (request.name, request.tc_url.partition("?")[2], request.app.partition("?")[2])
        self._requests[connection] = _Request(
            before.encoder, request.publish_type[:20], _secrets(texts)
        )

    def closed(self, connection: object) -> None:
        """A connection is gone."""
        self._requests.pop(connection, None)

    def begin(self, connection: PublishingConnection, stream_id: StreamId) -> None:
        if self._memory.limit:
            self._publishers[connection] = _Publisher(stream_id, self._memory.begin())

    def end(self, connection: PublishingConnection) -> None:
        publisher = self._publishers.pop(connection, None)
        if publisher is not None:
            self._memory.end(publisher.recent)

    def add(self, connection: object, events: Sequence[Event], now: float) -> None:
        """Keep what one read has brought of a publisher's."""
        publisher = self._publishers.get(connection)
        if publisher is not None and self._memory.limit:
            publisher.recent.add(events, now)

    def note_unread(self, connection: object, unread_bytes: int) -> None:
        """How much a publisher that is held back has ready."""
        publisher = self._publishers.get(connection)
        if publisher is not None and self._memory.limit:
            publisher.recent.note_unread(unread_bytes, self._clock())

    # ---- files --------------------------------------------------------------------------------

    def refused(self, connection: object, refusal: Refusal) -> None:
        if refusal.reason is not RefusalReason.KICKED:
            self._write(connection, f"closed: {refusal.for_log}")

    def broken(self, connection: object, reason: str) -> None:
        """It broke the protocol, and is closed for that."""
        self._write(connection, f"closed: {reason}")

    def write(self, stream_id: StreamId, reason: str) -> None:
        self._write(self._connection_of(stream_id), reason)

    def _write(self, connection: object, reason: str) -> None:
        publisher = self._publishers.get(connection)
        if publisher is None or publisher.recent.is_empty or self._sink.is_busy:
            return
        stream_id, now = publisher.stream_id, self._clock()
        last_s = self._written_s.get(stream_id)
        if now - self._last_s < NEXT_S or (last_s is not None and now - last_s < AGAIN_S):
            return
        self._last_s = now
        self._written_s.pop(stream_id, None)
        if len(self._written_s) >= MAX_REMEMBERED:
            del self._written_s[next(iter(self._written_s))]
        self._written_s[stream_id] = now
        headers_only = not self._settings.pictures
        self._sink.put(self._job(connection, publisher, reason, headers_only), _ignore)

    def ask(self, stream_id: StreamId, reason: str, headers_only: bool, done: Done) -> None:
        connection = self._connection_of(stream_id)
        publisher = self._publishers.get(connection)
        if publisher is None and not self._memory.limit:
            done(CaptureResult(error="nothing is kept: capture.memory is 0"))
        elif publisher is None:
            done(CaptureResult(error="nobody publishes it, or it began when capture.memory was 0"))
        elif publisher.recent.is_empty:
            done(CaptureResult(error="it has sent no media yet"))
        elif self._sink.is_busy:
            done(CaptureResult(error="other captures are being written; try again"))
        else:
            self._sink.put(self._job(connection, publisher, reason, headers_only), done)

    def _connection_of(self, stream_id: StreamId) -> object:
        publishers = self._publishers.items()
        return next((at for at, known in publishers if known.stream_id == stream_id), None)

    def _job(
        self, connection: object, publisher: _Publisher, reason: str, headers_only: bool
    ) -> CaptureJob:
        request = self._requests.get(connection, _Request())
        app, _, key = publisher.stream_id.partition("/")
        secrets = tuple(sorted({*request.secrets, *_secrets((key,))} - {app.encode()}, key=len))
        info = CaptureInfo(
            app,
            key_hash(key),
            reason[:200],
            self._unix_time(),
            headers_only,
            publisher.recent.starts_late,
            request.encoder,
            request.publish_type,
        )
        for secret in secrets:  # an encoder's name is the publisher's word, too
            text = secret.decode()
            info = replace(info, encoder=info.encoder.replace(text, "*" * len(text)))
        kept = publisher.recent.snapshot()
        return CaptureJob(info, kept, kept.seconds, secrets[::-1])


def _secrets(texts: Sequence[str]) -> tuple[bytes, ...]:
    """What may be keys in what a publisher asked for."""
    parts = {part.encode() for text in texts for part in (text, *_SEPARATORS.split(text))}
    return tuple(part for part in parts if len(part) >= _MIN_SECRET_BYTES)


def _ignore(result: CaptureResult) -> None:
    """Nobody waits for it; the log has it."""
