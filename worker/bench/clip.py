"""A short clip as the units of an endless stream, for calibration (IO: reads files, codes one).

A clip repeats from its first IDR. Units are AVCC as ingest sends them; their times go on from one
round to the next.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error

from common.codecs.h264 import (
    AvcConfig,
    is_idr,
    join_avcc,
    parameter_sets_in,
    split_annexb,
    split_avcc,
)
from common.config.ladder import Template
from common.errors import AvcError
from worker.bench.trial import moving_clip

MAX_SECONDS = 60
MAX_BYTES = 256 * 1024**2
GENERATED = (1920, 1080, 30)  # at most; a template's `max_source` may be smaller
GENERATED_SECONDS = 2


@dataclass(frozen=True, slots=True)
class ClipUnit:
    """One access unit in stream time."""

    dts_ms: int
    composition_ms: int
    is_key: bool
    data: bytes


class LoopClip:
    """Units, over and over."""

    def __init__(
        self,
        record: bytes,
        units: Sequence[tuple[bytes, int, bool]],
        fps: Fraction,
        width: int,
        height: int,
    ) -> None:
        """Units are (AVCC data, composition time in ms, whether it is an IDR)."""
        self.record = record
        self.fps = fps
        self.width = width
        self.height = height
        self._units = units

    def __len__(self) -> int:
        return len(self._units)

    def unit(self, number: int) -> ClipUnit:
        """The unit at this place of the endless stream."""
        data, composition_ms, is_key = self._units[number % len(self._units)]
        return ClipUnit(round(number * 1000 / self.fps), composition_ms, is_key, data)


def generated(template: Template) -> LoopClip:
    """A moving picture of the template's largest source, at most 1080p30, 6 Mbit/s at that size."""
    width, height, fps = (
        min(most, made) for most, made in zip(template.max_source, GENERATED, strict=True)
    )
    width, height = width // 2 * 2, height // 2 * 2
    bitrate_bps = max(300_000, 6_000_000 * width * height * fps // (1920 * 1080 * 30))
    clip = moving_clip(width, height, Fraction(fps), GENERATED_SECONDS * fps, bitrate_bps)
    units = [(data, 0, index == 0) for index, data in enumerate(clip.units)]
    return LoopClip(clip.config.encode(), units, Fraction(fps), width, height)


def read_clip(path: Path) -> LoopClip:
    """The H.264 of a file, at most a minute of it. Raises ValueError when there is none."""
    try:
        with av.open(str(path)) as container:
            for stream in container.streams.video:
                if _codec_name(stream) == "h264":
                    return _loop(container, stream, path)
            raise ValueError(f"{path} holds no H.264")
    except (av.error.FFmpegError, AvcError, OSError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error


def _codec_name(stream: av.video.stream.VideoStream) -> str:
    """Return the codec's name, "" where FFmpeg has no decoder: then there is no context."""
    return getattr(stream.codec_context, "name", "")


def _loop(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream, path: Path
) -> LoopClip:
    extradata = bytes(stream.codec_context.extradata or b"")
    is_avcc = extradata[:1] == b"\x01"
    fps = Fraction(stream.average_rate or 30)
    units: list[tuple[bytes, int, bool]] = []
    size = 0
    for packet in container.demux(stream):
        data = bytes(packet)
        if not data:
            continue
        nals = split_avcc(data) if is_avcc else split_annexb(data)
        is_key = is_idr(nals)
        if not units and not is_key:
            continue
        units.append((join_avcc(nals), _composition_ms(packet), is_key))
        size += len(data)
        if size > MAX_BYTES or len(units) >= MAX_SECONDS * fps:
            break
    if not units:
        raise ValueError(f"{path} holds no IDR frame")
    if is_avcc:
        record = extradata
    else:
        sps, pps = parameter_sets_in(split_avcc(units[0][0]))
        record = AvcConfig.from_parameter_sets(sps, pps).encode()
    return LoopClip(record, units, fps, stream.width, stream.height)


def _composition_ms(packet: "av.Packet[Any]") -> int:
    """0 in a file without times, such as a bare stream of NAL units."""
    if packet.pts is None or packet.dts is None or packet.time_base is None:
        return 0
    return max(0, round((packet.pts - packet.dts) * packet.time_base * 1000))
