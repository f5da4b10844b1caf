"""H.264 as RTP payloads, and back (RFC 6184, packetization-mode 1). Pure.

NAL units are single NAL unit packets, FU-A, and STAP-A for the parameter sets.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from common.codecs.h264 import NalType
from common.errors import RtpError
from common.media.units import Data
from common.rtp import nal_payloads
from common.rtp.nal_payloads import END, MAX_PAYLOAD_BYTES, START, NalForm

STAP_A: Final = 24
FU_A: Final = 28
_NRI: Final = 0x60
_FORM: Final = NalForm(
    header_bytes=1,
    kind=lambda nal: nal[0] & 0x1F,
    sets=frozenset((NalType.SPS, NalType.PPS)),
    omitted=frozenset(
        (NalType.SEI, NalType.AUD, NalType.END_OF_SEQUENCE, NalType.END_OF_STREAM, NalType.FILLER)
    ),
    fragment=lambda nal: bytes((nal[0] & 0xE0 | FU_A,)),
    together=lambda sets: bytes((max(one[0] & _NRI for one in sets) | STAP_A,)),
)
# Of an access unit: as `common.codecs.h264.MAX_NAL_UNITS` bounds it, with fragments of each.
MAX_UNIT_BYTES: Final = 16 * 1024 * 1024


def packetise(
    nals: Iterable[Data], sets: Sequence[bytes] = (), max_bytes: int = MAX_PAYLOAD_BYTES
) -> list[bytes]:
    """The payloads of one picture, as `nal_payloads.packetise` makes them."""
    return nal_payloads.packetise(_FORM, nals, sets, max_bytes)


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
        if flags & START:
            self._fragments[:] = bytes((payload[0] & 0xE0 | flags & 0x1F,))
        elif not self._fragments:
            raise RtpError("FU-A without its start")
        self._fragments += payload[2:]
        if len(self._fragments) > MAX_UNIT_BYTES:
            raise RtpError(f"NAL unit of more than {MAX_UNIT_BYTES} bytes in fragments")
        if not flags & END:
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
