"""Several messages as one ZeroMQ message: whoever gets it wakes once for all of them. Pure.

One message goes as it is. Several begin with an empty frame, which no message does, and a frame
that says how many frames each has (16 bits each, big-endian); their frames follow. ZeroMQ hands a
message on as a whole, and wakes a thread at each end for it, so that what one turn of a loop has to
send is one message, whatever it is for.
"""

import struct
from collections.abc import Sequence
from typing import Final

from common.errors import EnvelopeError
from common.media.units import Data

Frames = Sequence[Data]

MAX_MESSAGES: Final = 4096  # in one


def pack(messages: Sequence[Frames]) -> Frames:
    """The frames that carry 1 to MAX_MESSAGES messages of 1 to 65535 frames each."""
    if len(messages) == 1:
        return messages[0]
    packed: list[Data] = [b"", struct.pack(f">{len(messages)}H", *map(len, messages))]
    for frames in messages:
        packed += frames
    return packed


def unpack(frames: list[bytes]) -> Sequence[list[bytes]]:
    """The messages that `pack` was given.

    Raises:
        EnvelopeError: the counts do not fit the frames.
    """
    if frames and frames[0]:
        return (frames,)
    head = frames[1] if len(frames) > 1 else b""
    if len(head) % 2 or not 4 <= len(head) <= 2 * MAX_MESSAGES:
        raise EnvelopeError(f"no counts of frames in {len(head)} bytes")
    counts = struct.unpack(f">{len(head) // 2}H", head)
    total, at = len(frames), 2
    if at + sum(counts) != total or not all(counts):
        raise EnvelopeError(f"{total - at} frames for messages of {sum(counts)}")
    messages = []
    for count in counts:
        messages.append(frames[at : at + count])
        at += count
    return messages
