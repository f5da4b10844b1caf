"""What stays of a publisher's messages when pictures and sound are left out. Pure.

Enough that ingest decides the same: headers of FLV, NAL units and OBUs, parameter sets, the heads
of slices and frames, start codes and zero bytes wherever they stand, and every length. Of the coded
pictures, of SEI (captions, whatever an encoder writes there) and of sound the rest is a count of
bytes. Whether NAL units are H.264's or H.265's is told by the record, as ingest tells it.
"""

from collections.abc import Iterator

from common.capture.capture_file import CapturedMessage, Part
from common.codecs import h265
from common.codecs.aac import adts_header_bytes
from common.codecs.av1 import ObuType, obus
from common.codecs.h264 import AvcConfig, looks_like_annexb
from common.codecs.h265 import HevcConfig
from common.codecs.table import codec_of_record
from common.errors import Av1Error, FlvError, ProtocolError
from common.flv import amf0
from common.flv.audio import AudioPacket, parse_audio
from common.flv.on_metadata import NAME
from common.flv.tag import TagType
from common.flv.video import VideoPacket, parse_video
from common.media.units import VideoCodec

# As integers: they are written for each message.
AUDIO, VIDEO, DATA = int(TagType.AUDIO), int(TagType.VIDEO), int(TagType.SCRIPT)
SLICE_BYTES = 16  # what tells which picture a slice belongs to (H.264 7.3.3) takes less
_NAL_BYTES = 3  # of the others: a header of up to two bytes, and a SEI's first type
_FRAME_BYTES = 1  # of an OBU: what tells a key frame (AV1, 5.9.2)
_MAX_SET_BYTES = 1024  # of a parameter set; real ones have up to 200
_UNKNOWN_BYTES = 32  # of a body that is of no use to ingest, or that cannot be read
_MAX_HEADER_BYTES = 16 * 1024  # ingest takes no larger configuration
_SETS = frozenset((7, 8, 13, 15))
_SLICES = frozenset((1, 2, 3, 4, 5, 20))
_H265_SETS = frozenset((32, 33, 34))
_START_CODE = b"\x00\x00\x01"
_KEPT = frozenset((VideoCodec.H264, VideoCodec.H265, VideoCodec.AV1))

Span = tuple[int, int]


class HeadersOnly:
    """One publisher's messages, in order: the lengths' size of its NAL units is in its record."""

    def __init__(self) -> None:
        self._length_size = 4
        self._codec = VideoCodec.H264  # of NAL units

    def message(self, type_id: int, timestamp: int, payload: bytes) -> CapturedMessage:
        """The message without its pictures and sound."""
        match type_id:
            case TagType.VIDEO:
                kept = self._video(payload)
            case TagType.AUDIO:
                kept = _audio(payload)
            case _:
                kept = [(0, _kept_of_data(payload))]
        return CapturedMessage(type_id, timestamp, tuple(_parts(payload, kept)))

    def _video(self, payload: bytes) -> list[Span]:
        try:
            body = parse_video(memoryview(payload))
        except FlvError:
            return [(0, _UNKNOWN_BYTES)]
        if body.codec not in _KEPT or body.track_id:
            return [(0, _UNKNOWN_BYTES)]
        begin = len(payload) - len(body.data)
        if payload[begin:] != body.data:  # one of several tracks
            return [(0, _UNKNOWN_BYTES)]
        match body.packet:
            case VideoPacket.SEQUENCE_HEADER:
                if body.codec is not VideoCodec.AV1:
                    self._note_record(body.codec, payload[begin:])
                return [(0, _MAX_HEADER_BYTES)]
            case VideoPacket.NALUS if body.codec is VideoCodec.AV1:
                return [(0, begin), *_obus(payload, begin)]
            case VideoPacket.NALUS:
                return [(0, begin), *self._nal_units(payload, begin)]
            case _:
                return [(0, _UNKNOWN_BYTES)]

    def _note_record(self, label: VideoCodec, record: bytes) -> None:
        self._codec = codec_of_record(label, record)
        try:
            config: AvcConfig | HevcConfig
            if self._codec is VideoCodec.H265:
                config = HevcConfig.parse(record)
            else:
                config = AvcConfig.parse(record)
            self._length_size = config.nal_length_size
        except ProtocolError:
            return

    def _nal_units(self, payload: bytes, at: int) -> Iterator[Span]:
        """Whatever the lengths say, no further than the payload."""
        if looks_like_annexb(payload[at:], self._length_size):
            yield from _nal_unit(self._codec, payload, at, len(payload))
            return
        while at < len(payload):
            begin = at + self._length_size
            yield at, begin
            at = begin + int.from_bytes(payload[at:begin], "big")
            yield from _nal_unit(self._codec, payload, begin, min(at, len(payload)))


def _nal_unit(codec: VideoCodec, payload: bytes, begin: int, end: int) -> Iterator[Span]:
    """What stays of a NAL unit, and of those that stand in it behind start codes."""
    while begin < end:
        code = payload.find(_START_CODE, begin, end)
        until = code if code >= 0 else end
        yield begin, min(until, begin + _most_bytes(codec, payload[begin]))
        zeros = until - begin - len(payload[begin:until].rstrip(b"\x00"))
        yield until - zeros, until  # they are no part of it, or of the start code
        if code < 0:
            return
        begin = code + len(_START_CODE)
        yield code, begin


def _most_bytes(codec: VideoCodec, header: int) -> int:
    """How much stays of a NAL unit that begins so."""
    if codec is VideoCodec.H265:
        kind = header >> 1 & 0x3F
        is_set, is_slice = kind in _H265_SETS, kind <= h265.LAST_SLICE
    else:
        kind = header & 0x1F
        is_set, is_slice = kind in _SETS, kind in _SLICES
    return _MAX_SET_BYTES if is_set else SLICE_BYTES if is_slice else _NAL_BYTES


def _obus(payload: bytes, begin: int) -> Iterator[Span]:
    """What stays of a temporal unit; one that cannot be read has its first bytes."""
    try:
        found = obus(payload[begin:])
    except Av1Error:
        yield begin, begin + _UNKNOWN_BYTES
        return
    for obu in found:
        most = _MAX_SET_BYTES if obu.type == ObuType.SEQUENCE_HEADER else _FRAME_BYTES
        yield begin + obu.begin, begin + min(obu.end, obu.payload + most)


def _audio(payload: bytes) -> list[Span]:
    try:
        body = parse_audio(memoryview(payload))
    except FlvError:
        return [(0, _UNKNOWN_BYTES)]
    if body.packet is AudioPacket.SEQUENCE_HEADER:
        return [(0, _MAX_HEADER_BYTES)]
    begin = len(payload) - len(body.data)
    return [(0, begin + max(1, adts_header_bytes(body.data)))]


def _kept_of_data(payload: bytes) -> int:
    """How much stays of a data message: metadata whole, of others (captions, cues) their name."""
    name = amf0.leading_string(payload)
    if name is None:
        return _UNKNOWN_BYTES
    return _MAX_HEADER_BYTES if name[0] == NAME else min(name[1], _MAX_SET_BYTES)


def _parts(payload: bytes, kept: list[Span]) -> Iterator[Part]:
    """The spans, which are in order and may touch, and counts of what is between them."""
    begin = at = 0  # of what is kept, and its end
    for start, end in kept:
        start, end = max(start, at), min(end, len(payload))
        if end <= start:
            continue
        if start > at:
            if at > begin:
                yield payload[begin:at]
            yield start - at
            begin = start
        at = end
    if at > begin:
        yield payload[begin:at]
    if at < len(payload):
        yield len(payload) - at
