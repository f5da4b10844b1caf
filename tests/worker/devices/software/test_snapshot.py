"""Small JPEGs of decoded pictures."""

from fractions import Fraction
from io import BytesIO

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame

from common.codecs.h264 import AvcConfig, parse_sps
from tests.kit.session_driver import SourceSpec, make_source
from worker.devices.software.decode import SoftDecoder


def decoded(jpeg: bytes) -> VideoFrame:
    with av.open(BytesIO(jpeg), "r", format="mjpeg") as container:
        return next(container.decode(video=0))


def snapshots(spec: SourceSpec) -> tuple[bytes, VideoFrame]:
    """The snapshot of a picture in the middle, and that picture."""
    source = make_source(spec)
    config = AvcConfig.parse(source.record)
    machine = SoftDecoder(config, parse_sps(config.sps[0]))
    pictures = [
        picture
        for unit in source.units
        for picture in machine.decode(unit.data, unit.dts_ms, unit.pts_ms)
    ]
    picture = pictures[len(pictures) // 2]
    jpeg = machine.snapshot(picture)
    assert jpeg is not None
    return jpeg, picture.frame


@pytest.mark.parametrize(
    ("spec", "size"),
    [
        (SourceSpec(frames=10), (320, 180)),
        (SourceSpec(frames=10, width=1280, height=720), (320, 180)),
        (SourceSpec(frames=10, width=360, height=640), (180, 320)),
        (SourceSpec(frames=10, width=720, height=576, sar=Fraction(16, 11)), (320, 176)),
        (SourceSpec(frames=10, pixel_format="yuv422p10le"), (320, 180)),
    ],
)
def test_it_shows_the_picture_with_square_samples(spec: SourceSpec, size: tuple[int, int]) -> None:
    jpeg, frame = snapshots(spec)
    assert jpeg.startswith(b"\xff\xd8")
    assert len(jpeg) < 60_000
    shown = decoded(jpeg)
    assert (shown.width, shown.height) == size
    wanted = frame.reformat(*size, format="rgb24").to_ndarray().astype(int)
    found = shown.to_ndarray(format="rgb24").astype(int)
    assert np.abs(found - wanted).mean() < 12
