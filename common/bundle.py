"""Several bus messages in one ZeroMQ message: there, frames cost more than their bytes do. Pure.

A bundle is a header and one frame with all bytes of all frames of its messages. The header begins
with a byte that no msgpack envelope can begin with, and holds the number of messages, the number of
frames of each (16 bits) and the length of every frame (32 bits). `Push` makes bundles of what one
turn of the loop has to send, `Receiver` takes them apart: neither end of a message knows of them.
"""

import struct
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from common.errors import EnvelopeError

MAGIC: Final = b"\xc1tfb"  # 0xc1 is the one byte that msgpack never uses
MAX_MESSAGES: Final = 256

_COUNT: Final = struct.Struct(">H")


def is_bundle(frames: Sequence[bytes]) -> bool:
    return frames[0].startswith(MAGIC)


def join(messages: Sequence[Sequence[bytes]]) -> list[bytes]:
    """The two frames of a bundle of 1 to MAX_MESSAGES messages, each of 1 to 65535 frames."""
    counts = [len(frames) for frames in messages]
    parts = [frame for frames in messages for frame in frames]
    lengths = [len(part) for part in parts]
    header = struct.pack(f">H{len(counts)}H{len(lengths)}I", len(counts), *counts, *lengths)
    return [MAGIC + header, b"".join(parts)]


def split(bundle: Sequence[bytes]) -> list[list[bytes]]:
    """The messages of a bundle.

    Raises:
        EnvelopeError: a header that does not fit the frames.
    """
    if len(bundle) != 2 or len(bundle[0]) < len(MAGIC) + _COUNT.size:
        raise EnvelopeError(f"bundle of {len(bundle)} frames")
    header, body = bundle
    at = len(MAGIC)
    (number,) = _COUNT.unpack_from(header, at)
    at += _COUNT.size
    if not 0 < number <= MAX_MESSAGES or len(header) < at + number * _COUNT.size:
        raise EnvelopeError(f"bundle of {number} messages in a header of {len(header)} bytes")
    counts = struct.unpack_from(f">{number}H", header, at)
    at += number * _COUNT.size
    total = sum(counts)
    if min(counts) == 0 or len(header) != at + total * 4:
        raise EnvelopeError(f"bundle of {total} frames in a header of {len(header)} bytes")
    lengths = struct.unpack_from(f">{total}I", header, at)
    if sum(lengths) != len(body):
        raise EnvelopeError(f"bundle of {len(body)} bytes that counts {sum(lengths)}")
    ends = list(accumulate(lengths))
    parts = [body[end - length : end] for end, length in zip(ends, lengths, strict=True)]
    messages = []
    begin = 0
    for count in counts:
        messages.append(parts[begin : begin + count])
        begin += count
    return messages
