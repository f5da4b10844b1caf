"""Keyframes decoded for themselves."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from av.video.frame import VideoFrame

from common.config.ladder import RenditionFormat
from common.errors import DecodeFailed
from common.media.units import VideoCodec
from tests.kit.clips import video_frame
from tests.kit.coded_video import PLAIN_PICTURES
from worker.devices.backend import EncodedUnit
from worker.devices.software.decode import MILLISECONDS
from worker.devices.software.encode import SoftEncoder
from worker.devices.software.luma import decode_keyframe, luma_of
from worker.quality.ssim import compare

WIDTH, HEIGHT = 192, 108
FORMAT = RenditionFormat(
    "108p", WIDTH, HEIGHT, 0, 0, WIDTH, HEIGHT, None, 800_000, 1000, 2000, "main", "p1"
)
PICTURES = replace(PLAIN_PICTURES, width=WIDTH, height=HEIGHT, full_range=False)


class Held:
    """A surface whose frame is there."""

    def __init__(self, frame: VideoFrame, pts_ms: int) -> None:
        self.frame, self.pts_ms = frame, pts_ms

    def prepare(self) -> None: ...

    def video_frame(self) -> VideoFrame:
        self.frame.pts, self.frame.time_base = self.pts_ms, MILLISECONDS
        return self.frame


def coded(codec: VideoCodec, pixel_format: str) -> tuple[SoftEncoder, VideoFrame, EncodedUnit]:
    """A keyframe behind others, and the frame that it was made of."""
    encoder = SoftEncoder(
        replace(FORMAT, codec=codec), PICTURES, Fraction(25), pixel_format=pixel_format
    )
    for number in range(3):
        frame = video_frame(number, WIDTH, HEIGHT).reformat(format=pixel_format)
        (unit,) = encoder.encode(Held(frame, 40 * number), force_idr=number != 1)  # type: ignore[arg-type]
    assert unit.is_idr
    return encoder, frame, unit


@pytest.mark.parametrize("codec", [VideoCodec.H264, VideoCodec.H265, VideoCodec.AV1])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "nv12"])
def test_a_keyframe_of_every_codec_is_like_its_picture(
    codec: VideoCodec, pixel_format: str
) -> None:
    encoder, frame, unit = coded(codec, pixel_format)
    made = decode_keyframe(encoder.config, unit.data, WIDTH, HEIGHT)
    assert made.shape == (HEIGHT, WIDTH)
    found = compare(luma_of(frame), made)
    assert found.ssim > 0.8
    assert found.psnr_db > 25
    other = luma_of(video_frame(77, WIDTH, HEIGHT).reformat(format="gray"))
    assert compare(other, made).ssim < found.ssim


def test_what_is_no_keyframe_is_refused() -> None:
    encoder, _, unit = coded(VideoCodec.H264, "yuv420p")
    for data in (unit.data[: len(unit.data) // 40], b"\x00\x00\x00\x02\x41\x9a", b"nonsense"):
        with pytest.raises(DecodeFailed, match="keyframe"):
            decode_keyframe(encoder.config, data, WIDTH, HEIGHT)


def test_a_larger_picture_than_the_rendition_takes_no_memory() -> None:
    encoder, _, unit = coded(VideoCodec.H264, "yuv420p")
    with pytest.raises(DecodeFailed):
        decode_keyframe(encoder.config, unit.data, 16, 16)


def test_luma_has_no_padding() -> None:
    frame = VideoFrame(130, 74, "yuv420p")
    assert luma_of(frame).shape == (74, 130)
    assert frame.planes[0].line_size > 130
    assert luma_of(frame).dtype == np.uint8
