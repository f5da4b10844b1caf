"""Video tag bodies both ways, which RTMP messages of type 9 carry.

The classic bodies are Adobe's FLV 10.1 annex E.4.3, the extended header with FourCC codecs and
multitrack is Enhanced RTMP v2 ("E-RTMP"). H.264 is written in classic form, other codecs in
E-RTMP's. Of a multitrack message `parse_video` reads track 0 alone, `further_video_bodies` the
others.

Bodies are read from bytes or from a view of them; what is found in them is of the same kind.
Pure; FlvError for what cannot be read.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Generic, NamedTuple

from common.codecs.table import VIDEO_CODECS
from common.errors import FlvError
from common.flv.extended import (
    FurtherTrack,
    Track,
    codec_name,
    extended_header,
    fourcc_name,
    further_tracks,
    track_zero,
)
from common.media.units import D, Data, VideoCodec, VideoConfig, VideoUnit


class FrameType(IntEnum):
    """The frame type bits: what the publisher says, not what was found in the NAL units."""

    KEY = 1
    INTER = 2
    DISPOSABLE = 3
    GENERATED_KEY = 4
    COMMAND = 5


_FRAME_TYPES = {frame_type.value: frame_type for frame_type in FrameType}


class VideoPacket(IntEnum):
    """AVCPacketType; E-RTMP's packet types are mapped to it."""

    SEQUENCE_HEADER = 0
    NALUS = 1
    END_OF_SEQUENCE = 2


_PACKETS = {int(packet): packet for packet in VideoPacket}


class VideoBody(NamedTuple, Generic[D]):
    """A video tag body, taken apart. A tuple: one is made of every message."""

    codec: VideoCodec | None  # None: a command frame of E-RTMP, or one unknown of another track
    frame_type: FrameType
    packet: VideoPacket | None  # None: neither header nor picture (command, metadata), or unread
    composition_ms: int  # PTS - DTS, signed
    data: D  # the record, or length-prefixed NAL units, or whatever the codec has
    track_id: int = 0  # not 0: the message had no track 0, and `data` is empty


_CLASSIC_AVC = 7  # the codec id in a first byte without the extended header's bit
_CLASSIC_CODECS = {
    2: VideoCodec.H263,
    3: VideoCodec.SCREEN,
    4: VideoCodec.VP6,
    5: VideoCodec.VP6_ALPHA,
    6: VideoCodec.SCREEN_2,
    7: VideoCodec.H264,
    12: VideoCodec.H265,  # unofficial, written by several CDNs' encoders
    13: VideoCodec.AV1,  # unofficial, in SRS's list
}
_FOURCC_CODECS = {
    b"avc1": VideoCodec.H264,
    b"hvc1": VideoCodec.H265,
    b"vvc1": VideoCodec.H266,
    b"av01": VideoCodec.AV1,
    b"vp08": VideoCodec.VP8,
    b"vp09": VideoCodec.VP9,
}
_FOURCCS = {codec: fourcc for fourcc, codec in _FOURCC_CODECS.items()}
# In classic form: the packet type and composition time of H.264 follow the first byte.
_WITH_PACKET_TYPE = frozenset({VideoCodec.H264, VideoCodec.H265, VideoCodec.AV1})
_WITH_COMPOSITION_TIME = frozenset({VideoCodec.H264, VideoCodec.H265, VideoCodec.H266})


class _ExtendedPacket(IntEnum):
    SEQUENCE_START = 0
    CODED_FRAMES = 1
    SEQUENCE_END = 2
    CODED_FRAMES_X = 3
    METADATA = 4
    MPEG2TS_SEQUENCE_START = 5
    MULTITRACK = 6
    MOD_EX = 7


def parse_video(payload: D) -> VideoBody[D]:
    """Take a video tag body apart, classic or E-RTMP.

    A frame type that is none counts as `INTER`. Raises FlvError for a body that is too short, or of
    an unknown codec.
    """
    if not payload:
        raise FlvError("empty video tag")
    first = payload[0]
    # a hint that some encoders get wrong: the NAL units tell what a picture is
    frame_type = _FRAME_TYPES.get(first >> 4 & 7, FrameType.INTER)
    if first & 0x80:
        return _parse_extended(payload, frame_type)
    codec = _CLASSIC_CODECS.get(first & 0x0F)
    if codec is None:
        raise FlvError(f"video codec id {first & 0x0F}")
    if frame_type is FrameType.COMMAND or codec not in _WITH_PACKET_TYPE:
        return VideoBody(codec, frame_type, None, 0, payload[1:])
    if len(payload) < 5:
        raise FlvError(f"{codec.label} tag of {len(payload)} bytes, 5 at least are needed")
    packet = _PACKETS.get(payload[1])
    if packet is None:
        raise FlvError(f"AVC packet type {payload[1]}")
    return VideoBody(codec, frame_type, packet, _signed24(payload, 2), payload[5:])


def _signed24(data: Data, at: int) -> int:
    return int.from_bytes(data[at : at + 3], "big", signed=True)


def _parse_extended(payload: D, frame_type: FrameType) -> VideoBody[D]:
    packet_type, at = extended_header(payload, _ExtendedPacket.MOD_EX)
    if frame_type is FrameType.COMMAND and packet_type != _ExtendedPacket.METADATA:
        return VideoBody(None, frame_type, None, 0, payload[at:])
    track = track_zero(payload, at, packet_type, _ExtendedPacket.MULTITRACK)
    codec = _FOURCC_CODECS.get(track.fourcc)
    if codec is None and track.track_id != 0:
        return VideoBody(None, frame_type, None, 0, payload[:0], track.track_id)
    if codec is None:
        raise FlvError(f"video FourCC {fourcc_name(track.fourcc)}")
    if track.track_id != 0:
        return VideoBody(codec, frame_type, None, 0, payload[:0], track.track_id)
    return _track_body(track, codec, frame_type)


def _track_body(track: Track[D], codec: VideoCodec, frame_type: FrameType) -> VideoBody[D]:
    data, number = track.data, track.track_id
    match track.packet_type:
        case _ExtendedPacket.SEQUENCE_START | _ExtendedPacket.MPEG2TS_SEQUENCE_START:
            return VideoBody(codec, frame_type, VideoPacket.SEQUENCE_HEADER, 0, data, number)
        case _ExtendedPacket.CODED_FRAMES if codec in _WITH_COMPOSITION_TIME:
            if len(data) < 3:
                raise FlvError(f"{codec.label} frame without its composition time")
            composition_ms = _signed24(data, 0)
            return VideoBody(codec, frame_type, VideoPacket.NALUS, composition_ms, data[3:], number)
        case _ExtendedPacket.CODED_FRAMES | _ExtendedPacket.CODED_FRAMES_X:
            return VideoBody(codec, frame_type, VideoPacket.NALUS, 0, data, number)
        case _ExtendedPacket.SEQUENCE_END:
            return VideoBody(codec, frame_type, VideoPacket.END_OF_SEQUENCE, 0, data[:0], number)
        case _ExtendedPacket.METADATA:
            return VideoBody(codec, frame_type, None, 0, data, number)
        case _:
            raise FlvError(f"E-RTMP video packet type {track.packet_type}")


def further_video_bodies(payload: D) -> Sequence[VideoBody[D]]:
    """What a tag body has of the tracks beyond the first, of codecs that are known.

    Raises FlvError. Of a message of several tracks the frame type is that of all of them.
    """
    if not payload or not payload[0] & 0x80:
        return ()
    frame_type = _FRAME_TYPES.get(payload[0] >> 4 & 7, FrameType.INTER)
    packet_type, at = extended_header(payload, _ExtendedPacket.MOD_EX)
    return [
        _track_body(track, codec, frame_type)
        for track in further_tracks(payload, at, packet_type, _ExtendedPacket.MULTITRACK)
        if (codec := _FOURCC_CODECS.get(track.fourcc)) is not None
    ]


def further_video_tracks(payload: D) -> Sequence[FurtherTrack]:
    """The tracks of a tag body beyond the first. Raises FlvError."""
    if not payload or not payload[0] & 0x80:
        return ()
    packet_type, at = extended_header(payload, _ExtendedPacket.MOD_EX)
    return [
        FurtherTrack(track.track_id, codec_name(_FOURCC_CODECS, track.fourcc), len(track.data))
        for track in further_tracks(payload, at, packet_type, _ExtendedPacket.MULTITRACK)
    ]


def fourcc_of(codec: VideoCodec) -> str:
    """The FourCC of a codec; "" for those that have none."""
    return _FOURCCS.get(codec, b"").decode("ascii")


def avc_sequence_header(record: bytes) -> bytes:
    """The tag body with an AVCDecoderConfigurationRecord."""
    return b"\x17\x00\x00\x00\x00" + record


def avc_nalus(data: Data, composition_ms: int, is_key: bool) -> bytes:
    """The tag body of an access unit, its NAL units length-prefixed.

    Raises FlvError when the composition time does not fit 24 signed bits (2.3 hours).
    """
    return (b"\x17\x01" if is_key else b"\x27\x01") + _composition(composition_ms) + data


def picture_body(codec: VideoCodec, data: Data, is_key: bool) -> bytes:
    """The tag body of a coded picture that is shown when it is decoded.

    Raises FlvError for a codec that no FourCC stands for.
    """
    if codec is VideoCodec.H264:
        return avc_nalus(data, 0, is_key)
    is_short = codec in _WITH_COMPOSITION_TIME  # which is 0
    packet = _ExtendedPacket.CODED_FRAMES_X if is_short else _ExtendedPacket.CODED_FRAMES
    return _extended(FrameType.KEY if is_key else FrameType.INTER, packet, codec, 0) + data


def video_body(unit: VideoUnit) -> bytes:
    """The tag body of a unit; where its data are a view of such a body, that one, uncopied.

    Raises FlvError for a codec that no FourCC stands for, and as `avc_nalus`.
    """
    data = unit.data
    if unit.codec is VideoCodec.H264:
        if isinstance(data, memoryview) and _is_body_of(data.obj, unit):
            return bytes(data.obj)
        return avc_nalus(data, unit.composition_ms, unit.is_key)
    packet = _ExtendedPacket.CODED_FRAMES
    composition = b""
    if unit.codec in _WITH_COMPOSITION_TIME:
        if unit.composition_ms:
            composition = _composition(unit.composition_ms)
        else:
            packet = _ExtendedPacket.CODED_FRAMES_X
    frame_type = FrameType.KEY if unit.is_key else FrameType.INTER
    return _extended(frame_type, packet, unit.codec, unit.track) + composition + data


def video_header_body(config: VideoConfig) -> bytes:
    """The sequence header's tag body. Raises FlvError for a codec that no FourCC stands for."""
    if config.codec is VideoCodec.H264:
        return avc_sequence_header(config.record)
    packet = _ExtendedPacket.SEQUENCE_START
    return _extended(FrameType.KEY, packet, config.codec, config.track) + config.record


def video_unit_of(payload: D, dts_ms: int, received_s: float = 0.0) -> VideoUnit | None:
    """The unit in a tag body, its data as `payload` is: bytes, or a view.

    None for all that is no coded picture of track 0, and for codecs that only FLV knows. What the
    coded picture says of itself is not looked for: it starts a decoder if it is flagged.
    Raises FlvError.
    """
    body = parse_video(payload)
    if body.packet is not VideoPacket.NALUS or body.codec not in _FOURCCS or body.track_id:
        return None
    is_key = body.frame_type in (FrameType.KEY, FrameType.GENERATED_KEY)
    return VideoUnit(
        body.codec, 0, dts_ms, body.composition_ms, is_key, body.data, received_s, is_key
    )


def video_config_of(payload: bytes) -> VideoConfig | None:
    """The configuration in a tag body; None for all that is no sequence header of track 0.

    Raises FlvError, for a codec that `VIDEO_CODECS` does not have too, and what its parser raises.
    """
    body = parse_video(payload)
    if body.packet is not VideoPacket.SEQUENCE_HEADER or body.codec is None or body.track_id:
        return None
    codec = VIDEO_CODECS.get(body.codec)
    if codec is None:
        raise FlvError(f"{body.codec.label} configurations cannot be read")
    return codec.parse_config(bytes(body.data))


def _is_body_of(body: object, unit: VideoUnit) -> bool:
    """Whether this is a classic body that holds the unit's data and says the same of it."""
    return (
        type(body) is bytes
        and len(body) == len(unit.data) + 5
        and body[0] & 0x8F == _CLASSIC_AVC
        and body[1] == VideoPacket.NALUS
        and (body[0] >> 4 == FrameType.KEY) == unit.is_key
        and _signed24(body, 2) == unit.composition_ms
    )


def _composition(composition_ms: int) -> bytes:
    try:
        return composition_ms.to_bytes(3, "big", signed=True)
    except OverflowError:
        raise FlvError(f"composition time of {composition_ms} ms") from None


def _extended(frame_type: FrameType, packet: int, codec: VideoCodec, track: int) -> bytes:
    """E-RTMP's header of a body with track 0."""
    fourcc = _FOURCCS.get(codec)
    if fourcc is None or track:
        raise FlvError(f"no tag for {codec.label} of track {track}")
    return bytes((0x80 | frame_type << 4 | packet,)) + fourcc


def avc_end_of_sequence() -> bytes:
    """The tag body that says that the stream of pictures ends."""
    return b"\x17\x02\x00\x00\x00"


def is_keyframe_payload(payload: D) -> bool:
    """Whether a video tag body is a picture flagged as a keyframe (headers are not pictures)."""
    if len(payload) < 2 or payload[0] >> 4 & 7 != FrameType.KEY:
        return False
    if not payload[0] & 0x80:
        return payload[0] & 0x0F != 7 or payload[1] == VideoPacket.NALUS
    return _extended_packet(payload) in (
        _ExtendedPacket.CODED_FRAMES,
        _ExtendedPacket.CODED_FRAMES_X,
    )


def is_sequence_header(payload: D) -> bool:
    """Whether a video tag body is a sequence header, classic or E-RTMP."""
    if len(payload) < 2 or payload[0] >> 4 & 7 == FrameType.COMMAND:
        return False
    if not payload[0] & 0x80:
        return payload[0] & 0x0F == 7 and payload[1] == VideoPacket.SEQUENCE_HEADER
    return _extended_packet(payload) in (
        _ExtendedPacket.SEQUENCE_START,
        _ExtendedPacket.MPEG2TS_SEQUENCE_START,
    )


def _extended_packet(payload: D) -> int | None:
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
