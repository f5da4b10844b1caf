"""Real streams of every video codec, coded in this process: records and units as FLV has them."""

import io
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from typing import Any

import av
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from common.media.pictures import PictureFormat
from common.media.units import VideoCodec
from tests.kit.clips import video_frame
from tests.kit.coded import CodedUnit

ENCODERS: dict[VideoCodec, tuple[str, dict[str, str]]] = {
    VideoCodec.H264: ("libx264", {"preset": "ultrafast", "x264-params": "threads=1"}),
    VideoCodec.H265: ("libx265", {"preset": "ultrafast"}),
    VideoCodec.AV1: ("libsvtav1", {"preset": "10"}),
}
DECODERS = {VideoCodec.H264: "h264", VideoCodec.H265: "hevc", VideoCodec.AV1: "libdav1d"}
_QUIET = {
    VideoCodec.H265: ("x265-params", "pools=none:frame-threads=1:log-level=none"),
    VideoCodec.AV1: ("svtav1-params", "lp=1:pred-struct=1:rc=2"),
}


PLAIN_PICTURES = PictureFormat(
    width=640,
    height=360,
    sar=Fraction(4, 3),
    profile=1,
    compat=0,
    level=30,
    fps=Fraction(25),
    reorder_frames=0,
    interlaced=False,
    chroma_format=1,
    bit_depth=8,
    bit_depth_chroma=8,
    full_range=True,
    colour_primaries=9,
    colour_transfer=16,
    colour_matrix=9,
)


@dataclass(frozen=True)
class CodedSpec:
    """What is to be coded. `parameters` are the encoder library's own."""

    codec: VideoCodec
    width: int = 192
    height: int = 108
    frames: int = 30
    fps: Fraction = Fraction(25)
    gop: int = 12
    b_frames: int = 0
    pixel_format: str = "yuv420p"
    colour: tuple[int, int, int] = (2, 2, 2)  # primaries, transfer, matrix
    is_full_range: bool = False
    sar: Fraction = Fraction(1)
    parameters: tuple[str, ...] = ()
    bitrate_bps: int = 400_000


@dataclass(frozen=True)
class CodedVideo:
    """What came of it, in the order of decoding; times in ms."""

    spec: CodedSpec
    record: bytes
    units: tuple[CodedUnit, ...]
    frames: tuple[VideoFrame, ...] = field(compare=False)  # as they were given to the encoder


@cache
def coded_video(spec: CodedSpec) -> CodedVideo:
    """Code a moving picture."""
    frames = []
    for number in range(spec.frames):
        frame = video_frame(number, spec.width, spec.height)
        if spec.pixel_format != "yuv420p":
            frame = frame.reformat(format=spec.pixel_format)
        frame.pts, frame.time_base = number, 1 / spec.fps
        frames.append(frame)
    return code(spec, frames)


def code(spec: CodedSpec, frames: list[VideoFrame]) -> CodedVideo:
    """Code these frames, whose times are set."""
    written = io.BytesIO()
    with av.open(written, "w", "matroska") as container:
        stream = _stream(container, spec)
        for frame in [*frames, None]:
            container.mux(stream.encode(frame))
    written.seek(0)
    with av.open(written, "r", "matroska") as container:
        found = container.streams.video[0]
        record = bytes(found.codec_context.extradata or b"")
        packets = [packet for packet in container.demux(found) if packet.size]
    # Matroska has the times of showing alone: what is decoded first, is so a picture earlier
    shown = sorted(_ms(packet.pts, packet.time_base) for packet in packets)
    first = _ms(packets[0].pts, packets[0].time_base)
    ahead = max(
        (at - _ms(packet.pts, packet.time_base) for at, packet in zip(shown, packets, strict=True)),
        default=0,
    )
    units = [
        CodedUnit(
            dts_ms=at - max(0, ahead) - first,
            pts_ms=_ms(packet.pts, packet.time_base) - first,
            is_key=packet.is_keyframe,
            data=bytes(packet),
        )
        for at, packet in zip(shown, packets, strict=True)
    ]
    return CodedVideo(spec, record, tuple(units), tuple(frames))


def _stream(container: Any, spec: CodedSpec) -> Any:
    name, options = ENCODERS[spec.codec]
    options = dict(options)
    if spec.codec in _QUIET:
        key, quiet = _QUIET[spec.codec]
        options[key] = ":".join((quiet, *spec.parameters))
    stream = container.add_stream(name, rate=spec.fps, options=options)
    stream.width, stream.height = spec.width, spec.height
    stream.pix_fmt = spec.pixel_format
    stream.bit_rate = spec.bitrate_bps
    context = stream.codec_context
    context.gop_size = spec.gop
    context.max_b_frames = spec.b_frames
    context.sample_aspect_ratio = spec.sar
    context.color_primaries, context.color_trc, context.colorspace = spec.colour
    context.color_range = 2 if spec.is_full_range else 1
    return stream


def _ms(pts: int | None, time_base: Fraction | None) -> int:
    assert pts is not None
    assert time_base is not None
    return round(1000 * pts * time_base)


def decoded(made: CodedVideo) -> list[VideoFrame]:
    """What FFmpeg's own decoder makes of it, in the order of showing."""
    context = av.CodecContext.create(DECODERS[made.spec.codec], "r")
    assert isinstance(context, VideoCodecContext)
    context.extradata = made.record
    frames: list[VideoFrame] = []
    for unit in made.units:
        packet = av.Packet(unit.data)
        packet.pts, packet.dts, packet.time_base = unit.pts_ms, unit.dts_ms, Fraction(1, 1000)
        frames += context.decode(packet)
    frames += context.decode(None)
    return frames
