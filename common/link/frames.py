"""Messages as bytes on the link between two hosts. Pure.

A frame is, big-endian:

    size:u32  payloads:u16  envelope:u32  length:u32 for each payload, then envelope and payloads

`size` counts what follows it. The envelope is that of `common/ipc/envelope.py`. Every length is
checked before anything is kept for it, and until the other end has greeted a frame is small.
"""

import struct
from collections.abc import Sequence
from typing import Final

from common.errors import LinkError

MAX_PAYLOADS: Final = 256
MAX_ENVELOPE_BYTES: Final = 256 * 1024
MAX_FRAME_BYTES: Final = 20 * 1024 * 1024  # a GOP's largest picture, with what stands around it
MAX_GREETING_BYTES: Final = 4096

_HEAD: Final = struct.Struct("!IHI")
_LENGTH: Final = struct.Struct("!I")
_COUNTED: Final = _HEAD.size - _LENGTH.size  # of the head, by its own size

Frame = tuple[bytes, list[bytes]]  # envelope, payloads


def frame_size(envelope: bytes, payloads: Sequence[bytes]) -> int:
    """Return how many bytes a frame takes on the wire."""
    return _HEAD.size + _LENGTH.size * len(payloads) + len(envelope) + sum(map(len, payloads))


def to_parts(envelope: bytes, payloads: Sequence[bytes] = ()) -> list[bytes]:
    """Return a frame as parts to be written in order; no payload is copied.

    Raises:
        LinkError: it is larger than a frame may be.
    """
    size = frame_size(envelope, payloads) - _LENGTH.size
    _check(size, len(payloads), len(envelope), MAX_FRAME_BYTES)
    lengths = b"".join([_LENGTH.pack(len(payload)) for payload in payloads])
    return [_HEAD.pack(size, len(payloads), len(envelope)) + lengths + envelope, *payloads]


class FrameReader:
    """Cuts what comes into frames, whatever the borders of reads."""

    def __init__(self) -> None:
        self._limit = MAX_GREETING_BYTES
        self._buffer = bytearray()

    def on_greeted(self, limit: int = MAX_FRAME_BYTES) -> None:
        """Take frames of up to this size from now on."""
        self._limit = limit

    def feed(self, data: bytes) -> None:
        """Take what has come."""
        self._buffer += data

    def next(self) -> Frame | None:
        """Return the next whole frame; None until more comes.

        Raises:
            LinkError: a length is over its limit, or lengths contradict one another.
        """
        buffer = self._buffer
        if len(buffer) < _HEAD.size:
            return None
        size, count, envelope_bytes = _HEAD.unpack_from(buffer)
        _check(size, count, envelope_bytes, self._limit)
        end = _LENGTH.size + size
        begin = _HEAD.size + _LENGTH.size * count
        if len(buffer) < begin:
            return None
        lengths = [each for (each,) in _LENGTH.iter_unpack(bytes(buffer[_HEAD.size : begin]))]
        if begin + envelope_bytes + sum(lengths) != end:
            raise LinkError("the lengths in a frame are not those of its parts")
        if len(buffer) < end:
            return None
        parts = []
        with memoryview(buffer) as view:
            for length in (envelope_bytes, *lengths):
                parts.append(bytes(view[begin : begin + length]))
                begin += length
        del buffer[:end]
        return parts[0], parts[1:]


def _check(size: int, count: int, envelope_bytes: int, limit: int) -> None:
    """Raise LinkError for a frame that may not be."""
    if size > limit:
        raise LinkError(f"a frame of {size} bytes, where {limit} are the most")
    if count > MAX_PAYLOADS:
        raise LinkError(f"a frame with {count} payloads, where {MAX_PAYLOADS} are the most")
    if envelope_bytes > MAX_ENVELOPE_BYTES:
        raise LinkError(
            f"{envelope_bytes} bytes of envelope, where {MAX_ENVELOPE_BYTES} are the most"
        )
    if size < _COUNTED + _LENGTH.size * count + envelope_bytes:
        raise LinkError("a frame that is shorter than its parts")
