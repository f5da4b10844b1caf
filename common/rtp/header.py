"""The fixed RTP header, and numbers that wrap (RFC 3550 5.1, A.1; RFC 5761 4). Pure."""

import struct
from typing import Final, NamedTuple

from common.errors import RtpError

VERSION: Final = 0x80  # version 2, no padding, no extension, no CSRC
MARKER: Final = 0x80  # beside the payload type: the last packet of a picture
HEADER_BYTES: Final = 12
CLOCK_HZ: Final = 90_000  # of every video payload format
OPUS_CLOCK_HZ: Final = 48_000  # RFC 7587 4.1, whatever the sound's own rate is
FIRST_SEQUENCE_END: Final = 0x8000  # a first number from here on may cost SRTP its roll-over count
SEQUENCES: Final = 0x1_0000
TIMESTAMPS: Final = 0x1_0000_0000

# First byte, marker and payload type, sequence number, timestamp, SSRC.
PACK: Final = struct.Struct("!BBHII").pack
_UNPACK: Final = struct.Struct("!BBHII").unpack_from


class Packet(NamedTuple):
    """A packet that came."""

    payload_type: int
    is_marked: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


def is_rtcp(packet: bytes) -> bool:
    """Tell RTCP from RTP on one port, by the byte of the packet type (RFC 5761 4)."""
    return len(packet) >= 2 and 192 <= packet[1] <= 223


def parse(packet: bytes) -> Packet:
    """Read a packet; CSRCs, an extension and padding are taken off. Raises RtpError."""
    if len(packet) < HEADER_BYTES:
        raise RtpError(f"RTP packet of {len(packet)} bytes, {HEADER_BYTES} at least are needed")
    first, second, sequence, timestamp, ssrc = _UNPACK(packet)
    if first >> 6 != 2:
        raise RtpError(f"RTP version {first >> 6}, 2 is known")
    at, end = HEADER_BYTES + 4 * (first & 0x0F), len(packet)
    if first & 0x10:
        at += 4 + 4 * int.from_bytes(packet[at + 2 : at + 4], "big")
    if first & 0x20:
        end -= packet[-1]
    if at > end or at > len(packet):
        raise RtpError(f"RTP header of {at} bytes in a packet of {len(packet)}")
    return Packet(second & 0x7F, second & MARKER != 0, sequence, timestamp, ssrc, packet[at:end])


def unwrap(number: int, near: int, numbers: int = SEQUENCES) -> int:
    """The whole number that wraps to `number` and is nearest to `near`."""
    ahead = (number - near) % numbers
    return near + (ahead if ahead < numbers // 2 else ahead - numbers)
