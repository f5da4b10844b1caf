"""A small JPEG of a decoded picture (IO: libavcodec's mjpeg, libswscale)."""

from fractions import Fraction
from typing import Final

import av
import av.error
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation

from common.errors import DecodeFailed

_QUALITY: Final = "5"  # quantiser: 10 to 20 kB for 320x180


def jpeg_of(frame: VideoFrame, width: int, height: int) -> bytes:
    """A picture as a JPEG of this size. Raises DecodeFailed."""
    try:
        small = frame.reformat(
            width, height, format="yuvj420p", interpolation=Interpolation.BILINEAR
        )
        encoder = av.CodecContext.create("mjpeg", "w")
        assert isinstance(encoder, VideoCodecContext)
        encoder.width, encoder.height = width, height
        encoder.pix_fmt = "yuvj420p"
        encoder.time_base = Fraction(1, 1000)
        encoder.options = {"qmin": _QUALITY, "qmax": _QUALITY}
        encoder.thread_count = 1
        packets = [*encoder.encode(small), *encoder.encode(None)]
    except (av.error.FFmpegError, ValueError) as error:
        raise DecodeFailed(f"no snapshot: {error}") from error
    return b"".join(bytes(packet) for packet in packets)
