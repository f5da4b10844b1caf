"""SPS reading against what libx264 was told to write and what libavcodec reads from it."""

from dataclasses import dataclass
from fractions import Fraction

import av
import pytest
from av.video.codeccontext import VideoCodecContext
from hypothesis import given, settings
from hypothesis import strategies as st

from common.codecs.bits import BitWriter
from common.codecs.h264 import (
    AvcConfig,
    NalType,
    join_avcc,
    nal_type,
    parameter_sets_in,
    split_annexb,
)
from common.codecs.h264_sps import SpsInfo, parse_sps, unescape
from common.errors import AvcError


@dataclass(frozen=True)
class Stream:
    """What to have encoded, and what the SPS must say."""

    name: str
    width: int
    height: int
    profile: int
    options: str = ""
    pix_fmt: str = "yuv420p"
    rate: Fraction = Fraction(25)
    sar: Fraction = Fraction(1)
    reorder: int = 0
    interlaced: bool = False
    chroma_format: int = 1
    bit_depth: int = 8


STREAMS = [
    Stream("1080p is 1088 cropped", 1920, 1080, 77, "bframes=0"),
    Stream("baseline", 640, 360, 66),
    Stream("main with B-frames", 1280, 720, 77, "bframes=2:b-pyramid=none", reorder=1),
    Stream("high with a B-pyramid", 1280, 720, 100, "bframes=3:b-pyramid=normal", reorder=2),
    Stream("29.97", 320, 240, 100, "bframes=0", rate=Fraction(30000, 1001)),
    Stream("PAL widescreen", 720, 576, 100, "bframes=0", sar=Fraction(16, 11)),
    Stream("a sample aspect ratio of its own", 320, 240, 100, "bframes=0", sar=Fraction(7, 5)),
    Stream("interlaced", 720, 576, 100, "bframes=0:tff=1", interlaced=True),
    Stream("interlaced 1080", 1920, 1080, 100, "bframes=0:tff=1", interlaced=True),
    Stream("4:2:2", 322, 242, 122, "bframes=0", "yuv422p", chroma_format=2),
    Stream("4:4:4", 321, 241, 244, "bframes=0", "yuv444p", chroma_format=3),
    Stream("10 bit", 320, 240, 110, "bframes=0", "yuv420p10le", bit_depth=10),
    Stream("HRD parameters before the reorder depth", 320, 240, 100,
           "bframes=0:nal-hrd=cbr:vbv-maxrate=1000:vbv-bufsize=1000:bitrate=1000"),
    Stream("scaling matrices", 320, 240, 100, "bframes=0:cqm=jvt"),
    Stream("level and size odd", 178, 146, 100, "bframes=0:level=4.1"),
]  # fmt: skip


# libx264 derives the profile of 8-bit 4:2:0 from the tools in use.
TOOLS = {66: "cabac=0:8x8dct=0", 77: "cabac=1:8x8dct=0"}


def encode(stream: Stream) -> bytes:
    """One picture of the stream, as Annex B, from libx264."""
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = stream.width, stream.height, stream.pix_fmt
    encoder.framerate, encoder.time_base = stream.rate, 1 / stream.rate
    encoder.sample_aspect_ratio = stream.sar
    encoder.options = {
        "preset": "ultrafast",
        "x264-params": f"{TOOLS.get(stream.profile, '8x8dct=1')}:{stream.options}",
    }
    frame = av.VideoFrame(stream.width, stream.height, stream.pix_fmt)
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode()])


def encode_sps(stream: Stream) -> bytes:
    return parameter_sets_in(split_annexb(encode(stream)))[0][0]


by_stream = pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)


@by_stream
def test_an_sps_from_x264_reads_as_it_was_asked_for(stream: Stream) -> None:
    info = parse_sps(encode_sps(stream))
    assert (info.width, info.height) == (stream.width, stream.height)
    assert (info.sar, info.fps) == (stream.sar, stream.rate)
    assert info.profile == stream.profile
    assert info.reorder_frames == stream.reorder
    assert info.interlaced == stream.interlaced
    assert (info.chroma_format, info.bit_depth) == (stream.chroma_format, stream.bit_depth)


@by_stream
def test_libavcodec_decodes_what_the_sps_says(stream: Stream) -> None:
    """The decoder gets its parameter sets from a record of ours only."""
    nals = split_annexb(encode(stream))
    sps, pps = parameter_sets_in(nals)
    info = parse_sps(sps[0])
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.extradata = AvcConfig.from_parameter_sets(sps, pps).encode()
    picture = join_avcc(nal for nal in nals if nal_type(nal) not in (NalType.SPS, NalType.PPS))
    (frame,) = [*decoder.decode(av.Packet(picture)), *decoder.decode(None)]
    assert (frame.width, frame.height) == (info.width, info.height)
    assert decoder.sample_aspect_ratio in (info.sar, None)
    assert decoder.framerate == info.fps
    components = frame.format.components
    assert components[0].bits == info.bit_depth
    assert (components[1].width, components[1].height) == (
        -(-info.width // (1 if info.chroma_format == 3 else 2)),
        -(-info.height // (2 if info.chroma_format == 1 else 1)),
    )


def test_colour_and_range_are_read() -> None:
    colours = "colorprim=bt709:transfer=smpte170m:colormatrix=bt470bg"
    stream = Stream("colour", 320, 240, 100, f"bframes=0:{colours}", "yuvj420p")
    info = parse_sps(encode_sps(stream))
    assert info.full_range
    assert (info.colour_primaries, info.colour_transfer, info.colour_matrix) == (1, 6, 5)
    limited = parse_sps(encode_sps(STREAMS[0]))
    assert not limited.full_range
    assert (limited.colour_primaries, limited.colour_transfer, limited.colour_matrix) == (2, 2, 2)


def test_emulation_prevention_bytes_are_removed_and_only_they() -> None:
    assert unescape(bytes.fromhex("67 0000 03 00 0000 03 01 03")) == bytes.fromhex(
        "67 0000 00 0000 01 03"
    )


def handmade(
    *, profile: int = 66, poc_type: int = 2, width_mbs: int = 20, crop: tuple[int, ...] = ()
) -> bytes:
    """An SPS without VUI, of 15 macroblock rows."""
    writer = BitWriter().bits(0x67, 8).bits(profile, 8).bits(0, 8).bits(30, 8)

    def ue(value: int) -> None:
        writer.bits(value + 1, 2 * (value + 1).bit_length() - 1)

    ue(0)
    ue(0)
    ue(poc_type)
    if poc_type == 1:
        writer.bits(0, 1)
        for value in (0, 0, 2, 0, 0):  # se(0) is written as ue(0)
            ue(value)
    ue(1)
    writer.bits(0, 1)
    ue(width_mbs - 1)
    ue(14)
    writer.bits(0b11, 2)
    writer.bits(1 if crop else 0, 1)
    for value in crop:
        ue(value)
    return writer.bits(0, 1).bits(1, 1).to_bytes()


def test_without_vui_what_it_would_say_is_unknown_or_inferred() -> None:
    info = parse_sps(handmade())
    assert (info.width, info.height, info.sar, info.fps) == (320, 240, Fraction(1), None)
    assert info.reorder_frames == 0  # picture order type 2 is decoding order


def test_picture_order_type_1_is_stepped_over() -> None:
    info = parse_sps(handmade(poc_type=1))
    assert (info.width, info.height, info.reorder_frames) == (320, 240, None)


def test_a_vui_cut_short_loses_only_what_it_says() -> None:
    sps = encode_sps(STREAMS[5])
    cut = [parse_sps_or_none(sps[:size]) for size in range(len(sps))]
    read = [info for info in cut if info is not None]
    assert read
    assert all((info.width, info.height) == (720, 576) for info in read)
    assert {info.fps for info in read} == {None, Fraction(25)}


def parse_sps_or_none(nal: bytes) -> SpsInfo | None:
    try:
        return parse_sps(nal)
    except AvcError:
        return None


@pytest.mark.parametrize(
    ("nal", "reason"),
    [
        (b"", "no SPS"),
        (b"\x68\xee\x3c\x80", "no SPS"),
        (b"\x67\x42\x00", "bits wanted"),
        (b"\x67" + bytes(5000), "exceeds 4096"),
        (handmade(poc_type=3), "picture order type 3"),
        (handmade(width_mbs=2000), "exceeds 16384"),
        (handmade(crop=(80, 80, 0, 0)), "cropping leaves a picture of 0x240"),
        (handmade(crop=(0, 0, 0, 1000)), "cropping leaves"),
    ],
)
def test_an_impossible_sps_is_refused_with_the_reason(nal: bytes, reason: str) -> None:
    with pytest.raises(AvcError, match=reason):
        parse_sps(nal)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.sampled_from([66, 77, 100, 244]))
def test_any_bytes_are_an_sps_or_an_avc_error(data: bytes, profile: int) -> None:
    info = parse_sps_or_none(b"\x67" + bytes((profile,)) + data)
    assert info is None or (info.width > 0 and info.height > 0)
