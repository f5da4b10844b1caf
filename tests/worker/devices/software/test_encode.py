"""libx264 as an encoder: no delay, keyframes where asked, parameter sets apart."""

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame

from common.codecs.h264 import AvcConfig, NalType, nal_type, parse_sps, split_avcc
from common.config.ladder import RateControl, RenditionFormat
from common.errors import EncodeFailed
from tests.kit.session_driver import SourceSpec, make_source, pattern
from worker.devices.backend import EncodedUnit
from worker.devices.software.decode import MILLISECONDS
from worker.devices.software.encode import X264_PRESETS, X264Encoder

RENDITION = RenditionFormat(
    "test", 320, 180, 0, 0, 320, 180, Fraction(30), 300_000, 1000, 2000, "main", "p3"
)
SOURCE = make_source(SourceSpec(frames=1))
SPS = parse_sps(AvcConfig.parse(SOURCE.record).sps[0])


class HostFrame:
    """A frame that is in host memory already."""

    def __init__(self, frame: VideoFrame, pts_ms: int) -> None:
        self.pts_ms = pts_ms
        self._frame = frame
        frame.pts = pts_ms
        frame.time_base = MILLISECONDS

    def prepare(self) -> None:
        """Nothing is left to do."""

    def video_frame(self) -> VideoFrame:
        return self._frame


def encoder(rendition: RenditionFormat = RENDITION, pixel_format: str = "yuv420p") -> X264Encoder:
    return X264Encoder(rendition, SPS, Fraction(30), pixel_format=pixel_format)


def encode(
    machine: X264Encoder, frames: int = 30, keys: tuple[int, ...] = (0,)
) -> list[EncodedUnit]:
    spec = SourceSpec()
    units = []
    for index in range(frames):
        frame = HostFrame(pattern(spec, index), spec.pts_ms(index))
        given = machine.encode(frame, force_idr=index in keys)
        assert len(given) == 1, "each picture out of the call that took its frame in"
        units += given
    assert machine.flush() == []
    return units


def decode(config: AvcConfig, units: list[EncodedUnit]) -> list[VideoFrame]:
    context = av.CodecContext.create("h264", "r")
    context.extradata = config.encode()
    context.options = {"err_detect": "explode"}
    frames = []
    for unit in units:
        packet = av.Packet(unit.data)
        packet.pts = unit.pts_ms
        frames += context.decode(packet)
    return frames + context.decode(None)


def test_keyframes_are_where_they_are_asked_for_and_nowhere_else() -> None:
    machine = encoder()
    units = encode(machine, 40, keys=(0, 7, 31))
    assert [index for index, unit in enumerate(units) if unit.is_idr] == [0, 7, 31]
    assert [unit.pts_ms for unit in units] == [SourceSpec().pts_ms(index) for index in range(40)]


def test_a_cut_to_another_scene_makes_no_keyframe() -> None:
    machine = encoder()
    rng = np.random.default_rng(1)
    for index in range(6):
        noise = rng.integers(16, 235, (270, 320), dtype=np.uint8)
        frame = HostFrame(VideoFrame.from_ndarray(noise, format="yuv420p"), index * 33)
        (unit,) = machine.encode(frame, force_idr=index == 0)
        assert unit.is_idr == (index == 0)


def test_units_hold_slices_only_and_the_config_the_parameter_sets() -> None:
    machine = encoder()
    for unit in encode(machine, 5, keys=(0, 3)):
        (nal,) = split_avcc(unit.data)
        assert nal_type(nal) == (NalType.IDR if unit.is_idr else NalType.SLICE)
    info = parse_sps(machine.config.sps[0])
    assert (info.width, info.height, info.reorder_frames) == (320, 180, 0)
    assert info.fps == 30


@pytest.mark.parametrize(("profile", "number"), [("baseline", 66), ("main", 77), ("high", 100)])
@pytest.mark.parametrize("preset", sorted(X264_PRESETS))
def test_every_profile_comes_out_of_every_preset(profile: str, number: int, preset: str) -> None:
    machine = encoder(replace(RENDITION, profile=profile, preset=preset))
    assert machine.config.profile == number
    units = encode(machine, 3)
    assert len(decode(machine.config, units)) == 3


def test_frames_from_elsewhere_may_be_nv12() -> None:
    machine = encoder(pixel_format="nv12")
    for index in range(5):
        frame = pattern(SourceSpec(), index).reformat(format="nv12")
        (unit,) = machine.encode(HostFrame(frame, index * 33), force_idr=index == 0)
        assert unit.pts_ms == index * 33


def test_colour_and_range_are_carried() -> None:
    sps = replace(SPS, colour_primaries=1, colour_transfer=1, colour_matrix=1, full_range=True)
    machine = X264Encoder(RENDITION, sps, Fraction(30), pixel_format="yuvj420p")
    info = parse_sps(machine.config.sps[0])
    assert (info.colour_primaries, info.colour_transfer, info.colour_matrix) == (1, 1, 1)
    assert info.full_range
    assert not parse_sps(encoder().config.sps[0]).full_range


@pytest.mark.parametrize("fps", [10, 25, 30, 60])
def test_the_bitrate_is_kept_at_every_rate(fps: int) -> None:
    rendition = replace(RENDITION, bitrate_bps=400_000, preset="p1")
    machine = X264Encoder(rendition, SPS, Fraction(fps), pixel_format="yuv420p")
    rng = np.random.default_rng(3)
    scene = rng.integers(40, 200, (270 * 2, 320 * 2), dtype=np.uint8)
    size = 0
    for index in range(6 * fps):
        view = np.ascontiguousarray(scene[index % 200 : index % 200 + 270, index % 300 :][:, :320])
        frame = HostFrame(VideoFrame.from_ndarray(view, format="yuv420p"), index * 1000 // fps)
        (unit,) = machine.encode(frame, force_idr=index % (2 * fps) == 0)
        size += len(unit.data)
    assert size * 8 / 6 == pytest.approx(400_000, rel=0.1)


def bytes_of_a_hard_scene(rendition: RenditionFormat) -> int:
    """Coded bytes of two seconds of noise after four seconds of nearly nothing."""
    machine = encoder(rendition)
    rng = np.random.default_rng(5)
    easy = np.full((270, 320), 90, np.uint8)
    sizes = []
    for index in range(180):
        view = easy if index < 120 else rng.integers(0, 255, (270, 320), dtype=np.uint8)
        frame = HostFrame(VideoFrame.from_ndarray(view, format="yuv420p"), index * 33)
        (unit,) = machine.encode(frame, force_idr=index == 0)
        sizes.append(len(unit.data))
    return sum(sizes[120:])


def test_vbr_spends_on_a_hard_scene_what_cbr_may_not_and_no_more_than_its_peak() -> None:
    cbr = replace(RENDITION, bitrate_bps=400_000, vbv_ms=500, preset="p1")
    vbr = replace(cbr, rate_control=RateControl.VBR, maxrate_bps=1_200_000)
    held, free = bytes_of_a_hard_scene(cbr), bytes_of_a_hard_scene(vbr)
    assert held * 8 <= 400_000 * (2 + 0.5) * 1.1  # two seconds, and a full buffer
    assert held * 8 * 1.5 < free * 8 <= 1_200_000 * (2 + 0.5) * 1.1


def test_what_x264_does_not_take_fails_with_its_reason() -> None:
    with pytest.raises(EncodeFailed, match="test"):
        encoder(replace(RENDITION, profile="nonsense"))
