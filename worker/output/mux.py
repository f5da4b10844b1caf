"""From coded pictures of a rendition to the FLV tag bodies that egress serves. Pure.

Each rendition has an onMetaData of its own (FLV 10.1 E.5): the publisher's would tell of another
size and rate. Of audio, which never comes here, it says nothing.
"""

from fractions import Fraction

from common.codecs.h264 import AvcConfig, join_avcc
from common.config.ladder import RenditionFormat
from common.flv.on_metadata import video_metadata
from common.flv.video import avc_nalus, avc_sequence_header
from common.ipc.media_messages import RenditionVideo
from common.media.units import VideoCodec


def describe(rendition: RenditionFormat, fps: Fraction) -> RenditionVideo:
    """What the rendition's pictures are."""
    return RenditionVideo(
        VideoCodec.H264,
        rendition.width,
        rendition.height,
        rendition.bitrate_bps,
        fps.numerator,
        fps.denominator,
    )


def metadata(rendition: RenditionFormat, fps: Fraction) -> bytes:
    """The body of the rendition's onMetaData data message."""
    return video_metadata(
        VideoCodec.H264, rendition.width, rendition.height, fps, rendition.bitrate_bps
    )


def sequence_header(config: AvcConfig) -> bytes:
    """The tag body with the rendition's parameter sets."""
    return avc_sequence_header(config.encode())


def parameter_sets(config: AvcConfig) -> bytes:
    """The same as units to stand ahead of a picture."""
    return join_avcc([*config.sps, *config.pps])


def coded_picture(unit: bytes, is_idr: bool, ahead: bytes = b"") -> bytes:
    """The tag body of an AVCC access unit with units in front; no B-frames, so PTS = DTS."""
    return avc_nalus(ahead + unit if ahead else unit, 0, is_idr)
