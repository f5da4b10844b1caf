"""SEI messages out of NAL units of H.264 and H.265, and into them. Pure.

H.264 7.3.2.3 and H.265 7.3.5 write them alike: a type, a size, a payload. The NAL unit's header is
of one byte or of two.
"""

import re
from collections.abc import Iterable, Iterator

from common.codecs import h265
from common.codecs.h264 import NalType, unescape
from common.media.units import VideoCodec

SeiMessage = tuple[int, bytes]  # payload type and payload

USER_DATA_T35 = 4  # user_data_registered_itu_t_t35 (H.264 D.1.6)
USER_DATA_UNREGISTERED = 5  # its first 16 bytes are a UUID (H.264 D.1.7)
MAX_MESSAGES = 64  # of a NAL unit that are looked at: real ones have a handful
TRAILING = b"\x80"  # rbsp_trailing_bits
_HEADER_H264 = bytes((NalType.SEI,))
_HEADER_H265 = bytes((h265.NalType.PREFIX_SEI << 1, 1))  # of layer 0 and temporal id 0
_FULL_BYTES = re.compile(rb"\xff*")
_TO_ESCAPE = re.compile(rb"\x00\x00(?=[\x00-\x03])")


def sei_messages(nal: bytes, header_bytes: int) -> Iterator[SeiMessage]:
    """The first `MAX_MESSAGES` of a SEI NAL unit, in their order, up to one that is cut short."""
    rbsp, at = unescape(nal), header_bytes
    for _ in range(MAX_MESSAGES):
        if at + 2 >= len(rbsp):  # what is left at the end is at least the trailing bits' byte
            return
        kind, at = _number(rbsp, at)
        size, at = _number(rbsp, at)
        if at + size > len(rbsp):
            return
        yield kind, rbsp[at : at + size]
        at += size


def sei_nal(codec: VideoCodec, messages: Iterable[SeiMessage]) -> bytes:
    """The NAL unit, of H.265 or else of H.264, that has these messages before a picture."""
    rbsp = bytearray()
    for kind, payload in messages:
        rbsp += _written(kind) + _written(len(payload)) + payload
    header = _HEADER_H265 if codec is VideoCodec.H265 else _HEADER_H264
    return header + _escape(bytes(rbsp) + TRAILING)


def _number(rbsp: bytes, at: int) -> tuple[int, int]:
    """A payload type or size and where it ends (H.264 7.3.2.3.1): 255 as long as more follows.

    One that is cut short ends behind the bytes.
    """
    run = _FULL_BYTES.match(rbsp, at)
    end = len(rbsp) if run is None else run.end()
    if end >= len(rbsp):
        return 0, len(rbsp) + 1
    return 255 * (end - at) + rbsp[end], end + 1


def _written(value: int) -> bytes:
    return b"\xff" * (value // 255) + bytes((value % 255,))


def _escape(rbsp: bytes) -> bytes:
    """With emulation prevention (H.264 7.4.1)."""
    return _TO_ESCAPE.sub(b"\x00\x00\x03", rbsp)
