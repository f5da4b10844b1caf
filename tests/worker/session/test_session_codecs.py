"""Sessions of H.265 and AV1: what a source's codec is, no rendition shows."""

from dataclasses import replace
from fractions import Fraction

import pytest

from common.codecs.captions import caption_unit, captions_in
from common.codecs.h265 import NalType, slice_type
from common.config.ladder import Rendition
from common.flv.video import parse_video
from common.media.units import VideoCodec
from tests.kit.coded_video import CodedSpec, CodedVideo, coded_video, decoded
from tests.kit.scale_reference import ssim
from tests.kit.session_driver import (
    Driver,
    Source,
    SourceSpec,
    check,
    make_source,
    plane_of,
    template,
    transcode,
)

LADDER = (
    Rendition("big", 320, 180, 2_000_000, Fraction(30), "main", "p1"),
    Rendition("small", 160, 90, 1_000_000, Fraction(15), "baseline", "p1"),
)
SPEC = CodedSpec(VideoCodec.H265, 320, 180, frames=45, fps=Fraction(30), gop=20)
SPECS = (
    SPEC,
    replace(SPEC, b_frames=3),
    replace(SPEC, codec=VideoCodec.AV1),
    replace(SPEC, codec=VideoCodec.AV1, parameters=("pred-struct=2", "rc=1")),
)


def source(made: CodedVideo) -> Source:
    return Source(made.record, made.units, made.spec.codec)


@pytest.mark.parametrize("spec", SPECS)
def test_each_picture_comes_at_its_time_and_keyframes_are_aligned(spec: CodedSpec) -> None:
    made = coded_video(spec)
    outputs = transcode(source(made), template(LADDER))
    check(outputs["big"], (320, 180))
    check(outputs["small"], (160, 90))
    assert outputs["big"].pts_ms == sorted(unit.pts_ms for unit in made.units)
    assert outputs["big"].keys_ms == outputs["small"].keys_ms == [0, 1000]


@pytest.mark.parametrize("spec", SPECS)
def test_renditions_look_as_ffmpeg_decodes_and_scales(spec: CodedSpec) -> None:
    made = coded_video(spec)
    outputs = transcode(source(made), template(LADDER))
    wanted = {frame.pts: frame for frame in decoded(made)}
    for name, (width, height) in (("big", (320, 180)), ("small", (160, 90))):
        for frame in outputs[name].decode():
            right = wanted[frame.pts].reformat(width, height, interpolation="BICUBIC")
            assert ssim(plane_of(frame, 0), plane_of(right, 0)) >= 0.98


MIXED = (
    Rendition("big", 320, 180, 2_000_000, Fraction(30), "main", "p1", codec=VideoCodec.H265),
    Rendition("web", 320, 180, 1_900_000, Fraction(15), "main", "p4", codec=VideoCodec.AV1),
    Rendition("small", 160, 90, 1_000_000, Fraction(15), "main", "p1"),
)


@pytest.mark.parametrize("codec", [VideoCodec.H264, VideoCodec.H265, VideoCodec.AV1])
def test_renditions_of_every_codec_have_the_same_times_keyframes_and_pictures(
    codec: VideoCodec,
) -> None:
    made = coded_video(replace(SPEC, codec=codec, b_frames=2 if codec is VideoCodec.H265 else 0))
    outputs = transcode(source(made), template(MIXED))
    assert {
        name: {parse_video(header).codec for header in output.headers}
        for name, output in outputs.items()
    } == {"big": {VideoCodec.H265}, "web": {VideoCodec.AV1}, "small": {VideoCodec.H264}}
    assert outputs["big"].pts_ms == sorted(unit.pts_ms for unit in made.units)
    assert outputs["web"].pts_ms == outputs["small"].pts_ms == outputs["big"].pts_ms[::2]
    assert [outputs[name].keys_ms for name in outputs] == [[0, 1000]] * 3
    wanted = {frame.pts: frame for frame in decoded(made)}
    for name, (width, height) in (("big", (320, 180)), ("web", (320, 180)), ("small", (160, 90))):
        check(outputs[name], (width, height))
        for frame in outputs[name].decode():
            right = wanted[frame.pts].reformat(width, height, interpolation="BICUBIC")
            assert ssim(plane_of(frame, 0), plane_of(right, 0)) >= 0.98


def test_captions_stay_on_their_pictures_in_renditions_of_every_codec() -> None:
    plain = make_source(SourceSpec(frames=21))
    units = [
        replace(unit, data=caption_unit(VideoCodec.H264, bytes((0xFC, 0x20, index))) + unit.data)
        for index, unit in enumerate(plain.units)
    ]
    outputs = transcode(replace(plain, units=tuple(units)), template(MIXED))
    for name, codec in (("big", VideoCodec.H265), ("web", VideoCodec.AV1)):
        find = captions_in(codec)
        found = [find(unit, 4) for unit in outputs[name].units()]
        assert b"".join(found) == b"".join(bytes((0xFC, 0x20, index)) for index in range(21))
        assert all(found)
        check(outputs[name], (320, 180))


def test_leading_pictures_of_the_keyframe_that_is_begun_with_are_left_out() -> None:
    made = coded_video(replace(SPEC, b_frames=3))
    kinds = [slice_type(unit.data, 4) for unit in made.units]
    begin = kinds.index(NalType.CRA)
    joined = replace(source(made), units=made.units[begin:])
    leading = {
        unit.pts_ms
        for unit, kind in zip(made.units, kinds, strict=True)
        if kind in (NalType.RASL_N, NalType.RASL_R) and unit in joined.units
    }
    assert leading
    outputs = transcode(joined, template(LADDER))
    check(outputs["big"], (320, 180))
    first = made.units[begin].pts_ms
    later = {pts for pts in leading if pts > made.units[begin + 8].pts_ms}
    assert outputs["big"].pts_ms == sorted(
        unit.pts_ms for unit in joined.units if unit.pts_ms >= first
    )
    assert all(pts in outputs["big"].pts_ms for pts in later)


@pytest.mark.parametrize("codec", [VideoCodec.H265, VideoCodec.AV1])
def test_a_source_that_changes_its_codec_goes_on(codec: VideoCodec) -> None:
    first = make_source(SourceSpec(frames=20))
    made = coded_video(replace(SPEC, codec=codec, frames=20))
    later = tuple(
        replace(unit, dts_ms=unit.dts_ms + 667, pts_ms=unit.pts_ms + 667) for unit in made.units
    )
    second = Source(made.record, later, codec)
    with Driver(first, template(LADDER)) as driver:
        driver.feed(first)
        driver.session.put_header(second.record, codec)
        driver.feed(second)
        driver.session.put_header(first.record, VideoCodec.H264)
        driver.feed(Source(first.record, make_source(SourceSpec(frames=5, start_ms=1334)).units))
        outputs = driver.finish()
    check(outputs["big"], (320, 180))
    assert len(outputs["big"].pts_ms) == 45
    assert outputs["big"].pts_ms == sorted(outputs["big"].pts_ms)
    assert 667 in outputs["big"].keys_ms
    assert 1334 in outputs["big"].keys_ms


@pytest.mark.parametrize("spec", SPECS[1:3])
@pytest.mark.parametrize("cut", [0, 3, 40])
def test_a_broken_unit_costs_the_pictures_up_to_the_next_keyframe(
    spec: CodedSpec, cut: int
) -> None:
    made = coded_video(spec)
    units = list(made.units)
    units[5] = replace(units[5], data=units[5].data[:cut])
    outputs = transcode(Source(made.record, tuple(units), spec.codec), template(LADDER))
    check(outputs["big"], (320, 180))
    key_ms = next(unit.pts_ms for unit in units[6:] if unit.is_key)
    assert set(outputs["big"].pts_ms) >= {u.pts_ms for u in units if u.pts_ms >= key_ms}


@pytest.mark.parametrize(
    ("codec", "record", "words"),
    [
        (VideoCodec.H265, b"\x01", "HEVC configuration of 1 bytes"),
        (VideoCodec.H265, bytes(23), "no SPS"),
        (VideoCodec.AV1, bytes.fromhex("81040c00"), "no sequence header"),
        (VideoCodec.VP9, b"", "VP9 is not decoded here"),
    ],
)
def test_what_cannot_be_opened_ends_with_words(
    codec: VideoCodec, record: bytes, words: str
) -> None:
    with Driver(Source(record, (), codec), template()) as driver:
        driver.run()
        assert driver.ended is not None
        assert words in driver.ended.reason


HDR = (
    CodedSpec(
        VideoCodec.H265,
        320,
        180,
        frames=20,
        fps=Fraction(30),
        pixel_format="yuv420p10le",
        colour=(9, 16, 9),
    ),
    CodedSpec(
        VideoCodec.AV1,
        320,
        180,
        frames=20,
        fps=Fraction(30),
        pixel_format="yuv420p10le",
        colour=(9, 18, 9),
    ),
)


@pytest.mark.parametrize("spec", [*HDR, replace(HDR[0], colour=(1, 1, 1))])
def test_renditions_of_ten_bits_and_hdr_are_sdr_of_eight(spec: CodedSpec) -> None:
    made = coded_video(spec)
    outputs = transcode(source(made), template(LADDER))
    for name, size in (("big", (320, 180)), ("small", (160, 90))):
        check(outputs[name], size)
        frame = outputs[name].decode()[0]
        assert (frame.color_primaries, frame.color_trc, frame.colorspace) == (1, 1, 1)
        assert frame.color_range == 1
    assert outputs["big"].pts_ms == [unit.pts_ms for unit in made.units]
