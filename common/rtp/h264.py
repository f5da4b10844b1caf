"""H.264 as RTP payloads, and back (RFC 6184, packetization-mode 1). Pure.

A picture's NAL units are single NAL unit packets where they fit and FU-A where they do not. The
parameter sets, which a picture that can be joined at has in front, are one STAP-A: who joins there
has them in one packet. What no decoder of a browser looks at is omitted: delimiters, fillers, SEI.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from common.codecs.h264 import NalType
from common.errors import RtpError
from common.media.units import Data

MAX_PAYLOAD_BYTES: Final = 1200  # with SRTP, UDP and IPv6 below the 1280 bytes of every path
STAP_A: Final = 24
FU_A: Final = 28
_START: Final = 0x80
_END: Final = 0x40
_NRI: Final = 0x60
_OMITTED: Final = frozenset(
    (NalType.SEI, NalType.AUD, NalType.END_OF_SEQUENCE, NalType.END_OF_STREAM, NalType.FILLER)
)
_SETS: Final = frozenset((NalType.SPS, NalType.PPS))
# Of an access unit: as `common.codecs.h264.MAX_NAL_UNITS` bounds it, with fragments of each.
MAX_UNIT_BYTES: Final = 16 * 1024 * 1024


def packetise(
    nals: Iterable[Data], sets: Sequence[bytes] = (), max_bytes: int = MAX_PAYLOAD_BYTES
) -> list[bytes]:
    """The payloads of one picture; the last one's packet is to be marked.

    `sets` are the parameter sets in force, which a picture that can be joined at is given; its own
    count more. No payload is longer than `max_bytes`. Empty, where there is nothing to decode.
    """
    own: list[bytes] = []
    payloads: list[bytes] = []
    for nal in nals:
        kind = nal[0] & 0x1F
        if kind in _SETS:
            own.append(bytes(nal))
        elif kind not in _OMITTED:
            _append(payloads, nal, max_bytes)
    if not payloads:
        return []
    sets = own or sets
    return [*_together(sets, max_bytes), *payloads] if sets else payloads


def _append(payloads: list[bytes], nal: Data, max_bytes: int) -> None:
    """One NAL unit, in fragments where it is too long (RFC 6184 5.8)."""
    size = len(nal)
    if size <= max_bytes:
        payloads.append(bytes(nal))
        return
    first = nal[0]
    indicator, kind = first & 0xE0 | FU_A, first & 0x1F
    step = max_bytes - 2
    flags = _START
    for begin in range(1, size, step):
        end = begin + step
        if end >= size:
            flags = _END
        payloads.append(bytes((indicator, flags | kind)) + nal[begin:end])
        flags = 0


def _together(sets: Sequence[bytes], max_bytes: int) -> list[bytes]:
    """Parameter sets in one packet (RFC 6184 5.7.1), or on their own where they do not fit."""
    size = 1 + sum(2 + len(one) for one in sets)
    if len(sets) == 1 or size > max_bytes:
        alone: list[bytes] = []
        for one in sets:
            _append(alone, one, max_bytes)
        return alone
    nri = max(one[0] & _NRI for one in sets)
    parts = [bytes((nri | STAP_A,))]
    for one in sets:
        parts += (len(one).to_bytes(2, "big"), one)
    return [b"".join(parts)]


class Depacketiser:
    """Payloads of one stream, in order and without a gap, to NAL units."""

    def __init__(self) -> None:
        self._fragments = bytearray()

    def reset(self) -> None:
        """Something is missing here, or another picture begins."""
        self._fragments.clear()

    def add(self, payload: bytes) -> list[bytes]:
        """The NAL units that are whole by this payload. Raises RtpError."""
        if not payload:
            raise RtpError("empty RTP payload of H.264")
        kind = payload[0] & 0x1F
        if kind == FU_A:
            return self._fragment(payload)
        self._fragments.clear()
        if kind == STAP_A:
            return _split(payload)
        if not 1 <= kind <= 23:
            raise RtpError(f"H.264 payload of type {kind}, which packetization-mode 1 has not")
        return [payload]

    def _fragment(self, payload: bytes) -> list[bytes]:
        if len(payload) < 3:
            raise RtpError(f"FU-A of {len(payload)} bytes, 3 at least are needed")
        flags = payload[1]
        if flags & _START:
            self._fragments[:] = bytes((payload[0] & 0xE0 | flags & 0x1F,))
        elif not self._fragments:
            raise RtpError("FU-A without its start")
        self._fragments += payload[2:]
        if len(self._fragments) > MAX_UNIT_BYTES:
            raise RtpError(f"NAL unit of more than {MAX_UNIT_BYTES} bytes in fragments")
        if not flags & _END:
            return []
        whole = bytes(self._fragments)
        self._fragments.clear()
        return [whole]


def _split(payload: bytes) -> list[bytes]:
    units: list[bytes] = []
    at = 1
    while at < len(payload):
        end = at + 2 + int.from_bytes(payload[at : at + 2], "big")
        if end > len(payload) or end == at + 2:
            raise RtpError(f"STAP-A unit ends at {end} of {len(payload)} bytes")
        units.append(payload[at + 2 : end])
        at = end
    return units
