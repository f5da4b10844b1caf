"""Pictures of H.265 and AV1, as sources and as renditions, beside FFmpeg's own: SSIM and bits.

A source of 1920x1080, 4 Mbit/s, goes through a session as a worker has it, without a farm and as
fast as it goes. Its renditions of 720p, one of each codec, are compared with the decoded and scaled
source, and so is what FFmpeg's own chain makes of it: coded by the same encoder at the same
bitrate, with keyframes at the same pictures.
TFARM_FOOTAGE names other footage than the generated.
"""

import os
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame

from common.config.ladder import Rendition
from common.media.units import VideoCodec
from tests.bench import footage
from tests.bench.report import Bench, Figure
from tests.kit.coded_video import DECODERS, CodedSpec, CodedVideo, code, decoded
from tests.kit.scale_reference import ssim
from tests.kit.session_driver import Source, plane_of, template, transcode

MOST_LESS = 0.002
SPEC = CodedSpec(
    VideoCodec.H265,
    1920,
    1080,
    frames=60,
    fps=Fraction(30),
    gop=30,
    b_frames=2,
    bitrate_bps=4_000_000,
)
SOURCES = (
    SPEC,
    replace(SPEC, codec=VideoCodec.AV1, b_frames=0),
    replace(SPEC, codec=VideoCodec.H264),
)
LADDER = (
    Rendition("h264", 1280, 720, 2_500_000),
    Rendition("h265", 1280, 720, 1_700_000, codec=VideoCodec.H265),
    Rendition("av1", 1280, 720, 1_700_000, codec=VideoCodec.AV1),
)


def pictures(path: Path, spec: CodedSpec) -> list[VideoFrame]:
    """The first pictures of footage, in the source's size."""
    frames: list[VideoFrame] = []
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number == spec.frames:
                break
            sized = frame.reformat(spec.width, spec.height, "yuv420p", interpolation="BICUBIC")
            sized.pts, sized.time_base = number, 1 / spec.fps
            frames.append(sized)
    return frames


def run(bench: Bench) -> None:
    with footage.workspace() as folder:
        named = os.environ.get("TFARM_FOOTAGE")
        path = Path(named) if named else footage.numbered(folder, footage.HD)
        shown = pictures(path, SPEC)
    for spec in SOURCES:
        made = code(replace(spec, frames=len(shown)), shown)
        _compare(bench, made)


CHAIN = {
    VideoCodec.H264: ("libx264", {"preset": "veryfast", "tune": "zerolatency", "profile": "main"}),
    VideoCodec.H265: (
        "libx265",
        {"preset": "veryfast", "tune": "zerolatency", "x265-params": "keyint=-1:log-level=none"},
    ),
    VideoCodec.AV1: (
        "libsvtav1",
        {"preset": "10", "svtav1-params": "rtc=1:pred-struct=1:rc=2:keyint=-1:lp=1"},
    ),
}


def chain(
    rendition: Rendition, frames: dict[int, VideoFrame], keys_ms: list[int], fps: Fraction
) -> dict[int, VideoFrame]:
    """What FFmpeg makes of decoded and scaled pictures, by their PTS in ms."""
    library, options = CHAIN[rendition.codec]
    encoder = av.CodecContext.create(library, "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = rendition.width, rendition.height, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, 1000), fps
    encoder.bit_rate, encoder.max_b_frames, encoder.thread_count = rendition.bitrate_bps, 0, 1
    rate = str(rendition.bitrate_bps)
    encoder.options = {**options, "maxrate": rate, "bufsize": rate, "forced-idr": "1"}
    decoder = av.CodecContext.create(DECODERS[rendition.codec], "r")
    assert isinstance(decoder, VideoCodecContext)
    shown: list[VideoFrame] = []
    for pts_ms, frame in sorted(frames.items()):
        frame.pts, frame.time_base = pts_ms, encoder.time_base
        frame.pict_type = PictureType.I if pts_ms in keys_ms else PictureType.NONE
        for packet in encoder.encode(frame):
            shown += decoder.decode(packet)
    for packet in encoder.encode(None):
        shown += decoder.decode(packet)
    shown += decoder.decode(None)
    return {frame.pts: frame for frame in shown if frame.pts is not None}


def mean_ssim(some: dict[int, VideoFrame], others: dict[int, VideoFrame]) -> float:
    found = [ssim(plane_of(frame, 0), plane_of(others[pts], 0)) for pts, frame in some.items()]
    return sum(found) / len(found)


def _compare(bench: Bench, made: CodedVideo) -> None:
    wanted = {
        frame.pts: frame.reformat(1280, 720, interpolation="BICUBIC")
        for frame in decoded(made)
        if frame.pts is not None
    }
    began_s = time.process_time()
    outputs = transcode(Source(made.record, made.units, made.spec.codec), template(LADDER))
    took_s = time.process_time() - began_s
    times = sorted(unit.pts_ms for unit in made.units)
    for rendition in LADDER:
        output = outputs[rendition.name]
        assert output.pts_ms == times, "PTS are the source's"
        assert output.keys_ms == outputs["h264"].keys_ms, "keyframes are aligned"
        ours = {frame.pts: frame for frame in output.decode() if frame.pts is not None}
        theirs = chain(rendition, wanted, output.keys_ms, made.spec.fps)
        seconds = len(times) / float(made.spec.fps)
        kbps = sum(len(tag[2]) for tag in output.tags) * 8 / seconds / 1000
        found, theirs_found = mean_ssim(ours, wanted), mean_ssim(theirs, wanted)
        note = (
            f"of the source {found:.4f}, the chain's {theirs_found:.4f}, one of the other "
            f"{mean_ssim(ours, theirs):.4f}; {kbps:.0f} kbit/s"
        )
        title = f"SSIM of {made.spec.codec.label} as {rendition.codec.label}, less than the chain's"
        bench.add(Figure(title, theirs_found - found, "", MOST_LESS, note=note))
    bench.say(f"{made.spec.codec.label}: {took_s / len(times) * 1000:.0f} ms of CPU a picture")
