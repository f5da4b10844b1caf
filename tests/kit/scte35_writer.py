"""Sections of SCTE-35 of a test's own, as plain as may be."""

import base64
import struct
from dataclasses import dataclass

from common.codecs.bits import BitWriter
from common.mpegts.program import section_crc

# The examples of ANSI/SCTE 35, clause 14: a placement opportunity's start, an insertion, its end.
PLACEMENT_START = base64.b64decode(
    "/DA0AAAAAAAA///wBQb+cr0AUAAeAhxDVUVJSAAAjn/PAAGlmbAICAAAAAAsoKGKNAIAmsnRfg=="
)
INSERTION = base64.b64decode("/DAvAAAAAAAA///wFAVIAACPf+/+c2nALv4AUsz1AAAAAAAKAAhDVUVJAAABNWLbowo=")
PLACEMENT_END = base64.b64decode(
    "/DAvAAAAAAAA///wBQb+dGKQoAAZAhdDVUVJSAAAjn+fCAgAAAAALKChijUCAKnMZ1g="
)
NULL = base64.b64decode("/DARAAAAAAAAAP/wAAAAAHpPv/8=")


@dataclass(frozen=True)
class Insertion:
    """`splice_insert`."""

    event_id: int
    pts: int | None = None  # None: at once
    is_out: bool = True
    duration: int | None = None
    is_cancelled: bool = False
    components: int = 0

    def encode(self) -> bytes:
        bits = BitWriter()
        bits.bits(self.event_id, 32).bits(self.is_cancelled, 1).bits(0x7F, 7)
        if self.is_cancelled:
            return bits.to_bytes()
        bits.bits(self.is_out, 1).bits(not self.components, 1)
        bits.bits(self.duration is not None, 1).bits(self.pts is None, 1).bits(0xF, 4)
        if self.components:
            bits.bits(self.components, 8)
        for number in range(self.components or 1):
            if self.components:
                bits.bits(number, 8)
            if self.pts is not None:
                bits.bits(1, 1).bits(0x3F, 6).bits(self.pts, 33)
        if self.duration is not None:
            bits.bits(1, 1).bits(0x3F, 6).bits(self.duration, 33)
        return bits.bits(1, 16).bits(0, 16).to_bytes()


def section(
    command: int,
    body: bytes,
    descriptors: bytes = b"",
    *,
    adjustment: int = 0,
    size: int | None = None,
    is_encrypted: bool = False,
) -> bytes:
    """A section; `size`: what it says of its command's length, where that is not true."""
    flags = is_encrypted << 7 | adjustment >> 32
    rest = struct.pack(">BBIB", 0, flags, adjustment & 0xFFFFFFFF, 0)
    told = len(body) if size is None else size
    rest += struct.pack(">I", 0xFFF << 20 | told << 8 | command) + body
    rest += struct.pack(">H", len(descriptors)) + descriptors
    head = struct.pack(">BH", 0xFC, 0x3000 | len(rest) + 4) + rest
    return head + struct.pack(">I", section_crc(head))


def insertion(
    event_id: int,
    pts: int | None = None,
    *,
    is_out: int = 1,
    duration: int | None = None,
    is_cancelled: int = 0,
    components: int = 0,
    adjustment: int = 0,
) -> bytes:
    """A section with an insertion, out of the programme unless `is_out` is 0."""
    made = Insertion(event_id, pts, bool(is_out), duration, bool(is_cancelled), components)
    return section(5, made.encode(), adjustment=adjustment)


def time_signal(pts: int, *descriptors: bytes) -> bytes:
    bits = BitWriter().bits(1, 1).bits(0x3F, 6).bits(pts, 33)
    return section(6, bits.to_bytes(), b"".join(descriptors))


def segmentation(event_id: int, type_id: int, duration: int | None = None) -> bytes:
    """A segmentation descriptor."""
    bits = BitWriter().bits(event_id, 32).bits(0, 1).bits(0x7F, 7)
    bits.bits(1, 1).bits(duration is not None, 1).bits(0x3F, 6)
    if duration is not None:
        bits.bits(duration, 40)
    body = b"CUEI" + bits.bits(0, 16).bits(type_id, 8).bits(0, 16).to_bytes()
    return bytes((2, len(body))) + body
