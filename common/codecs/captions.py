"""CEA-608/708 captions: out of access units of any codec, and into them. Pure.

They travel as SEI of H.264 and H.265 (H.264 D.1.6, user_data_registered_itu_t_t35), in AV1 as
metadata OBUs (6.7.2), holding ATSC A/53 part 4 cc_data():
three bytes a construct, 31 of them at most.
"""

from collections.abc import Callable, Mapping

from common.codecs import av1, h265
from common.codecs.h264 import NalType, nal_spans
from common.errors import Av1Error, AvcError
from common.media.units import Data, VideoCodec
from common.sei.messages import TRAILING, USER_DATA_T35, sei_messages, sei_nal

MAX_TRIPLETS = 31  # cc_count has five bits
_A53_HEAD = b"\xb5\x00\x31GA94\x03"  # USA, ATSC, user_identifier, cc_data()
_METADATA = av1.ObuType.METADATA
_METADATA_T35 = b"\x04"  # METADATA_TYPE_ITUT_T35
_PROCESS_CC = 0x40
_VALID = 0x04  # cc_valid in a construct's first byte; the others are padding


def captions_in(codec: VideoCodec) -> Callable[[Data, int], bytes]:
    """The function that finds the constructs in a codec's units; see `caption_data`."""
    return _FINDERS.get(codec, caption_data)


def caption_data(unit: Data, length_size: int) -> bytes:
    """The valid cc_data constructs of an access unit, three bytes each; mostly none.

    A unit or SEI that cannot be read has none: the decoder is who complains of it.
    """
    try:
        spans = nal_spans(unit, length_size)
    except AvcError:
        return b""
    found = b""
    for begin, end in spans:
        kind = unit[begin] & 0x1F
        if kind == NalType.SEI:
            found += _from_sei(bytes(unit[begin:end]))
        elif kind in (NalType.SLICE, NalType.IDR):
            break  # SEI stand before the picture (H.264 7.4.1.2.3)
    return found


def _in_h265(unit: Data, length_size: int) -> bytes:
    try:
        spans = nal_spans(unit, length_size)
    except AvcError:
        return b""
    found = b""
    for begin, end in spans:
        kind = unit[begin] >> 1 & 0x3F
        if kind == h265.NalType.PREFIX_SEI:
            found += _from_sei(bytes(unit[begin:end]), 2)
        elif kind <= h265.LAST_SLICE:
            break
    return found


def _in_av1(unit: Data, length_size: int) -> bytes:
    del length_size
    try:
        found = av1.obus(unit)
    except Av1Error:
        return b""
    data = (bytes(unit[obu.payload : obu.end]) for obu in found if obu.type == _METADATA)
    return b"".join(_from_t35(one[1:]) for one in data if one[:1] == _METADATA_T35)


def _from_sei(nal: bytes, header_bytes: int = 1) -> bytes:
    messages = sei_messages(nal, header_bytes)
    return b"".join(_from_t35(payload) for kind, payload in messages if kind == USER_DATA_T35)


def _from_t35(payload: bytes) -> bytes:
    head = len(_A53_HEAD)
    if not payload.startswith(_A53_HEAD) or len(payload) < head + 2:
        return b""
    flags = payload[head]
    if not flags & _PROCESS_CC:
        return b""
    begin = head + 2  # em_data follows the flags
    constructs = payload[begin : begin + 3 * (flags & 0x1F)]
    return b"".join(
        constructs[at : at + 3]
        for at in range(0, len(constructs) - 2, 3)
        if constructs[at] & _VALID
    )


def caption_unit(codec: VideoCodec, constructs: bytes) -> bytes:
    """What stands in front of a picture with these constructs, at most `MAX_TRIPLETS`.

    A SEI NAL unit with its length of four bytes; of AV1 a metadata OBU with its size.
    """
    if codec is VideoCodec.AV1:
        payload = _METADATA_T35 + _t35(constructs) + TRAILING
        size = av1.leb128(len(payload))
        return bytes((_METADATA << 3 | av1.HAS_SIZE,)) + size + payload
    nal = caption_sei(constructs, codec)
    return len(nal).to_bytes(4, "big") + nal


def caption_sei(constructs: bytes, codec: VideoCodec = VideoCodec.H264) -> bytes:
    """The SEI NAL unit of H.264 or H.265 with these constructs, at most `MAX_TRIPLETS`."""
    return sei_nal(codec, [(USER_DATA_T35, _t35(constructs))])


def _t35(constructs: bytes) -> bytes:
    count = len(constructs) // 3
    return b"".join(
        (_A53_HEAD, bytes((0x80 | _PROCESS_CC | count, 0xFF)), constructs[: 3 * count], b"\xff")
    )


_FINDERS: Mapping[VideoCodec, Callable[[Data, int], bytes]] = {
    VideoCodec.H264: caption_data,
    VideoCodec.H265: _in_h265,
    VideoCodec.AV1: _in_av1,
}
