"""The RTMP chunk stream (RTMP 1.0 section 5.3): chunks in, whole messages out, and back.

Knows message types 1 (Set Chunk Size) and 2 (Abort), since they change how chunks are read, and
nothing else of what messages mean. `ChunkReader` is the hot path of ingest: a message that lies
whole in the input is copied once. Where peers and the specification disagree:

- an extended timestamp on a type 3 chunk: most senders write it, old librtmp leaves it out. The
  first continuation tells, by its value as SRS and GStreamer look at it, and is remembered of the
  sender. From one that leaves it out, equal bytes later are payload, and a type 3 chunk that starts
  a message has no field and the time of the message before; from all others such a chunk has it;
- type 3 after type 0 adds the absolute timestamp again (specification, FFmpeg, FMLE);
- type 1 is accepted as the first chunk of a chunk stream (librtmp's ping reply).

Every length is checked when it is declared; memory grows only with the bytes that came.
"""

import struct
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from common.errors import ChunkError

DEFAULT_CHUNK_SIZE: Final = 128
MAX_CHUNK_SIZE: Final = 0xFFFFFF  # no message is longer, so nothing above makes a difference
MAX_CHUNK_STREAM_ID: Final = 65599

_SET_CHUNK_SIZE: Final = 1
_ABORT: Final = 2

_MASK32: Final = 0xFFFFFFFF
_EXTENDED: Final = 0xFFFFFF  # in the 24-bit timestamp field: four more bytes follow the header

_U32: Final = struct.Struct(">I")
_U32_LE: Final = struct.Struct("<I")

_HEADER_SIZES: Final = (11, 7, 3, 0)  # message header by chunk type


class Message(NamedTuple):
    """One RTMP message. A tuple, because one is made for every message received."""

    type_id: int
    timestamp: int  # milliseconds, modulo 2**32
    message_stream_id: int
    chunk_stream_id: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class ChunkLimits:
    """What a peer may make the reader hold."""

    max_message_bytes: int = 10 * 1024 * 1024
    max_partial_bytes: int = 20 * 1024 * 1024  # of all unfinished messages together
    max_chunk_streams: int = 256


@dataclass(frozen=True, slots=True)
class ChunkStreamState:
    """One chunk stream of a reader, as a value."""

    chunk_stream_id: int
    timestamp: int
    delta: int
    extended: int | None  # the extended timestamp field of the last header that had one
    length: int
    type_id: int
    message_stream_id: int
    partial: bytes | None  # None: no message under way


@dataclass(frozen=True, slots=True)
class ReaderState:
    """A whole reader as a value, for the handover of a connection."""

    chunk_size: int
    streams: tuple[ChunkStreamState, ...] = ()
    open_chunk: tuple[int, int] | None = None  # chunk stream id, bytes of this chunk to come
    repeats_extended: bool | None = None  # on type 3 chunks; None: not seen yet
    unread: bytes = field(default=b"", repr=False)


class _ChunkStream:
    """What is remembered of one chunk stream between its chunks."""

    __slots__ = (
        "chunk_stream_id",
        "delta",
        "extended",
        "length",
        "message_stream_id",
        "partial",
        "timestamp",
        "type_id",
    )

    def __init__(self, chunk_stream_id: int) -> None:
        self.chunk_stream_id = chunk_stream_id
        self.timestamp = 0
        self.delta = 0
        self.extended = -1  # -1: the last header had no extended timestamp
        self.length = 0
        self.type_id = 0
        self.message_stream_id = 0
        self.partial: bytearray | None = None


class _ExtendedForm:
    """Whether one sender writes extended timestamps on type 3 chunks."""

    __slots__ = ("repeats",)

    def __init__(self) -> None:
        self.repeats: bool | None = None  # None: not seen yet

    def field_size(self, extended: int, found: bytes) -> int:
        """How many of the next four bytes of a continuation are the field; -1: cannot tell yet."""
        if self.repeats is False:
            return 0
        wanted = _U32.pack(extended)
        if found == wanted:
            self.repeats = True
            return 4
        if wanted.startswith(found):
            return -1
        if self.repeats is None:
            self.repeats = False
        return 0


class ChunkReader:
    """Feed bytes, take messages until there is none.

    `limits` may be replaced at any time; it applies from the next chunk on. After a ChunkError
    the reader must not be used again.
    """

    def __init__(self, limits: ChunkLimits | None = None) -> None:
        self.limits = limits or ChunkLimits()
        self.chunk_size = DEFAULT_CHUNK_SIZE
        self._streams: dict[int, _ChunkStream] = {}
        self._data = b""
        self._pos = 0
        self._waiting: list[bytes] = []  # fed behind `_data` while that was not parsed
        self._waiting_bytes = 0
        self._open: _ChunkStream | None = None  # its current chunk is not wholly here
        self._open_left = 0
        self._partial_bytes = 0
        self._extended_form = _ExtendedForm()

    @property
    def unread_bytes(self) -> int:
        """Bytes fed but not parsed yet; a chunk header at most once `next_message` gave None."""
        return len(self._data) - self._pos + self._waiting_bytes

    def feed(self, data: bytes | memoryview) -> None:
        """Adds input. Nothing is parsed before `next_message` is called."""
        if self._pos < len(self._data):
            # Joined once, when it is parsed: that may be many feeds later.
            self._waiting.append(bytes(data))
            self._waiting_bytes += len(data)
        else:
            self._data = bytes(data)
            self._pos = 0

    # long: every chunk that comes in passes here, and each call would cost them all
    def next_message(self) -> Message | None:  # noqa: C901
        """The next whole message, or None if more input is needed.

        Set Chunk Size and Abort are obeyed here and not returned.

        Raises:
            ChunkError: an illegal header, or something over its limit.
        """
        if self._waiting:
            self._join_waiting()
        data = self._data
        end = len(data)
        pos = self._pos
        while pos < end:
            stream = self._open
            payload: bytes | None = None
            if stream is None:
                first = data[pos]
                chunk_stream_id = first & 0x3F
                at = pos + 1
                if chunk_stream_id < 2:
                    at += 1 + chunk_stream_id
                    if at > end:
                        break
                    high = data[pos + 2] << 8 if chunk_stream_id else 0
                    chunk_stream_id = 64 + data[pos + 1] + high
                stream = self._streams.get(chunk_stream_id)
                if stream is None:
                    stream = self._open_stream(chunk_stream_id, first >> 6)
                partial = stream.partial
                if partial is None:
                    at = self._start_message(stream, first >> 6, data, at)
                    if at < 0:
                        break
                    length = stream.length
                    # The common cases: the whole message is here, in one chunk or in several.
                    if length <= self.chunk_size:
                        if at + length <= end:
                            pos = at + length
                            payload = data[at:pos]
                    elif stream.extended < 0:
                        payload = self._gather(stream, at)
                        if payload is not None:
                            pos = at + length + (length - 1) // self.chunk_size
                    if payload is None:
                        stream.partial = bytearray()
                        left = length
                else:
                    at = self._continue_message(stream, first >> 6, data, at)
                    if at < 0:
                        break
                    left = stream.length - len(partial)
                if payload is None:
                    pos = at
                    self._open = stream
                    self._open_left = min(left, self.chunk_size)
            if payload is None:
                pos = self._append(stream, data, pos)
                payload = self._take_complete(stream)
                if payload is None:
                    continue
            if stream.type_id > _ABORT:
                self._pos = pos
                return Message(
                    stream.type_id,
                    stream.timestamp,
                    stream.message_stream_id,
                    stream.chunk_stream_id,
                    payload,
                )
            self._obey(stream.type_id, payload)
        self._pos = pos
        return None

    def _join_waiting(self) -> None:
        self._data = b"".join((self._data[self._pos :], *self._waiting))
        self._pos = 0
        self._waiting.clear()
        self._waiting_bytes = 0

    def _open_stream(self, chunk_stream_id: int, header_type: int) -> _ChunkStream:
        if header_type >= 2:
            raise ChunkError(
                f"chunk type {header_type} is the first on chunk stream {chunk_stream_id}"
            )
        if len(self._streams) >= self.limits.max_chunk_streams:
            raise ChunkError(f"more than {self.limits.max_chunk_streams} chunk streams")
        stream = self._streams[chunk_stream_id] = _ChunkStream(chunk_stream_id)
        return stream

    def _start_message(self, stream: _ChunkStream, header_type: int, data: bytes, at: int) -> int:
        """Reads a message header at `at`; returns the offset after it, or -1: not all here."""
        after = at + _HEADER_SIZES[header_type]
        if after > len(data):
            return -1
        if header_type == 3:
            if stream.extended >= 0 and self._extended_form.repeats is False:
                stream.delta = 0  # such a sender writes type 3 only for the same time
                stream.extended = -1
            elif stream.extended >= 0:
                if after + 4 > len(data):
                    return -1
                (delta,) = _U32.unpack_from(data, after)
                stream.delta = stream.extended = delta
                after += 4
            stream.timestamp = (stream.timestamp + stream.delta) & _MASK32
        else:
            # From the byte before on, the fields are 8 + 24 bits and 24 + 8 bits.
            (delta,) = _U32.unpack_from(data, at - 1)
            delta &= 0xFFFFFF
            extended = -1
            if delta == _EXTENDED:
                if after + 4 > len(data):
                    return -1
                (delta,) = _U32.unpack_from(data, after)
                extended = delta
                after += 4
            stream.delta = delta
            stream.extended = extended
            if header_type == 0:
                stream.timestamp = delta
                (stream.message_stream_id,) = _U32_LE.unpack_from(data, at + 7)
            else:
                stream.timestamp = (stream.timestamp + delta) & _MASK32
            if header_type < 2:
                (word,) = _U32.unpack_from(data, at + 3)
                stream.length = word >> 8
                stream.type_id = word & 0xFF
        if stream.length > self.limits.max_message_bytes:
            raise ChunkError(
                f"message of {stream.length} bytes exceeds {self.limits.max_message_bytes}"
            )
        return after

    def _continue_message(
        self, stream: _ChunkStream, header_type: int, data: bytes, at: int
    ) -> int:
        """Steps over what a continuation chunk has before its payload; -1: cannot tell yet."""
        if header_type != 3:
            raise ChunkError(
                f"chunk type {header_type} inside a message on chunk stream "
                f"{stream.chunk_stream_id}"
            )
        if stream.extended >= 0:
            size = self._extended_form.field_size(stream.extended, data[at : at + 4])
            return -1 if size < 0 else at + size
        return at

    def _gather(self, stream: _ChunkStream, at: int) -> bytes | None:
        """A message of several chunks that all lie in the input, nothing between them, or None.

        Its pieces are every chunk_size + 1 bytes, with a one-byte type 3 header before each.
        """
        size = self.chunk_size
        stop = at + stream.length + (stream.length - 1) // size
        data = self._data
        if stop > len(data) or stream.chunk_stream_id > 63:
            return None
        header = 0xC0 | stream.chunk_stream_id
        # In growing blocks up to the first other header: what is looked at before it is then part
        # of this message, so a peer that begins many and ends none makes nobody look twice.
        at_header, block = at + size, 16
        while at_header < stop:
            headers = data[at_header : min(at_header + block * (size + 1), stop) : size + 1]
            if headers.count(header) != len(headers):
                return None
            at_header += len(headers) * (size + 1)
            block *= 2
        view = memoryview(data)[at:stop]
        return b"".join([view[i : i + size] for i in range(0, len(view), size + 1)])

    def _append(self, stream: _ChunkStream, data: bytes, pos: int) -> int:
        """Moves what is here of the open chunk into the stream's partial message."""
        assert stream.partial is not None
        stop = min(pos + self._open_left, len(data))
        taken = stop - pos
        stream.partial += memoryview(data)[pos:stop]
        self._partial_bytes += taken
        if self._partial_bytes > self.limits.max_partial_bytes:
            raise ChunkError(f"unfinished messages exceed {self.limits.max_partial_bytes} bytes")
        self._open_left -= taken
        if self._open_left == 0:
            self._open = None
        return stop

    def _take_complete(self, stream: _ChunkStream) -> bytes | None:
        """The stream's partial message, if it is whole now."""
        partial = stream.partial
        assert partial is not None
        if len(partial) < stream.length:
            return None
        stream.partial = None
        self._partial_bytes -= len(partial)
        return bytes(partial)

    def _obey(self, type_id: int, payload: bytes) -> None:
        """Set Chunk Size and Abort, whatever chunk stream they came on."""
        if type_id == _SET_CHUNK_SIZE:
            if len(payload) < 4:
                raise ChunkError(f"Set Chunk Size of {len(payload)} bytes")
            (size,) = _U32.unpack_from(payload)
            if not 0 < size < 1 << 31:
                raise ChunkError(f"chunk size {size}")
            self.chunk_size = min(size, MAX_CHUNK_SIZE)
        elif type_id == _ABORT:
            if len(payload) < 4:
                raise ChunkError(f"Abort of {len(payload)} bytes")
            stream = self._streams.get(_U32.unpack_from(payload)[0])
            if stream is not None and stream.partial is not None:
                self._partial_bytes -= len(stream.partial)
                stream.partial = None

    def state(self) -> ReaderState:
        """Everything that the next bytes will be read against."""
        return ReaderState(
            chunk_size=self.chunk_size,
            streams=tuple(
                ChunkStreamState(
                    chunk_stream_id=stream.chunk_stream_id,
                    timestamp=stream.timestamp,
                    delta=stream.delta,
                    extended=stream.extended if stream.extended >= 0 else None,
                    length=stream.length,
                    type_id=stream.type_id,
                    message_stream_id=stream.message_stream_id,
                    partial=None if stream.partial is None else bytes(stream.partial),
                )
                for stream in self._streams.values()
            ),
            open_chunk=(
                None if self._open is None else (self._open.chunk_stream_id, self._open_left)
            ),
            repeats_extended=self._extended_form.repeats,
            unread=b"".join((self._data[self._pos :], *self._waiting)),
        )

    @classmethod
    def restore(cls, state: ReaderState, limits: ChunkLimits | None = None) -> "ChunkReader":
        """A reader that goes on where the one that gave `state` stopped."""
        reader = cls(limits)
        reader.chunk_size = state.chunk_size
        reader._extended_form.repeats = state.repeats_extended
        for saved in state.streams:
            stream = reader._streams[saved.chunk_stream_id] = _ChunkStream(saved.chunk_stream_id)
            stream.timestamp = saved.timestamp
            stream.delta = saved.delta
            stream.extended = -1 if saved.extended is None else saved.extended
            stream.length = saved.length
            stream.type_id = saved.type_id
            stream.message_stream_id = saved.message_stream_id
            if saved.partial is not None:
                stream.partial = bytearray(saved.partial)
                reader._partial_bytes += len(saved.partial)
        if state.open_chunk is not None:
            chunk_stream_id, reader._open_left = state.open_chunk
            reader._open = reader._streams[chunk_stream_id]
        reader._data = state.unread
        return reader


def _basic_header(header_type: int, chunk_stream_id: int) -> bytes:
    if 2 <= chunk_stream_id <= 63:
        return bytes((header_type << 6 | chunk_stream_id,))
    if 64 <= chunk_stream_id <= 319:
        return bytes((header_type << 6, chunk_stream_id - 64))
    if 320 <= chunk_stream_id <= MAX_CHUNK_STREAM_ID:
        offset = chunk_stream_id - 64
        return bytes((header_type << 6 | 1, offset & 0xFF, offset >> 8))
    raise ValueError(f"chunk stream id {chunk_stream_id}")


def _encode(
    header: bytes, time_field: int, chunk_stream_id: int, payload: bytes, chunk_size: int
) -> bytes:
    """The header, the extended timestamp where one is due, and the payload in chunks."""
    extended = _U32.pack(time_field) if time_field >= _EXTENDED else b""
    if len(payload) <= chunk_size:
        return header + extended + payload
    separator = _basic_header(3, chunk_stream_id) + extended
    view = memoryview(payload)
    pieces = [view[i : i + chunk_size] for i in range(0, len(payload), chunk_size)]
    return header + extended + separator.join(pieces)


def _check_length(payload: bytes) -> int:
    if len(payload) > 0xFFFFFF:
        raise ValueError(f"message of {len(payload)} bytes; RTMP has 24 bits for the length")
    return len(payload)


def encode_message(
    chunk_stream_id: int,
    type_id: int,
    timestamp: int,
    message_stream_id: int,
    payload: bytes,
    chunk_size: int,
) -> bytes:
    """A message with a type 0 header: absolute time, needs nothing sent before it.

    `timestamp` is taken modulo 2**32. From 0xFFFFFF on it is repeated on every chunk.
    """
    timestamp &= _MASK32
    header = (
        _basic_header(0, chunk_stream_id)
        + min(timestamp, _EXTENDED).to_bytes(3, "big")
        + (_check_length(payload) << 8 | type_id).to_bytes(4, "big")
        + message_stream_id.to_bytes(4, "little")
    )
    return _encode(header, timestamp, chunk_stream_id, payload, chunk_size)


def encode_delta(
    chunk_stream_id: int, type_id: int, delta_ms: int, payload: bytes, chunk_size: int
) -> bytes:
    """A message with a type 1 header, on the message stream of the one before it.

    `delta_ms` counts from the last message sent on this chunk stream, modulo 2**32. The bytes
    are the same for every receiver that was sent that message.
    """
    delta = delta_ms & _MASK32
    header = (
        _basic_header(1, chunk_stream_id)
        + min(delta, _EXTENDED).to_bytes(3, "big")
        + (_check_length(payload) << 8 | type_id).to_bytes(4, "big")
    )
    return _encode(header, delta, chunk_stream_id, payload, chunk_size)
