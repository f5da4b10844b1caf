"""What an egress says first on a connection that is no HTTP's: may its viewer watch? Pure.

The connection is a Unix socket, by which the `srt` child passes on what follows: one message behind
its length of four bytes, then the transport stream up to the end.
"""

import struct
from dataclasses import dataclass
from typing import Final

from common.access.refusal import Refusal
from common.errors import EnvelopeError
from common.ipc.envelope import decode_frames, encode, message

MAX_ANSWER_BYTES: Final = 4096
_LENGTH: Final = struct.Struct(">I")


@message("view-answer")
@dataclass(frozen=True, slots=True)
class ViewAnswer:
    """Egress → who handed a viewer's connection over."""

    refusal: Refusal | None = None  # None: media follow


def framed(answer: ViewAnswer) -> bytes:
    """The answer as it stands on the connection."""
    data = encode(answer)
    return _LENGTH.pack(len(data)) + data


def read_answer(data: bytes) -> tuple[ViewAnswer, bytes] | None:
    """The answer, and what came behind it; None: more has to come.

    Raises:
        EnvelopeError: it is none.
    """
    if len(data) < _LENGTH.size:
        return None
    end = _LENGTH.size + _LENGTH.unpack_from(data)[0]
    if end > MAX_ANSWER_BYTES:
        raise EnvelopeError(f"an answer of {end} bytes")
    if len(data) < end:
        return None
    found, _ = decode_frames([data[_LENGTH.size : end]])
    if not isinstance(found, ViewAnswer):
        raise EnvelopeError(f"{type(found).__name__} is no answer to a viewer")
    return found, data[end:]
