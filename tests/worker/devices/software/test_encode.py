"""libx264 as an encoder: no delay, keyframes where asked, parameter sets apart."""

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from common.codecs.av1 import Av1Config, TemporalUnit, read_unit
from common.codecs.h264 import AvcConfig, NalType, nal_type, parse_sps, split_avcc
from common.codecs.h265 import LAST_SLICE
from common.codecs.h265 import nal_type as hevc_nal_type
from common.codecs.table import VIDEO_CODECS, CodecConfig
from common.config.ladder import RateControl, RenditionFormat
from common.errors import EncodeFailed
from common.media.units import Colour, VideoCodec
from tests.kit.coded_video import DECODERS
from tests.kit.session_driver import SourceSpec, make_source, pattern, plane_of
from worker.devices.backend import EncodedUnit
from worker.devices.software import encode as encode_module
from worker.devices.software.decode import MILLISECONDS
from worker.devices.software.encode import SoftEncoder, encoded_here
from worker.devices.software.encoder_formats import FORMATS, X264_PRESETS
from worker.devices.software.luma import luma_of
from worker.quality.kept_luma import HostLuma

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

    def kept_luma(self) -> HostLuma:
        return HostLuma(luma_of(self._frame))


def encoder(rendition: RenditionFormat = RENDITION, pixel_format: str = "yuv420p") -> SoftEncoder:
    return SoftEncoder(rendition, SPS, Fraction(30), pixel_format=pixel_format)


def avc(machine: SoftEncoder) -> AvcConfig:
    assert isinstance(machine.config, AvcConfig)
    return machine.config


def encode(
    machine: SoftEncoder, frames: int = 30, keys: tuple[int, ...] = (0,)
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


def decode(config: CodecConfig, units: list[EncodedUnit]) -> list[VideoFrame]:
    context = av.CodecContext.create(DECODERS[config.codec], "r")
    assert isinstance(context, VideoCodecContext)
    context.extradata = config.encode()
    context.options = {"err_detect": "explode"}
    frames = []
    for unit in units:
        packet = av.Packet(unit.data)
        packet.pts = unit.pts_ms
        frames += context.decode(packet)
    return frames + context.decode(None)


OTHERS = [replace(RENDITION, codec=codec) for codec in (VideoCodec.H265, VideoCodec.AV1)]


@pytest.mark.parametrize("preset", ["p1", "p3"])
@pytest.mark.parametrize("rendition", OTHERS, ids=lambda one: str(one.codec))
def test_other_codecs_give_a_picture_for_each_and_keyframes_where_they_are_asked_for(
    rendition: RenditionFormat, preset: str
) -> None:
    machine = encoder(replace(rendition, preset=preset))
    units = encode(machine, 12, keys=(0, 5))
    assert [index for index, unit in enumerate(units) if unit.is_idr] == [0, 5]
    assert [unit.pts_ms for unit in units] == [SourceSpec().pts_ms(index) for index in range(12)]
    form = VIDEO_CODECS[rendition.codec]
    record = machine.config.encode()
    assert machine.config.codec is rendition.codec
    found = form.parse_config(record)
    assert (found.width, found.height, found.bit_depth) == (320, 180, 8)
    for unit in units:
        assert form.is_random_access(unit.data, record) == unit.is_idr
    frames = decode(machine.config, units)
    assert [frame.pts for frame in frames] == [unit.pts_ms for unit in units]


def test_h265_has_slices_alone_and_av1_its_sequence_header_in_each_keyframe() -> None:
    h265, av1 = map(encoder, OTHERS)
    for unit in encode(h265, 4, keys=(0, 2)):
        (nal,) = split_avcc(unit.data)
        assert hevc_nal_type(nal) <= LAST_SLICE
    assert isinstance(av1.config, Av1Config)
    for unit in encode(av1, 4, keys=(0, 2)):
        header = av1.config.sequence_header if unit.is_idr else b""
        assert read_unit(unit.data) == TemporalUnit(unit.is_idr, True, header, unit.data)


@pytest.mark.parametrize("is_full", [False, True])
@pytest.mark.parametrize("rendition", [RENDITION, *OTHERS], ids=lambda one: str(one.codec))
def test_every_codec_takes_what_scalers_make_in_its_range_and_colour(
    rendition: RenditionFormat, is_full: bool
) -> None:
    sps = replace(SPS, colour_primaries=1, colour_transfer=1, colour_matrix=1, full_range=is_full)
    frame = pattern(SourceSpec(), 3)
    luma = plane_of(frame, 0).astype(int)
    if is_full:
        frame = VideoFrame.from_ndarray(frame.to_ndarray(), format="yuvj420p")
    for pixel_format in (frame.format.name, "nv12"):
        given = frame
        if pixel_format == "nv12":
            given = frame.reformat(
                format="nv12", src_color_range=1 + is_full, dst_color_range=1 + is_full
            )
        rich = replace(rendition, bitrate_bps=5_000_000)
        machine = SoftEncoder(rich, sps, Fraction(30), pixel_format=pixel_format)
        units = machine.encode(HostFrame(given, 0), force_idr=True)
        colour = VIDEO_CODECS[rendition.codec].parse_config(machine.config.encode()).colour
        assert colour == Colour(1, 1, 1, is_full)
        (shown,) = decode(machine.config, units)
        assert abs(plane_of(shown, 0).astype(int) - luma).mean() < 3


def test_a_codec_without_an_encoder_in_this_build_fails_with_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    missing = replace(FORMATS[VideoCodec.AV1], library="libnothing")
    monkeypatch.setattr(encode_module, "FORMATS", {**FORMATS, VideoCodec.AV1: missing})
    assert encoded_here() == (VideoCodec.H264, VideoCodec.H265)
    with pytest.raises(EncodeFailed, match="libnothing"):
        encoder(OTHERS[1])


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
    info = parse_sps(avc(machine).sps[0])
    assert (info.width, info.height, info.reorder_frames) == (320, 180, 0)
    assert info.fps == 30


@pytest.mark.parametrize(("profile", "number"), [("baseline", 66), ("main", 77), ("high", 100)])
@pytest.mark.parametrize("preset", sorted(X264_PRESETS))
def test_every_profile_comes_out_of_every_preset(profile: str, number: int, preset: str) -> None:
    machine = encoder(replace(RENDITION, profile=profile, preset=preset))
    assert avc(machine).profile == number
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
    machine = SoftEncoder(RENDITION, sps, Fraction(30), pixel_format="yuvj420p")
    info = parse_sps(avc(machine).sps[0])
    assert (info.colour_primaries, info.colour_transfer, info.colour_matrix) == (1, 1, 1)
    assert info.full_range
    assert not parse_sps(avc(encoder()).sps[0]).full_range


@pytest.mark.parametrize(
    ("codec", "fps", "bitrate_bps"),
    [
        *[(VideoCodec.H264, fps, 400_000) for fps in (10, 25, 30, 60)],
        (VideoCodec.H265, 30, 400_000),
        (VideoCodec.AV1, 30, 1_500_000),  # of so much noise it takes a fifth more than 400,000
    ],
)
def test_the_bitrate_is_kept_at_every_rate(codec: VideoCodec, fps: int, bitrate_bps: int) -> None:
    rendition = replace(RENDITION, bitrate_bps=bitrate_bps, preset="p1", codec=codec)
    machine = SoftEncoder(rendition, SPS, Fraction(fps), pixel_format="yuv420p")
    rng = np.random.default_rng(3)
    scene = rng.integers(40, 200, (270 * 2, 320 * 2), dtype=np.uint8)
    size = 0
    for index in range(6 * fps):
        view = np.ascontiguousarray(scene[index % 200 : index % 200 + 270, index % 300 :][:, :320])
        frame = HostFrame(VideoFrame.from_ndarray(view, format="yuv420p"), index * 1000 // fps)
        (unit,) = machine.encode(frame, force_idr=index % (2 * fps) == 0)
        size += len(unit.data)
    assert size * 8 / 6 == pytest.approx(bitrate_bps, rel=0.1)


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


@pytest.mark.parametrize("codec", [VideoCodec.H264, VideoCodec.H265])
def test_quality_spends_less_on_an_easy_scene_and_never_more_than_the_bitrate(
    codec: VideoCodec,
) -> None:
    cbr = replace(RENDITION, bitrate_bps=400_000, vbv_ms=500, preset="p1", codec=codec)
    good = replace(cbr, rate_control=RateControl.QUALITY, quality=30)
    better = replace(good, quality=18)
    hard = bytes_of_a_hard_scene(good)
    assert hard * 8 <= 400_000 * (2 + 0.5) * 1.1  # two seconds, and a full buffer
    easy = [bytes_of_a_moving_scene(rendition) for rendition in (good, better, cbr)]
    assert easy[0] * 1.5 < easy[1]
    assert easy[0] * 1.5 < easy[2]


def bytes_of_a_moving_scene(rendition: RenditionFormat) -> int:
    """Of two seconds of a picture with some detail that moves a little."""
    machine = encoder(rendition)
    rows = np.arange(270)[:, None]
    size = 0
    for index in range(60):
        waves = 128 + 40 * np.sin((np.arange(320)[None, :] + index) / 9) * np.cos(rows / 5)
        view = np.asarray(waves, np.uint8)
        frame = HostFrame(VideoFrame.from_ndarray(view, format="yuv420p"), index * 33)
        for unit in machine.encode(frame, force_idr=index == 0):
            size += len(unit.data)
    return size


def test_what_x264_does_not_take_fails_with_its_reason() -> None:
    with pytest.raises(EncodeFailed, match="test"):
        encoder(replace(RENDITION, profile="nonsense"))
