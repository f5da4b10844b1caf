"""A server session as bytes, for the handover of a player's connection to another process.

Written by the process that accepted the connection, read by the one that serves players. The
sizes are small and checked on both sides: before a connection plays, nothing long is under way.
Stream keys are inside: the bytes go over the run directory's private socket and nowhere else.
"""

from dataclasses import dataclass, field
from typing import Any, Final

import msgpack

from common.errors import EnvelopeError
from common.rtmp.chunks import (
    DEFAULT_CHUNK_SIZE,
    MAX_CHUNK_SIZE,
    MAX_CHUNK_STREAM_ID,
    ChunkStreamState,
    ReaderState,
)
from common.rtmp.events import PlayRequested

SNAPSHOT_VERSION: Final = 1
MAX_SNAPSHOT_BYTES: Final = 1024 * 1024

_U24: Final = 0xFFFFFF
_U32: Final = 0xFFFFFFFF
_U63: Final = (1 << 63) - 1
_MAX_TEXT: Final = 65536
_MAX_STREAMS: Final = 1024
_MAX_FOURCC: Final = 4
_MAX_PEER: Final = 64  # "[", an IPv6 address, "]:", a port


@dataclass(frozen=True, slots=True)
class SessionSnapshot:
    """Everything a session knows while its play request waits for an answer."""

    reader: ReaderState
    play: PlayRequested
    message_stream_ids: tuple[int, ...]  # as created and not deleted; `play`'s among them
    out_chunk_size: int
    bytes_received: int
    bytes_acknowledged: int
    bytes_sent: int
    peer_window: int | None  # what the peer's Window Acknowledgement Size said
    object_encoding: float
    flash_version: str
    app: str = field(repr=False)
    tc_url: str = field(repr=False)
    # Whose connection it is, HOST:PORT, which the socket itself may not know; "": it does.
    peer: str = ""
    fourccs: frozenset[str] = frozenset()  # as `common.rtmp.enhanced` reads them

    def to_bytes(self) -> bytes:
        """The snapshot as one msgpack value.

        Raises:
            EnvelopeError: it would be longer than MAX_SNAPSHOT_BYTES.
        """
        play = self.play
        packed: bytes = msgpack.packb(
            {
                "version": SNAPSHOT_VERSION,
                "chunk_size": self.reader.chunk_size,
                "chunk_streams": [
                    (
                        stream.chunk_stream_id,
                        stream.timestamp,
                        stream.delta,
                        stream.extended,
                        stream.length,
                        stream.type_id,
                        stream.message_stream_id,
                        stream.partial,
                    )
                    for stream in self.reader.streams
                ],
                "open_chunk": self.reader.open_chunk,
                "repeats_extended": self.reader.repeats_extended,
                "unread": self.reader.unread,
                "request_id": play.request_id,
                "message_stream_id": play.message_stream_id,
                "name": play.name,
                "start": play.start,
                "reset": play.reset,
                "message_stream_ids": self.message_stream_ids,
                "out_chunk_size": self.out_chunk_size,
                "bytes_received": self.bytes_received,
                "bytes_acknowledged": self.bytes_acknowledged,
                "bytes_sent": self.bytes_sent,
                "peer_window": self.peer_window,
                "object_encoding": self.object_encoding,
                "flash_version": self.flash_version,
                "app": self.app,
                "tc_url": self.tc_url,
                "peer": self.peer,
                "fourccs": sorted(self.fourccs),
            }
        )
        if len(packed) > MAX_SNAPSHOT_BYTES:
            raise EnvelopeError(f"snapshot of {len(packed)} bytes exceeds {MAX_SNAPSHOT_BYTES}")
        return packed

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> "SessionSnapshot":
        """The snapshot that `to_bytes` wrote.

        Raises:
            EnvelopeError: too long, unreadable, of another version, or not consistent.
        """
        if len(data) > MAX_SNAPSHOT_BYTES:
            raise EnvelopeError(f"snapshot of {len(data)} bytes exceeds {MAX_SNAPSHOT_BYTES}")
        try:
            value = msgpack.unpackb(data, strict_map_key=True, max_array_len=_MAX_STREAMS)
        except (ValueError, msgpack.UnpackException) as error:
            raise EnvelopeError(f"unreadable snapshot: {error}") from error
        if not isinstance(value, dict):
            raise EnvelopeError("snapshot is no map")
        fields = _Fields(value)
        version = fields.integer("version", _U32)
        if version != SNAPSHOT_VERSION:
            raise EnvelopeError(f"snapshot of version {version}, wanted {SNAPSHOT_VERSION}")
        app = fields.text("app")
        tc_url = fields.text("tc_url")
        play = PlayRequested(
            request_id=fields.integer("request_id", _U63),
            message_stream_id=fields.integer("message_stream_id", _U32),
            app=app,
            tc_url=tc_url,
            name=fields.text("name"),
            start=fields.number("start"),
            reset=fields.flag("reset"),
        )
        message_stream_ids = tuple(
            _integer("message_stream_ids", item, _U32)
            for item in fields.items("message_stream_ids")
        )
        if len(set(message_stream_ids)) < len(message_stream_ids):
            raise EnvelopeError("snapshot has a message stream twice")
        if play.message_stream_id not in message_stream_ids:
            raise EnvelopeError("snapshot plays on a message stream that is not open")
        return cls(
            reader=_reader_state(fields),
            play=play,
            message_stream_ids=message_stream_ids,
            out_chunk_size=fields.integer("out_chunk_size", MAX_CHUNK_SIZE, DEFAULT_CHUNK_SIZE),
            bytes_received=fields.integer("bytes_received", _U63),
            bytes_acknowledged=fields.integer("bytes_acknowledged", _U63),
            bytes_sent=fields.integer("bytes_sent", _U63),
            peer_window=(
                None
                if fields.get("peer_window") is None
                else fields.integer("peer_window", _U32, at_least=1)
            ),
            object_encoding=fields.number("object_encoding"),
            flash_version=fields.text("flash_version"),
            app=app,
            tc_url=tc_url,
            peer=fields.text("peer", _MAX_PEER) if fields.get("peer") is not None else "",
            fourccs=_fourccs(fields),
        )


def _fourccs(fields: "_Fields") -> frozenset[str]:
    if fields.get("fourccs") is None:  # of an ingest of before an upgrade
        return frozenset()
    names = fields.items("fourccs")
    if not all(isinstance(name, str) and len(name) <= _MAX_FOURCC for name in names):
        raise EnvelopeError("snapshot field fourccs holds what is no FourCC")
    return frozenset(names)


def _reader_state(fields: "_Fields") -> ReaderState:
    streams = tuple(_chunk_stream(item) for item in fields.items("chunk_streams"))
    by_id = {stream.chunk_stream_id: stream for stream in streams}
    if len(by_id) < len(streams):
        raise EnvelopeError("snapshot has a chunk stream twice")
    open_chunk = None
    if fields.get("open_chunk") is not None:
        pair = fields.items("open_chunk")
        if len(pair) != 2:
            raise EnvelopeError("snapshot field open_chunk is no pair")
        open_chunk = (_integer("open_chunk", pair[0], _U32), _integer("open_chunk", pair[1], _U24))
        stream = by_id.get(open_chunk[0])
        if stream is None or stream.partial is None:
            raise EnvelopeError("snapshot has an open chunk of no message")
        if not 0 < open_chunk[1] <= stream.length - len(stream.partial):
            raise EnvelopeError("snapshot has an open chunk longer than its message")
    return ReaderState(
        chunk_size=fields.integer("chunk_size", MAX_CHUNK_SIZE, at_least=1),
        streams=streams,
        open_chunk=open_chunk,
        repeats_extended=(
            None if fields.get("repeats_extended") is None else fields.flag("repeats_extended")
        ),
        unread=fields.raw("unread"),
    )


def _chunk_stream(item: Any) -> ChunkStreamState:
    if not isinstance(item, list) or len(item) != 8:
        raise EnvelopeError("snapshot has a malformed chunk stream")
    extended, partial = item[3], item[7]
    if partial is not None and not isinstance(partial, bytes):
        raise EnvelopeError("snapshot has a partial message that is no bytes")
    state = ChunkStreamState(
        chunk_stream_id=_integer("chunk_stream_id", item[0], MAX_CHUNK_STREAM_ID),
        timestamp=_integer("timestamp", item[1], _U32),
        delta=_integer("delta", item[2], _U32),
        extended=None if extended is None else _integer("extended", extended, _U32),
        length=_integer("length", item[4], _U24),
        type_id=_integer("type_id", item[5], 0xFF),
        message_stream_id=_integer("message_stream_id", item[6], _U32),
        partial=partial,
    )
    if partial is not None and len(partial) >= state.length:
        raise EnvelopeError("snapshot has a partial message that is complete")
    return state


def _integer(name: str, value: Any, at_most: int, at_least: int = 0) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not at_least <= value <= at_most:
        raise EnvelopeError(f"snapshot field {name} is no integer of {at_least}..{at_most}")
    return value


class _Fields:
    """Typed access to the fields of an unpacked map."""

    def __init__(self, value: dict[str, Any]) -> None:
        self._value = value

    def get(self, name: str) -> Any:
        return self._value.get(name)

    def integer(self, name: str, at_most: int, at_least: int = 0) -> int:
        return _integer(name, self._value.get(name), at_most, at_least)

    def number(self, name: str) -> float:
        value = self._value.get(name)
        if not isinstance(value, float):
            raise EnvelopeError(f"snapshot field {name} is no number")
        return value

    def flag(self, name: str) -> bool:
        value = self._value.get(name)
        if not isinstance(value, bool):
            raise EnvelopeError(f"snapshot field {name} is no boolean")
        return value

    def text(self, name: str, at_most: int = _MAX_TEXT) -> str:
        value = self._value.get(name)
        if not isinstance(value, str) or len(value) > at_most:
            raise EnvelopeError(f"snapshot field {name} is no text of at most {at_most}")
        return value

    def raw(self, name: str) -> bytes:
        value = self._value.get(name)
        if not isinstance(value, bytes):
            raise EnvelopeError(f"snapshot field {name} is no bytes")
        return value

    def items(self, name: str) -> list[Any]:
        value = self._value.get(name)
        if not isinstance(value, list) or len(value) > _MAX_STREAMS:
            raise EnvelopeError(f"snapshot field {name} is no list of at most {_MAX_STREAMS}")
        return value
