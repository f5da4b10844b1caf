"""Messages of several frames on a byte stream between processes. Pure.

A message on the wire: 32 bits that count what follows, 16 bits with the number of frames, 32 bits
with the length of each, the frames. Big-endian. Messages follow one another without more, so that
what one turn of a loop has to send is one write, whatever it is for.

A message larger than `MAX_MESSAGE_BYTES`, or a header that does not fit, ends the link: there is no
way to find the next message behind it.
"""

import struct
from collections.abc import Sequence
from typing import Final

from common.errors import FramingError
from common.ipc.envelope import MAX_ENVELOPE_BYTES, MAX_FRAMES, MAX_PAYLOAD_BYTES

MAX_MESSAGE_BYTES: Final = MAX_ENVELOPE_BYTES + MAX_PAYLOAD_BYTES + 4 * MAX_FRAMES + 2
BUFFER_BYTES: Final = 128 * 1024  # of a reader, as long as no message is larger

_HEADER: Final = struct.Struct(">IH")
_PAIR: Final = struct.Struct(">IHII")
_LENGTHS: Final = tuple(struct.Struct(f">{count}I") for count in range(9))  # the usual ones


def header(frames: Sequence[bytes]) -> bytes:
    """What goes before the frames of a message of 1 to MAX_FRAMES frames."""
    count = len(frames)
    if count == 2:  # an envelope and its payload: nearly all
        first, second = len(frames[0]), len(frames[1])
        return _PAIR.pack(10 + first + second, 2, first, second)
    lengths = [len(frame) for frame in frames]
    return _HEADER.pack(2 + 4 * count + sum(lengths), count) + _struct(count).pack(*lengths)


class FrameReader:
    """Takes a byte stream apart, by way of a buffer that the caller reads into.

    Read into `room()`, say how much came by `filled()`, and call `messages()` before the next
    read. Memory: `BUFFER_BYTES`, more only while a larger message comes in.
    """

    def __init__(self) -> None:
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._end = 0  # bytes in the buffer

    def room(self) -> memoryview:
        """Where the next bytes belong; never empty."""
        return self._view[self._end :]

    def filled(self, count: int) -> None:
        """So many bytes came."""
        self._end += count

    def messages(self) -> list[list[bytes]]:
        """Every whole message in the buffer, as its frames, taken out of it.

        Raises:
            FramingError: what came is no message; nothing behind it can be read.
        """
        view, end = self._view, self._end
        messages: list[list[bytes]] = []
        at = 0
        while end - at >= _HEADER.size:
            length, count = _HEADER.unpack_from(view, at)
            begin = at + _HEADER.size
            if not 0 < count <= MAX_FRAMES or not 2 + 4 * count <= length <= MAX_MESSAGE_BYTES:
                raise FramingError(f"message of {length} bytes in {count} frames")
            after = at + 4 + length
            if after > end:
                self._keep(at, 4 + length)
                return messages
            lengths = _struct(count).unpack_from(view, begin)
            position = begin + 4 * count
            if position + sum(lengths) != after:
                raise FramingError(f"frames of {sum(lengths)} bytes in a message of {length}")
            frames = []
            for size in lengths:
                frames.append(bytes(view[position : position + size]))
                position += size
            at = after
            messages.append(frames)
        self._keep(at, BUFFER_BYTES)
        return messages

    def _keep(self, at: int, wanted: int) -> None:
        """Move what is left to the front of a buffer that holds `wanted` bytes."""
        left = self._end - at
        size = max(wanted, BUFFER_BYTES)
        if len(self._buffer) == size:
            if at and left:
                self._buffer[:left] = self._buffer[at : self._end]
        else:
            buffer = bytearray(size)
            buffer[:left] = self._view[at : self._end]
            self._buffer, self._view = buffer, memoryview(buffer)
        self._end = left


def _struct(count: int) -> struct.Struct:
    return _LENGTHS[count] if count < len(_LENGTHS) else struct.Struct(f">{count}I")
