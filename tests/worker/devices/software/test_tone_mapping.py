"""worker/devices/software/tone_mapping.py: HDR scaled on the host against the float64 reference."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from av.video.frame import VideoFrame

from common.config.ladder import Rendition, SourceFormat, Template, fit_ladder
from tests.kit.coded_video import PLAIN_PICTURES
from tests.kit.scale_reference import psnr
from tests.kit.session_driver import plane_of
from tests.kit.tone_reference import hdr_picture, sdr_planes
from worker.devices.software.decode import SoftPicture
from worker.devices.software.scale import SoftScaler
from worker.devices.tone_mapping import BT709, HLG, PQ

SIZE = (640, 360)


def hdr_frame(transfer: int, *, seed: int = 0) -> VideoFrame:
    frame = VideoFrame(*SIZE, "yuv420p10le")
    for plane, samples in zip(frame.planes, hdr_picture(*SIZE, seed), strict=True):
        padded = np.zeros((plane.height, plane.line_size // 2), np.uint16)
        padded[:, : plane.width] = samples
        plane.update(padded.tobytes())
    frame.pts, frame.time_base = 0, Fraction(1, 1000)
    frame.colorspace, frame.color_primaries, frame.color_trc = 9, 9, transfer
    frame.color_range = 1
    return frame


def scaled(frame: VideoFrame, *sizes: tuple[int, int]) -> list[VideoFrame]:
    pictures = replace(PLAIN_PICTURES, width=SIZE[0], height=SIZE[1], sar=Fraction(1), bit_depth=10)
    renditions = tuple(Rendition(f"{h}p", w, h, 400_000) for w, h in sizes)
    ladder = fit_ladder(Template("live", renditions), SourceFormat(*SIZE))
    scaler = SoftScaler(ladder, pictures)
    picture = SoftPicture(frame, 0, Fraction(1), False)
    return [surface.video_frame() for surface in scaler.scale(picture, range(len(sizes)))]


@pytest.mark.parametrize("transfer", [PQ, HLG, BT709])
@pytest.mark.parametrize("seed", [0, 2])
def test_tones_are_mapped_as_the_reference_has_them(transfer: int, seed: int) -> None:
    (made,) = scaled(hdr_frame(transfer, seed=seed), SIZE)
    assert made.format.name == "yuv420p"
    wanted = sdr_planes(hdr_picture(*SIZE, seed), transfer)
    for index, plane in enumerate(wanted):
        assert psnr(plane_of(made, index), plane) >= 45


def test_a_smaller_rendition_is_of_the_mapped_picture_too() -> None:
    large, small = scaled(hdr_frame(PQ), SIZE, (320, 180))
    again = large.reformat(320, 180, interpolation="BICUBIC")
    assert psnr(plane_of(small, 0), plane_of(again, 0)) >= 45


def test_ten_bits_of_sdr_are_rounded_and_nothing_more() -> None:
    frame = hdr_frame(BT709)
    frame.color_primaries, frame.colorspace = 1, 1
    (made,) = scaled(frame, SIZE)
    for index, plane in enumerate(hdr_picture(*SIZE)):
        assert psnr(plane_of(made, index), plane / 4) >= 50
