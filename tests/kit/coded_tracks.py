"""Short tracks of every codec that fMP4 holds here, coded by FFmpeg's encoders in this process."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import av
import numpy as np

from common.codecs import aac, opus
from common.media.units import AudioCodec, AudioConfig, Config, VideoCodec, VideoConfig
from common.mp4.fragments import Sample
from tests.kit.clips import AUDIO_RATE, video_frame

FPS = 25
SIZE = (192, 108)
# By codec: the encoder's name and its options.
ENCODERS: dict[VideoCodec | AudioCodec, tuple[str, dict[str, str]]] = {
    VideoCodec.H264: ("libx264", {"preset": "ultrafast", "x264-params": "threads=1"}),
    VideoCodec.H265: (
        "libx265",
        {"preset": "ultrafast", "x265-params": "pools=none:frame-threads=1:log-level=none"},
    ),
    VideoCodec.AV1: ("libsvtav1", {"preset": "10", "svtav1-params": "lp=1:pred-struct=1:rc=2"}),
    AudioCodec.AAC: ("aac", {}),
    AudioCodec.OPUS: ("libopus", {}),
}


@dataclass(frozen=True)
class CodedTrack:
    """What an encoder gave, in order; times of the samples in units of `timescale`."""

    config: Config
    timescale: int
    begin: int
    samples: tuple[Sample, ...]
    decoded: int  # pictures, or samples of sound at the least


@cache
def coded_track(codec: VideoCodec | AudioCodec, seconds: float = 1.2) -> CodedTrack:
    """A second or so of pictures, a keyframe every half second, or of sound."""
    if isinstance(codec, VideoCodec):
        return _pictures(codec, round(seconds * FPS))
    return _sound(codec, round(seconds * AUDIO_RATE))


def _pictures(codec: VideoCodec, count: int) -> CodedTrack:
    name, options = ENCODERS[codec]

    def add(container: Any) -> Any:
        stream = container.add_stream(name, rate=FPS, options=options)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 200_000
        stream.codec_context.gop_size = FPS // 2
        stream.codec_context.max_b_frames = 0
        return stream

    frames = []
    for number in range(count):
        frame = video_frame(number, *SIZE)
        frame.pts, frame.time_base = number, Fraction(1, FPS)
        frames.append(frame)
    record, packets = _encode(add, frames)
    config = VideoConfig(codec, record, *SIZE)
    samples = [Sample(data, 90_000 // FPS, 0, is_key) for data, is_key in packets]
    return CodedTrack(config, 90_000, 0, tuple(samples), count)


def _sound(codec: AudioCodec, count: int) -> CodedTrack:
    name, options = ENCODERS[codec]

    def add(container: Any) -> Any:
        stream = container.add_stream(name, rate=AUDIO_RATE, layout="stereo", options=options)
        stream.bit_rate = 64_000
        return stream

    step = 960 if codec is AudioCodec.OPUS else 1024
    frames = []
    for at in range(0, count, step):
        wave = 0.3 * np.sin(2 * np.pi * 440 * (at + np.arange(step)) / AUDIO_RATE)
        frame = av.AudioFrame.from_ndarray(
            np.stack([wave, wave]).astype(np.float32), format="fltp", layout="stereo"
        )
        frame.sample_rate, frame.pts, frame.time_base = AUDIO_RATE, at, Fraction(1, AUDIO_RATE)
        frames.append(frame)
    record, packets = _encode(add, frames)
    config: AudioConfig = (opus if codec is AudioCodec.OPUS else aac).parse_config(record)
    samples = [Sample(data, step, 0, True) for data, _ in packets]
    return CodedTrack(config, AUDIO_RATE, 0, tuple(samples), count)


def _encode(add: Callable[[Any], Any], frames: list[Any]) -> tuple[bytes, list[tuple[bytes, bool]]]:
    """The record and the packets as Matroska has them, which are those of fMP4."""
    written = io.BytesIO()
    with av.open(written, "w", "matroska") as container:
        stream = add(container)
        for frame in [*frames, None]:
            if frame is not None and isinstance(frame, av.AudioFrame):
                frame = _in_format_of(stream, frame)
            container.mux(stream.encode(frame))
    written.seek(0)
    with av.open(written, "r", "matroska") as container:
        found = container.streams[0]
        record = bytes(found.codec_context.extradata or b"")
        packets = [(bytes(one), one.is_keyframe) for one in container.demux(found) if one.size]
    return record, packets


def _in_format_of(stream: Any, frame: av.AudioFrame) -> av.AudioFrame:
    wanted = stream.codec_context.format.name
    if wanted == frame.format.name:
        return frame
    resampled = av.AudioResampler(wanted, "stereo", AUDIO_RATE).resample(frame)
    return resampled[0]
