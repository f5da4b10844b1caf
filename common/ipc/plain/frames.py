"""Messages as bytes on a stream socket: the link between two hosts. Pure.

A frame is, big-endian:

    size:u32  payloads:u16  envelope:u32  length:u32 for each payload, then envelope and payloads

`size` counts what follows it. The envelope is that of `common/ipc/envelope.py`. Every length is
checked before anything is kept for it, and until the other end has greeted a frame is small.

What comes is read into the reader's own memory, and a frame's parts are copied out of it, once.
"""

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from common.errors import LinkError
from common.media.units import Data

MAX_PAYLOADS: Final = 256
MAX_ENVELOPE_BYTES: Final = 256 * 1024
MAX_FRAME_BYTES: Final = 20 * 1024 * 1024  # a GOP's largest picture, with what stands around it
MAX_GREETING_BYTES: Final = 4096
ROOM_BYTES: Final = 256 * 1024  # for one read: of a socket no more comes at a time
LEAST_ROOM_BYTES: Final = 64 * 1024  # behind what is kept of a frame, before that is moved

_HEAD: Final = struct.Struct("!IHI")
_LENGTH: Final = struct.Struct("!I")
_COUNTED: Final = _HEAD.size - _LENGTH.size  # of the head, by its own size

Frame = tuple[bytes, list[bytes]]  # envelope, payloads


class Limits(NamedTuple):
    """What one frame may be."""

    size: int = MAX_FRAME_BYTES
    payloads: int = MAX_PAYLOADS
    envelope: int = MAX_ENVELOPE_BYTES


LINK: Final = Limits()  # between two hosts
GREETING: Final = Limits(MAX_GREETING_BYTES)  # until one of them has said which it is


def frame_size(envelope: bytes, payloads: Sequence[bytes]) -> int:
    """Return how many bytes a frame takes on the wire."""
    return _HEAD.size + _LENGTH.size * len(payloads) + len(envelope) + sum(map(len, payloads))


def to_parts(envelope: bytes, payloads: Sequence[bytes] = ()) -> list[bytes]:
    """Return a frame as parts to be written in order; no payload is copied.

    Raises:
        LinkError: it is larger than a frame may be.
    """
    return [to_head(envelope, payloads) + envelope, *payloads]


def to_head(envelope: Data, payloads: Sequence[Data], limits: Limits = LINK) -> bytes:
    """Return what stands in front of envelope and payloads. Raises LinkError as `to_parts`."""
    lengths = list(map(len, payloads))
    count, envelope_bytes = len(lengths), len(envelope)
    size = _COUNTED + _LENGTH.size * count + envelope_bytes + sum(lengths)
    _check(size, count, envelope_bytes, limits)
    return struct.pack(f"!IHI{count}I", size, count, envelope_bytes, *lengths)


class FrameReader:
    """Cuts what comes into frames, whatever the borders of reads.

    A socket is read into `room`, then `filled` says how much that was; or `feed` takes bytes.
    """

    def __init__(self, limits: Limits = GREETING) -> None:
        self._limits = limits
        self._room_bytes = ROOM_BYTES if limits is not GREETING else 2 * MAX_GREETING_BYTES
        self._buffer = memoryview(bytearray(self._room_bytes))
        self._begin = self._end = 0  # what came and was not taken yet
        self._needed = _HEAD.size  # bytes of it, before there is anything to be found out

    def on_greeted(self, limits: Limits = LINK) -> None:
        """Take frames of up to this size from now on."""
        self._limits, self._room_bytes = limits, ROOM_BYTES

    def room(self) -> memoryview:
        """Return where the next bytes belong: at least one of them."""
        kept = self._end - self._begin
        size = len(self._buffer)
        if not kept:
            self._begin = self._end = 0
            if size != self._room_bytes:
                self._buffer = memoryview(bytearray(self._room_bytes))
            return self._buffer
        least = max(1, min(LEAST_ROOM_BYTES, self._needed - kept))
        if size - self._end < least:
            # it grows with what came, not with what a frame says that it will be
            while size - kept < least:
                size *= 2
            moved = self._buffer
            if size != len(moved):  # whoever was given room may hold it still
                moved = memoryview(bytearray(size))
            moved[:kept] = self._buffer[self._begin : self._end]
            self._buffer, self._begin, self._end = moved, 0, kept
        return self._buffer[self._end :]

    def filled(self, size: int) -> None:
        """So many bytes have come into `room`."""
        self._end += size

    def feed(self, data: bytes) -> None:
        """Take what has come."""
        with memoryview(data) as left:
            at = 0
            while at < len(data):
                room = self.room()
                piece = left[at : at + len(room)]
                room[: len(piece)] = piece
                self.filled(len(piece))
                at += len(piece)

    def next(self) -> Frame | None:
        """Return the next whole frame; None until more comes.

        Raises:
            LinkError: a length is over its limit, or lengths contradict one another.
        """
        begin, kept, buffer = self._begin, self._end - self._begin, self._buffer
        if kept < self._needed:
            return None
        size, count, envelope_bytes = _HEAD.unpack_from(buffer, begin)
        _check(size, count, envelope_bytes, self._limits)
        parts_at = _HEAD.size + _LENGTH.size * count
        if kept < parts_at:
            self._needed = parts_at
            return None
        lengths = struct.unpack_from(f"!{count}I", buffer, begin + _HEAD.size)
        end = _LENGTH.size + size
        if parts_at + envelope_bytes + sum(lengths) != end:
            raise LinkError("the lengths in a frame are not those of its parts")
        if kept < end:
            self._needed = end
            return None
        at = begin + parts_at
        envelope = bytes(buffer[at : at + envelope_bytes])
        at += envelope_bytes
        payloads = []
        for length in lengths:
            payloads.append(bytes(buffer[at : at + length]))
            at += length
        self._begin, self._needed = at, _HEAD.size
        return envelope, payloads


def _check(size: int, count: int, envelope_bytes: int, limits: Limits) -> None:
    """Raise LinkError for a frame that may not be."""
    if size > limits.size:
        raise LinkError(f"a frame of {size} bytes, where {limits.size} are the most")
    if count > limits.payloads:
        raise LinkError(f"a frame with {count} payloads, where {limits.payloads} are the most")
    if envelope_bytes > limits.envelope:
        raise LinkError(f"{envelope_bytes} bytes of envelope, where {limits.envelope} are the most")
    if size < _COUNTED + _LENGTH.size * count + envelope_bytes:
        raise LinkError("a frame that is shorter than its parts")
