"""FLV tags both ways, and the video tag bodies that RTMP messages of type 9 carry.

The file layout and the legacy bodies are Adobe's FLV 10.1 annex E, the extended header with FourCC
codecs and multitrack is Enhanced RTMP v2 ("E-RTMP"). An RTMP message of type 8, 9 or 18 is the
payload of the FLV tag of that type. Audio bodies are in `common.flv.audio`, re-exported here.

Of a multitrack message only track 0 is read. Codecs other than H.264 are read as far as their name,
so that ingest can refuse them by it. Pure; FlvError for what cannot be read.
"""

from dataclasses import dataclass
from enum import Enum, IntEnum

from common.errors import FlvError
from common.flv.audio import (
    AudioBody,
    AudioFormat,
    AudioPacket,
    aac_frame,
    aac_sequence_header,
    audio_name,
    is_audio_sequence_header,
    parse_audio,
)
from common.flv.clock32 import Unwrapper, wrap
from common.flv.extended import extended_header, fourcc_name, track_zero

__all__ = [
    "AudioBody",
    "AudioFormat",
    "AudioPacket",
    "FlvReader",
    "FrameType",
    "Tag",
    "TagType",
    "VideoBody",
    "VideoCodec",
    "VideoPacket",
    "aac_frame",
    "aac_sequence_header",
    "audio_name",
    "avc_end_of_sequence",
    "avc_nalus",
    "avc_sequence_header",
    "encode_file_header",
    "encode_tag",
    "is_audio_sequence_header",
    "is_keyframe_payload",
    "is_sequence_header",
    "parse_audio",
    "parse_video",
]

MAX_PAYLOAD_BYTES = 0xFF_FFFF  # a tag's size field has 24 bits
_TAG_HEADER_BYTES = 11
_MAX_FILE_HEADER_BYTES = 1024


class TagType(IntEnum):
    """FLV tag types, which are RTMP message types too."""

    AUDIO = 8
    VIDEO = 9
    SCRIPT = 18


@dataclass(frozen=True, slots=True)
class Tag:
    """One FLV tag."""

    type: TagType
    dts_ms: int  # unwrapped, never the 32-bit field
    payload: bytes


def encode_file_header(has_audio: bool, has_video: bool) -> bytes:
    """The FLV file header and the PreviousTagSize0 behind it."""
    flags = (4 if has_audio else 0) | (1 if has_video else 0)
    return b"FLV\x01" + bytes((flags,)) + b"\x00\x00\x00\x09" + b"\x00\x00\x00\x00"


def encode_tag(tag: Tag) -> bytes:
    """The tag with its header and the PreviousTagSize behind it; FlvError over 16 MiB - 1."""
    size = len(tag.payload)
    if size > MAX_PAYLOAD_BYTES:
        raise FlvError(f"tag of {size} bytes exceeds {MAX_PAYLOAD_BYTES}")
    timestamp = wrap(tag.dts_ms)
    return b"".join(
        (
            bytes((tag.type,)),
            size.to_bytes(3, "big"),
            (timestamp & 0xFF_FFFF).to_bytes(3, "big"),
            bytes((timestamp >> 24, 0, 0, 0)),
            tag.payload,
            (size + _TAG_HEADER_BYTES).to_bytes(4, "big"),
        )
    )


class FlvReader:
    """Takes the bytes of an FLV file or HTTP-FLV response in pieces of any size, gives its tags.

    Call `feed`, then `next` until it returns None. FlvError ends the reading. Tags of unknown types
    are skipped. Timestamps are unwrapped.
    """

    def __init__(self, max_payload_bytes: int = MAX_PAYLOAD_BYTES) -> None:
        self._max_payload_bytes = max_payload_bytes
        self._buffer = bytearray()
        self._in_tags = False
        self._clock = Unwrapper()

    def feed(self, data: bytes) -> None:
        """Take more bytes."""
        self._buffer += data

    def next(self) -> Tag | None:
        """The next whole tag, or None when more bytes are needed."""
        if not self._in_tags and not self._read_file_header():
            return None
        while len(self._buffer) >= _TAG_HEADER_BYTES:
            head = self._buffer
            size = int.from_bytes(head[1:4], "big")
            if size > self._max_payload_bytes:
                raise FlvError(f"tag of {size} bytes exceeds {self._max_payload_bytes}")
            if head[0] & 0x20:
                raise FlvError("encrypted tag")
            end = _TAG_HEADER_BYTES + size
            if len(head) < end + 4:
                return None
            previous = int.from_bytes(head[end : end + 4], "big")
            if previous != end and previous != 0:  # some writers leave it 0
                raise FlvError(f"tag of {end} bytes followed by a PreviousTagSize of {previous}")
            kind = head[0] & 0x1F
            timestamp = head[7] << 24 | int.from_bytes(head[4:7], "big")
            payload = bytes(head[_TAG_HEADER_BYTES:end])
            del self._buffer[: end + 4]
            dts_ms = self._clock.unwrap(timestamp)
            if kind in (TagType.AUDIO, TagType.VIDEO, TagType.SCRIPT):
                return Tag(TagType(kind), dts_ms, payload)
        return None

    def _read_file_header(self) -> bool:
        head = bytes(self._buffer[:9])
        if not b"FLV"[: len(head)] == head[:3]:
            raise FlvError(f"data that begin with {head[:3].hex(' ')}, not with FLV")
        if len(head) < 9:
            return False
        size = int.from_bytes(head[5:9], "big")
        if not 9 <= size <= _MAX_FILE_HEADER_BYTES:
            raise FlvError(f"FLV header of {size} bytes")
        if len(self._buffer) < size + 4:
            return False
        del self._buffer[: size + 4]
        self._in_tags = True
        return True


class VideoCodec(Enum):
    """Video codecs that a tag can name; the value is the name for people."""

    AVC = "H.264"
    HEVC = "HEVC"
    VVC = "VVC"
    AV1 = "AV1"
    VP8 = "VP8"
    VP9 = "VP9"
    H263 = "H.263"
    SCREEN = "Screen Video"
    SCREEN_2 = "Screen Video 2"
    VP6 = "VP6"
    VP6_ALPHA = "VP6 with alpha"


class FrameType(IntEnum):
    """The frame type bits: what the publisher says, not what was found in the NAL units."""

    KEY = 1
    INTER = 2
    DISPOSABLE = 3
    GENERATED_KEY = 4
    COMMAND = 5


class VideoPacket(IntEnum):
    """AVCPacketType; E-RTMP's packet types are mapped to it."""

    SEQUENCE_HEADER = 0
    NALUS = 1
    END_OF_SEQUENCE = 2


@dataclass(frozen=True, slots=True)
class VideoBody:
    """A video tag body, taken apart."""

    codec: VideoCodec | None  # None: an E-RTMP command frame, which names none
    frame_type: FrameType
    packet: VideoPacket | None  # None: neither header nor picture (command, metadata), or unread
    composition_ms: int  # PTS - DTS, signed
    data: bytes  # the record, or length-prefixed NAL units, or whatever the codec has
    track_id: int = 0  # not 0: the message had no track 0, and `data` is empty


_LEGACY_CODECS = {
    2: VideoCodec.H263,
    3: VideoCodec.SCREEN,
    4: VideoCodec.VP6,
    5: VideoCodec.VP6_ALPHA,
    6: VideoCodec.SCREEN_2,
    7: VideoCodec.AVC,
    12: VideoCodec.HEVC,  # unofficial, written by several CDNs' encoders
    13: VideoCodec.AV1,  # unofficial, in SRS's list
}
_FOURCC_CODECS = {
    b"avc1": VideoCodec.AVC,
    b"hvc1": VideoCodec.HEVC,
    b"vvc1": VideoCodec.VVC,
    b"av01": VideoCodec.AV1,
    b"vp08": VideoCodec.VP8,
    b"vp09": VideoCodec.VP9,
}
_WITH_COMPOSITION_TIME = frozenset({VideoCodec.AVC, VideoCodec.HEVC, VideoCodec.VVC})


class _ExtendedPacket(IntEnum):
    SEQUENCE_START = 0
    CODED_FRAMES = 1
    SEQUENCE_END = 2
    CODED_FRAMES_X = 3
    METADATA = 4
    MPEG2TS_SEQUENCE_START = 5
    MULTITRACK = 6
    MOD_EX = 7


def parse_video(payload: bytes) -> VideoBody:
    """Take a video tag body apart, legacy or E-RTMP.

    Raises FlvError for a body that is too short, or of an unknown codec or frame type.
    """
    if not payload:
        raise FlvError("empty video tag")
    first = payload[0]
    try:
        frame_type = FrameType(first >> 4 & 7)
    except ValueError:
        raise FlvError(f"video frame type {first >> 4 & 7}") from None
    if first & 0x80:
        return _parse_extended(payload, frame_type)
    codec = _LEGACY_CODECS.get(first & 0x0F)
    if codec is None:
        raise FlvError(f"video codec id {first & 0x0F}")
    if frame_type is FrameType.COMMAND or codec not in (VideoCodec.AVC, VideoCodec.HEVC):
        return VideoBody(codec, frame_type, None, 0, payload[1:])
    if len(payload) < 5:
        raise FlvError(f"{codec.value} tag of {len(payload)} bytes, 5 at least are needed")
    if payload[1] > VideoPacket.END_OF_SEQUENCE:
        raise FlvError(f"AVC packet type {payload[1]}")
    packet = VideoPacket(payload[1])
    return VideoBody(codec, frame_type, packet, _signed24(payload, 2), payload[5:])


def _signed24(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 3], "big", signed=True)


def _parse_extended(payload: bytes, frame_type: FrameType) -> VideoBody:
    packet_type, at = extended_header(payload, _ExtendedPacket.MOD_EX)
    if frame_type is FrameType.COMMAND and packet_type != _ExtendedPacket.METADATA:
        return VideoBody(None, frame_type, None, 0, payload[at:])
    track = track_zero(payload, at, packet_type, _ExtendedPacket.MULTITRACK)
    codec = _FOURCC_CODECS.get(track.fourcc)
    if codec is None:
        raise FlvError(f"video FourCC {fourcc_name(track.fourcc)}")
    if track.track_id != 0:
        return VideoBody(codec, frame_type, None, 0, b"", track.track_id)
    data = track.data
    match track.packet_type:
        case _ExtendedPacket.SEQUENCE_START | _ExtendedPacket.MPEG2TS_SEQUENCE_START:
            return VideoBody(codec, frame_type, VideoPacket.SEQUENCE_HEADER, 0, data)
        case _ExtendedPacket.CODED_FRAMES if codec in _WITH_COMPOSITION_TIME:
            if len(data) < 3:
                raise FlvError(f"{codec.value} frame without its composition time")
            composition_ms = _signed24(data, 0)
            return VideoBody(codec, frame_type, VideoPacket.NALUS, composition_ms, data[3:])
        case _ExtendedPacket.CODED_FRAMES | _ExtendedPacket.CODED_FRAMES_X:
            return VideoBody(codec, frame_type, VideoPacket.NALUS, 0, data)
        case _ExtendedPacket.SEQUENCE_END:
            return VideoBody(codec, frame_type, VideoPacket.END_OF_SEQUENCE, 0, b"")
        case _ExtendedPacket.METADATA:
            return VideoBody(codec, frame_type, None, 0, data)
        case _:
            raise FlvError(f"E-RTMP video packet type {track.packet_type}")


def avc_sequence_header(record: bytes) -> bytes:
    """The tag body with an AVCDecoderConfigurationRecord."""
    return b"\x17\x00\x00\x00\x00" + record


def avc_nalus(data: bytes, composition_ms: int, is_key: bool) -> bytes:
    """The tag body of an access unit, its NAL units length-prefixed.

    Raises FlvError when the composition time does not fit 24 signed bits (2.3 hours).
    """
    try:
        composition = composition_ms.to_bytes(3, "big", signed=True)
    except OverflowError:
        raise FlvError(f"composition time of {composition_ms} ms") from None
    return (b"\x17\x01" if is_key else b"\x27\x01") + composition + data


def avc_end_of_sequence() -> bytes:
    """The tag body that says that the stream of pictures ends."""
    return b"\x17\x02\x00\x00\x00"


def is_keyframe_payload(payload: bytes) -> bool:
    """Whether a video tag body is a picture flagged as a keyframe (headers are not pictures)."""
    if len(payload) < 2 or payload[0] >> 4 & 7 != FrameType.KEY:
        return False
    if not payload[0] & 0x80:
        return payload[0] & 0x0F != 7 or payload[1] == VideoPacket.NALUS
    return _extended_packet(payload) in (
        _ExtendedPacket.CODED_FRAMES,
        _ExtendedPacket.CODED_FRAMES_X,
    )


def is_sequence_header(payload: bytes) -> bool:
    """Whether a video tag body is a sequence header, legacy or E-RTMP."""
    if len(payload) < 2 or payload[0] >> 4 & 7 == FrameType.COMMAND:
        return False
    if not payload[0] & 0x80:
        return payload[0] & 0x0F == 7 and payload[1] == VideoPacket.SEQUENCE_HEADER
    return _extended_packet(payload) in (
        _ExtendedPacket.SEQUENCE_START,
        _ExtendedPacket.MPEG2TS_SEQUENCE_START,
    )


def _extended_packet(payload: bytes) -> int | None:
    """E-RTMP's packet type behind ModEx and multitrack; None when that cannot be read.

    None, too, for a message without track 0.
    """
    packet_type = payload[0] & 0x0F
    if packet_type < _ExtendedPacket.MULTITRACK:
        return packet_type
    try:
        packet_type, at = extended_header(payload, _ExtendedPacket.MOD_EX)
        if packet_type == _ExtendedPacket.MULTITRACK:
            track = track_zero(payload, at, packet_type, packet_type)
            return track.packet_type if track.track_id == 0 else None
    except FlvError:
        return None
    return packet_type
