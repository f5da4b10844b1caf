"""onMetaData, the script data that says what a stream is (FLV 10.1 annex E.5), both ways. Pure."""

from collections.abc import Mapping
from fractions import Fraction

from common.errors import ProtocolError
from common.flv import amf0
from common.media.units import VideoCodec

NAME = "onMetaData"
ENCODER = "tfarm"
MIN_SIDE, MAX_SIDE = 2, 8192  # of a picture that somebody may announce

# FLV's number of H.264; E-RTMP says a FourCC as a number for codecs that have none.
_VIDEO_CODEC_IDS = {
    VideoCodec.H264: 7,
    VideoCodec.H265: int.from_bytes(b"hvc1", "big"),
    VideoCodec.AV1: int.from_bytes(b"av01", "big"),
    VideoCodec.VP9: int.from_bytes(b"vp09", "big"),
}


def encode_metadata(members: Mapping[str, amf0.Value]) -> bytes:
    """The body of an onMetaData message. Raises ProtocolError for what AMF0 cannot say."""
    return amf0.encode(NAME, amf0.EcmaArray(members))


def metadata_members(body: bytes) -> dict[str, amf0.Value]:
    """What an onMetaData message says; nothing where it cannot be read."""
    if not body:
        return {}
    try:
        values = amf0.decode_all(body)
    except ProtocolError:
        return {}
    if len(values) < 2 or not isinstance(values[1], dict):
        return {}
    return dict(values[1])


def declared_size(members: Mapping[str, amf0.Value]) -> tuple[int, int] | None:
    """The width and height that it states, unless they are no sensible ones."""
    width, height = members.get("width"), members.get("height")
    if not isinstance(width, int | float) or not isinstance(height, int | float):
        return None
    is_sensible = MIN_SIDE <= width <= MAX_SIDE and MIN_SIDE <= height <= MAX_SIDE  # no NaN is
    return (int(width), int(height)) if is_sensible else None


def video_metadata(
    codec: VideoCodec, width: int, height: int, fps: Fraction, bitrate_bps: int
) -> bytes:
    """The onMetaData of a rendition that was made here. Of audio it says nothing."""
    return encode_metadata(
        {
            "width": float(width),
            "height": float(height),
            "framerate": round(float(fps), 3),
            "videodatarate": bitrate_bps / 1000,
            "videocodecid": float(_VIDEO_CODEC_IDS[codec]),
            "encoder": ENCODER,
        }
    )
