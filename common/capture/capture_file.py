"""The file of a capture: bytes in and out, never a file handle. Pure; docs/capture.md has the form.

`MAGIC`, then a zlib stream of msgpack values: one map, `CaptureInfo`, and an array for each read of
the publisher's connection. Everything that is read is checked, lengths first: a file comes from
somebody else.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import msgpack

from common.errors import CaptureError
from common.flv.tag import TagType

MAGIC = b"TFCAP 1\n"
FILL = b"\xff"  # in place of what was left out: no start code, no sync word begins in it
MAX_CAPTURE_BYTES = 1024**3  # of all messages together, with what was left out
MAX_MESSAGE_BYTES = 64 * 1024**2
MAX_MESSAGES = 1_000_000  # of one read
MAX_PARTS = 65_536  # of one message
MAX_TEXT_BYTES = 4096
MAX_SECONDS = 24 * 3600
_MAX_UNIX = 1 << 36  # a year that a calendar has
_LEVEL = 1  # pictures do not get smaller
_PIECE_BYTES = 64 * 1024
_TYPES = frozenset(map(int, TagType))

# A message's bytes; or, of one that is not whole, bytes and counts of bytes that were left out.
Part = bytes | int


@dataclass(frozen=True, slots=True)
class CaptureInfo:
    """What a capture is of."""

    app: str
    key_hash: str  # of the stream key, as in the log
    reason: str  # why it was written
    created_unix: float = 0.0
    headers_only: bool = False  # pictures and sound are left out
    starts_late: bool = False  # what came before its first read is not there, but for headers
    encoder: str = ""  # what the publisher calls itself
    publish_type: str = "live"


@dataclass(frozen=True, slots=True)
class CapturedMessage:
    """One message, as it stood in the RTMP stream."""

    type_id: int
    timestamp: int  # milliseconds modulo 2**32
    parts: tuple[Part, ...]

    @property
    def size(self) -> int:
        """The length of its payload."""
        return sum(part if isinstance(part, int) else len(part) for part in self.parts)

    def payload(self) -> bytes:
        """Its payload, with `FILL` for what was left out."""
        return b"".join(FILL * part if isinstance(part, int) else part for part in self.parts)


@dataclass(frozen=True, slots=True)
class CapturedRead:
    """What one read of the connection brought."""

    at_us: int  # after the first read
    messages: tuple[CapturedMessage, ...]
    # How much the connection had ready behind it, where ingest asked: of one that is held back.
    # Without messages: nothing was read, it was asked alone.
    unread_bytes: int | None = None


def encode(
    info: CaptureInfo, reads: Iterable[CapturedRead], level: int = _LEVEL
) -> Iterator[bytes]:
    """The file, in pieces that are made as they are asked for."""
    compressor = zlib.compressobj(level)
    yield MAGIC
    yield compressor.compress(
        msgpack.packb({field.name: getattr(info, field.name) for field in fields(info)})
    )
    for read in reads:
        value = [read.at_us, [*map(_packed, read.messages)]]
        if read.unread_bytes is not None:
            value.append(read.unread_bytes)
        piece = compressor.compress(msgpack.packb(value))
        if piece:
            yield piece
    yield compressor.flush()


def _packed(message: CapturedMessage) -> list[Any]:
    match message.parts:
        case (bytes(whole),):
            return [message.type_id, message.timestamp, whole]
        case parts:
            return [message.type_id, message.timestamp, list(parts)]


class CaptureReader:
    """Reads a capture: `info` at once, then the reads, one by one."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        """`pieces` are the file's bytes, cut anywhere.

        Raises:
            CaptureError: it is no capture.
        """
        self._values = _values(pieces)
        self._left_bytes = MAX_CAPTURE_BYTES
        self._last_us = 0
        self.info = _info(next(self._values, None))

    def __iter__(self) -> Iterator[CapturedRead]:
        """The reads, in order. Raises CaptureError at the first thing that is wrong."""
        for value in self._values:
            yield self._read(value)

    def _read(self, value: Any) -> CapturedRead:
        match value:
            case [int(at_us), list(messages), *rest] if (
                self._last_us <= at_us <= MAX_SECONDS * 1_000_000 and _is_count(rest)
            ):
                self._last_us = at_us
                unread = rest[0] if rest else None
                return CapturedRead(at_us, tuple(map(self._message, messages)), unread)
        raise CaptureError("a read is not as it should be")

    def _message(self, value: Any) -> CapturedMessage:
        match value:
            case [int(type_id), int(timestamp), bytes() | list() as body] if (
                type_id in _TYPES and 0 <= timestamp < 1 << 32
            ):
                parts = (body,) if isinstance(body, bytes) else tuple(body)
                if all(_is_part(part) for part in parts):
                    message = CapturedMessage(type_id, timestamp, parts)
                    self._left_bytes -= message.size
                    if message.size <= MAX_MESSAGE_BYTES and self._left_bytes >= 0:
                        return message
                    raise CaptureError("its messages are larger than a capture's can be")
        raise CaptureError("a message is not as it should be")


def read_whole(pieces: Iterable[bytes]) -> tuple[CaptureInfo, Sequence[CapturedRead]]:
    """A capture that is known to be small. Raises CaptureError."""
    reader = CaptureReader(pieces)
    return reader.info, tuple(reader)


def _is_part(part: Any) -> bool:
    return isinstance(part, bytes) or (type(part) is int and 0 <= part <= MAX_MESSAGE_BYTES)


def _is_count(rest: list[Any]) -> bool:
    """Whether what stands behind a read's messages is nothing, or a count of bytes."""
    return not rest or (len(rest) == 1 and type(rest[0]) is int and 0 <= rest[0] < 1 << 32)


def _info(value: Any) -> CaptureInfo:
    if not isinstance(value, dict):
        raise CaptureError("it does not say what it is of")
    given: dict[str, Any] = {}
    for field in fields(CaptureInfo):
        found = value.get(field.name, field.default)
        if field.type is float and type(found) is int:
            found = float(found)
        if type(found) is not field.type:
            raise CaptureError(f"its {field.name} is not as it should be")
        given[field.name] = found
    info = CaptureInfo(**given)
    if not 0 <= info.created_unix < _MAX_UNIX:
        raise CaptureError("its date is not as it should be")
    return info


def _values(pieces: Iterable[bytes]) -> Iterator[Any]:
    unpacker = msgpack.Unpacker(
        max_buffer_size=2 * MAX_MESSAGE_BYTES,
        max_bin_len=MAX_MESSAGE_BYTES,
        max_str_len=MAX_TEXT_BYTES,
        max_array_len=MAX_MESSAGES,
        max_map_len=64,
        max_ext_len=0,
        strict_map_key=True,
    )
    fed = whole = 0  # bytes given, and those of whole values
    try:
        for piece in _inflated(pieces):
            unpacker.feed(piece)
            fed += len(piece)
            if fed > 2 * MAX_CAPTURE_BYTES:
                raise CaptureError("it is larger than a capture can be")
            for value in unpacker:
                whole = unpacker.tell()
                yield value
    except (ValueError, msgpack.UnpackException, RecursionError) as error:
        raise CaptureError("its values cannot be read") from error
    if whole != fed:
        raise CaptureError("it ends within a value")


def _inflated(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The zlib stream behind `MAGIC`, opened a little at a time."""
    inflater = zlib.decompressobj()
    head = b""
    is_known = False
    try:
        for piece in pieces:
            if not is_known:
                head += piece
                if len(head) < len(MAGIC):
                    continue
                if not head.startswith(MAGIC):
                    break
                is_known, piece = True, head[len(MAGIC) :]
            data = piece
            while data:
                yield inflater.decompress(data, _PIECE_BYTES)
                data = inflater.unconsumed_tail
    except zlib.error as error:
        raise CaptureError("it is damaged") from error
    if not is_known:
        raise CaptureError("it is no capture of this version of tfarm")
    if not inflater.eof:
        raise CaptureError("its end is missing")
    if inflater.unused_data:
        raise CaptureError("something stands behind its end")
