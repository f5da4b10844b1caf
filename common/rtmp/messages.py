"""RTMP messages above the chunk stream (RTMP 1.0 sections 5.4, 6.2 and 7).

Message types, control messages ready for the wire, commands both ways, aggregates taken apart.
Pure functions; what a message does to a connection is the session's business. Everything built
here has a type 0 chunk header, control on chunk stream 2 and `_result` on 3, as Larix insists.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from common.errors import Amf0Error, ChunkError
from common.flv import amf0
from common.rtmp.chunks import Message, encode_message


class MessageType(IntEnum):
    """The type field of a message."""

    SET_CHUNK_SIZE = 1
    ABORT = 2
    ACKNOWLEDGEMENT = 3
    USER_CONTROL = 4
    WINDOW_ACK_SIZE = 5
    SET_PEER_BANDWIDTH = 6
    AUDIO = 8
    VIDEO = 9
    DATA_AMF3 = 15
    COMMAND_AMF3 = 17
    DATA = 18
    COMMAND = 20
    AGGREGATE = 22


class UserControl(IntEnum):
    """The event of a user control message."""

    STREAM_BEGIN = 0
    STREAM_EOF = 1
    STREAM_DRY = 2
    SET_BUFFER_LENGTH = 3
    STREAM_IS_RECORDED = 4
    PING_REQUEST = 6
    PING_RESPONSE = 7


CONTROL_CHUNK_STREAM: Final = 2
COMMAND_CHUNK_STREAM: Final = 3  # connection commands and every `_result`
STREAM_CHUNK_STREAM: Final = 5  # onStatus and what else a server says on a message stream

LIMIT_DYNAMIC: Final = 2  # third kind of Set Peer Bandwidth

# The largest that is known, `connect` with Enhanced RTMP's lists of codecs, has about 60 values.
COMMAND_LIMITS: Final = amf0.Amf0Limits(depth=8, values=256)

_U32: Final = struct.Struct(">I")
_MASK32: Final = 0xFFFFFFFF
_FLV_HEADER_SIZE: Final = 11
_BACK_POINTER_SIZE: Final = 4
_MAX_AGGREGATED: Final = 4096  # tags of no content would multiply what one message costs


def _control(type_id: MessageType, payload: bytes) -> bytes:
    # At most 10 bytes: one chunk under every chunk size a server or client of ours uses.
    return encode_message(CONTROL_CHUNK_STREAM, type_id, 0, 0, payload, 128)


def set_chunk_size(size: int) -> bytes:
    """Set Chunk Size: applies to the chunks after it."""
    return _control(MessageType.SET_CHUNK_SIZE, _U32.pack(size))


def acknowledgement(received: int) -> bytes:
    """Acknowledgement of all bytes received so far; the field wraps at 2**32."""
    return _control(MessageType.ACKNOWLEDGEMENT, _U32.pack(received & _MASK32))


def window_ack_size(size: int) -> bytes:
    """Window Acknowledgement Size."""
    return _control(MessageType.WINDOW_ACK_SIZE, _U32.pack(size))


def set_peer_bandwidth(size: int) -> bytes:
    """Set Peer Bandwidth with the dynamic limit. librtmp reads all five bytes unchecked."""
    return _control(MessageType.SET_PEER_BANDWIDTH, _U32.pack(size) + bytes((LIMIT_DYNAMIC,)))


def user_control(event: UserControl, *words: int) -> bytes:
    """A user control event with its 32-bit arguments."""
    body = int(event).to_bytes(2, "big") + b"".join(_U32.pack(word & _MASK32) for word in words)
    return _control(MessageType.USER_CONTROL, body)


def parse_user_control(payload: bytes) -> tuple[int, int | None] | None:
    """Event number and first argument. None for what is too short: odd ones are to be ignored."""
    if len(payload) < 2:
        return None
    event = payload[0] << 8 | payload[1]
    return event, _U32.unpack_from(payload, 2)[0] if len(payload) >= 6 else None


@dataclass(frozen=True, slots=True)
class Command:
    """A command message: who calls what with which arguments."""

    name: str
    transaction_id: float  # 0: no reply wanted
    command_object: amf0.Value
    arguments: tuple[amf0.Value, ...]
    message_stream_id: int

    def text(self, index: int, default: str = "") -> str:
        """The argument at `index` if it is a string."""
        value = self._argument(index)
        return value if isinstance(value, str) else default

    def number(self, index: int, default: float) -> float:
        """The argument at `index` if it is a number."""
        value = self._argument(index)
        return value if isinstance(value, float) else default

    def flag(self, index: int, default: bool) -> bool:
        """The argument at `index` if it is a boolean or a number (some send 1)."""
        value = self._argument(index)
        return bool(value) if isinstance(value, bool | float) else default

    def _argument(self, index: int) -> amf0.Value:
        return self.arguments[index] if index < len(self.arguments) else None


def parse_command(message: Message, wanted: Mapping[str, int] | None = None) -> Command:
    """A message of type 20 or 17 as a command. Missing trailing values get defaults.

    `wanted` has how many values behind its transaction id each command is read with, the command
    object first, and none of others: what is behind them is not looked at. Without it all are read.

    Raises:
        Amf0Error: unreadable, or not starting with a name, or it holds more than a command may.
    """
    payload = message.payload
    if message.type_id == MessageType.COMMAND_AMF3:
        payload = payload[1:]  # a format byte; AMF0 follows, whose values may switch to AMF3
    first, offset = amf0.decode_some(payload, 2, COMMAND_LIMITS)
    if not first or not isinstance(first[0], str):
        raise Amf0Error("a command message must start with its name")
    name = first[0]
    transaction_id = first[1] if len(first) > 1 else 0.0
    count = len(payload) if wanted is None else wanted.get(name, 0)
    values: list[amf0.Value] = []
    if count:
        values, _ = amf0.decode_some(payload, count, COMMAND_LIMITS, offset)
    return Command(
        name=name,
        transaction_id=transaction_id if isinstance(transaction_id, float) else 0.0,
        command_object=values[0] if values else None,
        arguments=tuple(values[1:]),
        message_stream_id=message.message_stream_id,
    )


def encode_command(
    chunk_stream_id: int, message_stream_id: int, chunk_size: int, *values: amf0.Value | int
) -> bytes:
    """A type 20 message of the values in a row."""
    return encode_message(
        chunk_stream_id,
        MessageType.COMMAND,
        0,
        message_stream_id,
        amf0.encode(*values),
        chunk_size,
    )


def status_info(level: str, code: str, description: str) -> dict[str, amf0.Value]:
    """The info object of a status. A plain object: FFmpeg finds the code in no ECMA array.

    Without a description FFmpeg ignores an error and waits for ever, so the code stands in.
    """
    return {"level": level, "code": code, "description": description or code}


def split_aggregate(message: Message) -> list[Message]:
    """The messages inside a type 22 message, on its message stream, in its time.

    The body is FLV tags with their back pointers; the last pointer may be missing. A tag's time
    counts from the first tag's, which is the aggregate's own.

    Raises:
        ChunkError: a tag longer than what is left, too many tags, or an aggregate inside.
    """
    body = message.payload
    parts: list[Message] = []
    at = 0
    first_time: int | None = None
    while len(body) - at >= _FLV_HEADER_SIZE:
        type_id = body[at]
        size = int.from_bytes(body[at + 1 : at + 4], "big")
        time = int.from_bytes(body[at + 4 : at + 7], "big") | body[at + 7] << 24
        start = at + _FLV_HEADER_SIZE
        if size > len(body) - start:
            raise ChunkError(f"tag of {size} bytes in an aggregate with {len(body) - start} left")
        if type_id == MessageType.AGGREGATE:
            raise ChunkError("an aggregate inside an aggregate")
        if len(parts) >= _MAX_AGGREGATED:
            raise ChunkError(f"more than {_MAX_AGGREGATED} tags in an aggregate")
        if first_time is None:
            first_time = time
        parts.append(
            Message(
                type_id,
                (message.timestamp + time - first_time) & _MASK32,
                message.message_stream_id,
                message.chunk_stream_id,
                body[start : start + size],
            )
        )
        at = start + size + _BACK_POINTER_SIZE
    return parts
