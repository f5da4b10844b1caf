"""What `gpu_farm` publishes and compares with: numbered footage, its pictures, PSNR of what came.

No B-frames, a keyframe every two seconds, and it loops without a cut: forth, then back.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np

from common.codecs.h264 import AvcConfig, SpsInfo, parse_sps
from tests.kit.clients import FlvTag, flv_tags
from tests.kit.clips import ROW_FRACTION, draw, luma_of, read_number
from tests.kit.gpu_units import Nv12, as_nv12, footage
from tests.kit.scale_reference import psnr

FPS = 30
GOP = 60


@dataclass(frozen=True)
class Clip:
    """One loop of footage."""

    tags: Sequence[FlvTag]
    width: int
    height: int
    frames: int

    @property
    def length_ms(self) -> int:
        return self.frames * 1000 // FPS

    @property
    def config(self) -> AvcConfig:
        header = next(tag for tag in self.tags if tag.type == 9 and tag.is_header)
        return AvcConfig.parse(header.body[5:])

    @property
    def sps(self) -> SpsInfo:
        return parse_sps(self.config.sps[0])

    def pictures(self, count: int) -> list[Nv12]:
        """The first pictures as libavcodec decodes them; NVDEC's are the same bit by bit."""
        bodies = [tag.body for tag in self.tags if tag.type == 9 and not tag.is_header]
        header = next(tag.body for tag in self.tags if tag.type == 9 and tag.is_header)
        return [as_nv12(frame) for frame in decoded(header, bodies[:count])]


def make_clip(
    path: Path, source: Path | None, width: int, height: int, frames: int, bitrate_bps: int
) -> Clip:
    """Code `frames` (a whole number of GOPs) of footage, or of waves without any, as FLV."""
    assert frames % GOP == 0
    half = frames // 2
    forth = list(_footage(source, width, height, half + 1))
    pictures = [*forth, *forth[-2:0:-1]]
    with av.open(str(path), "w", format="flv") as container:
        stream = container.add_stream("libx264", rate=Fraction(FPS))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.bit_rate = bitrate_bps
        context = stream.codec_context
        context.color_primaries = context.color_trc = context.colorspace = 1
        stream.options = {
            "preset": "veryfast",
            "maxrate": str(bitrate_bps),
            "bufsize": str(bitrate_bps),
            "x264-params": f"bframes=0:scenecut=0:keyint={GOP}:min-keyint={GOP}",
        }
        row = int(height * ROW_FRACTION) // 2 * 2
        for number, picture in enumerate(pictures):
            # no copy of the picture: forth and back it carries different numbers
            upper, lower = draw(number, width, 24)[0][[0, 4]]
            picture[:row], picture[row : 2 * row] = upper, lower
            frame = av.VideoFrame.from_ndarray(picture, format="nv12").reformat(format="yuv420p")
            frame.pts = number
            frame.time_base = Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    tags = [tag for tag in flv_tags(path) if tag.type == 9 and len(tag.body) > 5]
    coded = sum(not tag.is_header for tag in tags)
    assert coded == frames, f"{coded} of {frames} pictures"
    return Clip(tags, width, height, frames)


def _footage(source: Path | None, width: int, height: int, count: int) -> Iterable[Nv12]:
    if source is not None:
        yield from footage(source, width, height, count)
        return
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    for index in range(count):
        frame = np.full((height * 3 // 2, width), 128, np.uint8)
        frame[:height] = 125 + 60 * np.sin((columns + 4 * index) / 23) * np.cos(rows / 17)
        yield frame


def decoded(header: bytes, bodies: Iterable[bytes]) -> Iterable[av.VideoFrame]:
    """Frames of FLV video tag bodies; every error of the bitstream is one."""
    context = av.CodecContext.create("h264", "r")
    context.extradata = header[5:]
    context.options = {"err_detect": "explode+crccheck+bitstream+buffer"}
    for body in bodies:
        yield from context.decode(av.Packet(body[5:]))
    yield from context.decode(None)


@dataclass(frozen=True)
class Compared:
    """What a player got, against the clip."""

    pictures: int
    numbers_in_order: bool
    psnr_db: Sequence[float]  # of some pictures


def compare(
    clip: Clip, sources: Sequence[Nv12], header: bytes, bodies: Sequence[bytes], every: int
) -> Compared:
    """Decode what came; PSNR of every n-th picture against its source, scaled in software."""
    numbers: list[int | None] = []
    found: list[float] = []
    for index, frame in enumerate(decoded(header, bodies)):
        number = read_number(luma_of(frame))
        numbers.append(number)
        if index % every == 0 and number is not None and number < len(sources):
            source = av.VideoFrame.from_ndarray(sources[number], format="nv12")
            scaled = source.reformat(
                width=frame.width, height=frame.height, format="nv12", interpolation="BICUBIC"
            )
            found.append(psnr(as_nv12(scaled), as_nv12(frame)))
    follow = all(a is not None and b == (a + 1) % clip.frames for a, b in pairwise(numbers))
    return Compared(len(numbers), follow, found)
