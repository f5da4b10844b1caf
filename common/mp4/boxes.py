"""Boxes of ISO/IEC 14496-12, as bytes. Pure."""

import struct
from collections.abc import Callable
from typing import Final

from common.media.units import Data

HEADER_BYTES: Final = 8
_HEADER: Final = struct.Struct(">I4s")
_VERSION: Final = struct.Struct(">I")


def box(kind: bytes, *parts: Data) -> bytes:
    """A box of these contents (4.2)."""
    size = HEADER_BYTES + sum(map(len, parts))
    return b"".join((_HEADER.pack(size, kind), *parts))


def full_box(kind: bytes, version: int, flags: int, *parts: Data) -> bytes:
    """A box with version and flags (4.2)."""
    return box(kind, _VERSION.pack(version << 24 | flags), *parts)


def header(kind: bytes, content_bytes: int) -> bytes:
    """The header of a box whose contents go behind it."""
    return _HEADER.pack(HEADER_BYTES + content_bytes, kind)


def whole_bytes(read_at: Callable[[int], bytes], size: int) -> int:
    """Up to where a fragmented file of this size can be played: behind its last whole fragment.

    `read_at` gives the `HEADER_BYTES` at an offset. 0: not even the header is whole.
    """
    at = whole = 0
    while at + HEADER_BYTES <= size:
        length, kind = _HEADER.unpack(read_at(at))
        if length < HEADER_BYTES or at + length > size:
            break
        at += length
        if kind in (b"moov", b"mdat"):  # what stands before belongs to it
            whole = at
    return whole
