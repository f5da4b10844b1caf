"""H.265 as RTP payloads (RFC 7798, without DONL: `sprop-max-don-diff` is 0). Pure.

NAL units are single NAL unit packets, fragmentation units, and an aggregation packet for the
parameter sets.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from common.codecs.h265 import NalType, nal_type
from common.media.units import Data
from common.rtp import nal_payloads
from common.rtp.nal_payloads import MAX_PAYLOAD_BYTES, NalForm

AGGREGATION: Final = 48
FRAGMENTATION: Final = 49
_SETS: Final = frozenset((NalType.VPS, NalType.SPS, NalType.PPS))


def _header(kind: int, nal: Data) -> bytes:
    """A NAL unit header of another type, with the layer and the temporal id of a NAL unit."""
    return bytes((nal[0] & 0x81 | kind << 1, nal[1]))


_FORM: Final = NalForm(
    header_bytes=2,
    kind=nal_type,
    sets=_SETS,
    omitted=frozenset(
        (
            *(NalType.PREFIX_SEI, NalType.SUFFIX_SEI, NalType.AUD),
            *(NalType.END_OF_SEQUENCE, NalType.END_OF_BITSTREAM, NalType.FILLER),
        )
    ),
    fragment=lambda nal: _header(FRAGMENTATION, nal),
    # 4.4.2: the lowest layer and temporal id of those in it
    together=lambda sets: _header(AGGREGATION, min(sets, key=_layer_and_id)),
)


def _layer_and_id(nal: bytes) -> tuple[int, int]:
    return (nal[0] & 1) << 5 | nal[1] >> 3, nal[1] & 7


def packetise(
    nals: Iterable[Data], sets: Sequence[bytes] = (), max_bytes: int = MAX_PAYLOAD_BYTES
) -> list[bytes]:
    """The payloads of one picture, as `nal_payloads.packetise` makes them."""
    return nal_payloads.packetise(_FORM, nals, sets, max_bytes)
