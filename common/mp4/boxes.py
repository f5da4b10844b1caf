"""Boxes of ISO/IEC 14496-12, as bytes. Pure."""

import struct
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
