"""Several messages as one ZeroMQ message: whoever gets it wakes once for all of them. Pure.

The first frame says how many frames each message has (16 bits each, big-endian), their frames
follow. ZeroMQ hands a message on as a whole, and wakes a thread at each end for it, so that what
one turn of a loop has to send is one message, whatever it is for.
"""

import struct
from collections.abc import Sequence
from typing import Final

from common.errors import EnvelopeError
from common.media.units import Data

Frames = Sequence[Data]

MAX_MESSAGES: Final = 4096  # in one
_COUNT: Final = struct.Struct(">H")
_SINGLE: Final = tuple(_COUNT.pack(count) for count in range(9))  # the usual ones, alone


def pack(messages: Sequence[Frames]) -> list[Data]:
    """The frames that carry 1 to MAX_MESSAGES messages of 1 to 65535 frames each."""
    if len(messages) == 1:
        frames = messages[0]
        count = len(frames)
        return [_SINGLE[count] if count < len(_SINGLE) else _COUNT.pack(count), *frames]
    packed: list[Data] = [struct.pack(f">{len(messages)}H", *map(len, messages))]
    for frames in messages:
        packed += frames
    return packed


def unpack(frames: Sequence[bytes]) -> list[list[bytes]]:
    """The messages that `pack` was given.

    Raises:
        EnvelopeError: the first frame does not fit the others.
    """
    head, total = frames[0], len(frames) - 1
    if head == _SINGLE[2] and total == 2:  # an envelope and its payload: nearly all
        return [[frames[1], frames[2]]]
    if len(head) % 2 or not 2 <= len(head) <= 2 * MAX_MESSAGES:
        raise EnvelopeError(f"no counts of frames in {len(head)} bytes")
    counts = struct.unpack(f">{len(head) // 2}H", head)
    if sum(counts) != total or not all(counts):
        raise EnvelopeError(f"{total} frames for messages of {sum(counts)}")
    messages, at = [], 1
    for count in counts:
        messages.append(list(frames[at : at + count]))
        at += count
    return messages
