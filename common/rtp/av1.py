"""AV1 as RTP payloads ("RTP Payload Format For AV1", version 1.0). Pure.

Each OBU is an element, without its own size: they fill packets one behind the other, and go on in
the next where they do not fit. What a receiver does not look at is omitted: temporal delimiters,
padding, tile lists. Metadata goes with the picture.
"""

from collections.abc import Sequence
from typing import Final

from common.codecs.av1 import HAS_SIZE, ObuType, leb128, obus
from common.media.units import Data
from common.rtp.nal_payloads import MAX_PAYLOAD_BYTES

_CONTINUES: Final = 0x80  # Z: the first element goes on from the packet before
_GOES_ON: Final = 0x40  # Y: the last element goes on in the next packet
_LENGTH_BYTES: Final = 2  # of an element in a packet
_BEGINS: Final = 0x08  # N: a coded video sequence begins
_OMITTED: Final = frozenset((ObuType.TEMPORAL_DELIMITER, ObuType.PADDING, ObuType.TILE_LIST))


def packetise(
    unit: Data, header: bytes = b"", *, is_key: bool = False, max_bytes: int = MAX_PAYLOAD_BYTES
) -> list[bytes]:
    """The payloads of one temporal unit; the last one's packet is to be marked.

    `header` is the sequence header in force, which a picture that can be joined at is given, unless
    it has one. No payload is longer than `max_bytes`. Empty, where there is nothing to decode.
    Raises Av1Error.
    """
    found = [obu for obu in obus(unit) if obu.type not in _OMITTED]
    elements = [_element(unit, obu.begin, obu.payload, obu.end) for obu in found]
    if not elements:
        return []
    if header and is_key and all(obu.type != ObuType.SEQUENCE_HEADER for obu in found):
        first = obus(header)[0]
        elements.insert(0, _element(header, first.begin, first.payload, first.end))
    payloads = _together(elements, max_bytes)
    if is_key:
        payloads[0] = bytes((payloads[0][0] | _BEGINS,)) + payloads[0][1:]
    return payloads


def _together(elements: Sequence[bytes], max_bytes: int) -> list[bytes]:
    """The elements in packets that are full, each with its length in front.

    Chromium takes a packet that begins with a new element for the first of a picture: so none
    but the first does, wherever that can be (its video_rtp_depacketizer_av1.cc).
    """
    payloads: list[bytes] = []
    current, flags = bytearray(), 0
    for element in elements:
        at = 0
        while at < len(element):
            room = max_bytes - 1 - len(current) - _LENGTH_BYTES
            if room < 1:
                payloads.append(bytes((flags | (_GOES_ON if at else 0),)) + current)
                current, flags = bytearray(), _CONTINUES if at else 0
                continue
            piece = element[at : at + room]
            current += leb128(len(piece)) + piece
            at += len(piece)
    payloads.append(bytes((flags,)) + current)
    return payloads


def _element(data: Data, begin: int, payload: int, end: int) -> bytes:
    """An OBU without its size: its header, with an extension where it has one, and its payload."""
    header = data[begin]
    extension = bytes(data[begin + 1 : begin + 2]) if header & 0x04 else b""
    return bytes((header & ~HAS_SIZE,)) + extension + bytes(data[payload:end])
