"""From coded pictures of a rendition to the FLV tag bodies that egress serves. Pure.

Each rendition has an onMetaData of its own (FLV 10.1 E.5): the publisher's would tell of another
size and rate. Of audio, which never comes here, it says nothing.
"""

from fractions import Fraction

from common.codecs.av1 import Av1Config, with_ahead
from common.codecs.h264 import AvcConfig, join_avcc
from common.codecs.h265 import HevcConfig
from common.codecs.table import VIDEO_CODECS, CodecConfig
from common.config.ladder import RenditionFormat
from common.flv.on_metadata import video_metadata
from common.flv.video import picture_body, video_header_body
from common.ipc.media_messages import RenditionVideo
from common.media.units import VideoCodec


def describe(rendition: RenditionFormat, fps: Fraction) -> RenditionVideo:
    """What the rendition's pictures are."""
    return RenditionVideo(
        rendition.codec,
        rendition.width,
        rendition.height,
        rendition.bitrate_bps,
        fps.numerator,
        fps.denominator,
    )


def metadata(rendition: RenditionFormat, fps: Fraction) -> bytes:
    """The body of the rendition's onMetaData data message."""
    return video_metadata(
        rendition.codec, rendition.width, rendition.height, fps, rendition.bitrate_bps
    )


def sequence_header(config: CodecConfig) -> bytes:
    """The tag body with the rendition's configuration record. Raises ProtocolError."""
    return video_header_body(VIDEO_CODECS[config.codec].parse_config(config.encode()))


def parameter_sets(config: CodecConfig) -> bytes:
    """The same as units to stand ahead of a picture; AV1's keyframes have theirs already."""
    match config:
        case AvcConfig():
            return join_avcc([*config.sps, *config.pps])
        case HevcConfig():
            return join_avcc([*config.vps, *config.sps, *config.pps])
        case Av1Config():
            return b""


def coded_picture(
    unit: bytes, is_idr: bool, ahead: bytes = b"", codec: VideoCodec = VideoCodec.H264
) -> bytes:
    """The tag body of a unit with others in front; no B-frames, so PTS = DTS. Raises Av1Error."""
    if ahead:
        unit = with_ahead(unit, ahead) if codec is VideoCodec.AV1 else ahead + unit
    return picture_body(codec, unit, is_idr)
