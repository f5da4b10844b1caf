"""Luma of frames in host memory, and of keyframes decoded for themselves (IO: libavcodec)."""

import av
import av.error
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from common.codecs.table import CodecConfig
from common.errors import DecodeFailed
from worker.devices.software.decode import DECODER_OPTIONS
from worker.quality.ssim import Luma


def luma_of(frame: VideoFrame) -> Luma:
    """A view of a frame's luma, 8 bits a sample: it keeps the frame's memory."""
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: frame.height, : frame.width]


def decode_keyframe(config: CodecConfig, unit: bytes, width: int, height: int) -> Luma:
    """Decode one IDR picture of a rendition, with a decoder that is gone afterwards.

    `unit` is an `EncodedUnit`'s data, `width` and `height` those of the rendition. Raises
    DecodeFailed.
    """
    name, options = DECODER_OPTIONS[config.codec]
    try:
        context = av.CodecContext.create(name, "r")
        assert isinstance(context, VideoCodecContext)
        context.extradata = config.encode()
        context.thread_count = 1
        most = 2 * (width + 64) * (height + 64)
        context.options = {"max_pixels": str(most), **options}
        frames = [*context.decode(av.Packet(unit)), *context.decode(None)]
    except (av.error.FFmpegError, ValueError) as error:
        raise DecodeFailed(f"a keyframe of {config.codec.label}: {error}") from error
    if len(frames) != 1:
        raise DecodeFailed(f"a keyframe of {config.codec.label} gave {len(frames)} pictures")
    if frames[0].format.components[0].bits != 8:
        raise DecodeFailed(f"a keyframe came out as {frames[0].format.name}")
    return luma_of(frames[0])
