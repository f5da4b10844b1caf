"""What `rc = "quality"` saves on footage that is now hard and now easy, at CBR's own SSIM.

    python -m tests.bench.quality_rate CLIP [--bitrate 2500] [--size 1280x720]

Codes the clip with the worker's software encoder at constant bitrate, then by quality with the same
bitrate as the cap, and looks for the CRF that gives the same SSIM. Exits with 1 where that saves
less than 20 %, or where any second and its VBV hold more than the cap lets through.
"""

import argparse
import sys
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from common.config.ladder import RateControl, RenditionFormat
from common.media.units import VideoCodec
from tests.kit.coded_video import PLAIN_PICTURES
from tests.kit.scale_reference import ssim
from worker.devices.software.encode import SoftEncoder
from worker.devices.software.luma import luma_of
from worker.quality.kept_luma import HostLuma

GOP_MS = 2_000
LEAST = 0.20
CRFS = (16.0, 40.0)  # between these
STEPS = 6  # of halving


@dataclass
class HostFrame:
    """A surface of the worker's."""

    frame: VideoFrame
    pts_ms: int

    def prepare(self) -> None:
        """It is scaled already."""

    def video_frame(self) -> VideoFrame:
        self.frame.pts = self.pts_ms
        return self.frame

    def kept_luma(self) -> HostLuma:
        """Its frame is nobody's to write."""
        return HostLuma(luma_of(self.frame))


@dataclass(frozen=True)
class Coded:
    """What came of one way."""

    sizes: list[int]  # bytes of each picture
    ssim: float  # mean of luma

    @property
    def total(self) -> int:
        return sum(self.sizes)


def pictures(path: Path, width: int, height: int) -> tuple[list[VideoFrame], Fraction]:
    with av.open(str(path)) as clip:
        rate = clip.streams.video[0].average_rate or Fraction(25)
        frames = [
            frame.reformat(width, height, "yuv420p", interpolation="BICUBIC")
            for frame in clip.decode(video=0)
        ]
    return frames, rate


def coded(rendition: RenditionFormat, frames: list[VideoFrame], fps: Fraction) -> Coded:
    shown = replace(PLAIN_PICTURES, width=rendition.width, height=rendition.height)
    encoder = SoftEncoder(rendition, shown, fps, pixel_format="yuv420p")
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.extradata = encoder.config.encode()
    sizes, found = [], []
    shown_frames: list[VideoFrame] = []
    for number, frame in enumerate(frames):
        pts_ms = round(number * 1000 / fps)
        is_key = number == 0 or pts_ms // GOP_MS != round((number - 1) * 1000 / fps) // GOP_MS
        for unit in encoder.encode(HostFrame(frame, pts_ms), force_idr=is_key):
            sizes.append(len(unit.data))
            shown_frames += decoder.decode(av.Packet(unit.data))
    shown_frames += decoder.decode(None)
    for frame, made in zip(frames, shown_frames, strict=True):
        found.append(ssim(luma(frame), luma(made)))
    return Coded(sizes, float(np.mean(found)))


def luma(frame: VideoFrame) -> "np.ndarray[tuple[int, int], np.dtype[np.uint8]]":
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: frame.height, : frame.width]


def most_of_the_cap(found: Coded, rendition: RenditionFormat, fps: Fraction) -> float:
    """The largest share that a run of pictures has of what cap and VBV let through."""
    bits = np.concatenate(([0], np.cumsum(found.sizes))) * 8.0
    a_picture = rendition.peak_bps / float(fps)
    shares = [
        float(bits[end] - bits[begin]) / (rendition.vbv_bits + (end - begin) * a_picture)
        for begin in range(len(found.sizes))
        for end in range(begin + 1, len(found.sizes) + 1)
    ]
    return max(shares)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--bitrate", type=int, default=2500, help="kbit/s: CBR's, and the cap")
    parser.add_argument("--size", default="1280x720")
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    frames, fps = pictures(arguments.clip, width, height)
    cbr = RenditionFormat(
        *("bench", width, height, 0, 0, width, height, fps),
        bitrate_bps=arguments.bitrate * 1000,
        vbv_ms=1000,
        gop_ms=GOP_MS,
        profile="main",
        preset="p3",
        codec=VideoCodec.H264,
    )
    wanted = coded(cbr, frames, fps)
    print(f"CBR: {wanted.total} bytes, SSIM {wanted.ssim:.4f}")
    best: Coded | None = None
    is_within = True
    good, poor = CRFS
    for _ in range(STEPS):
        crf = (good + poor) / 2
        rendition = replace(cbr, rate_control=RateControl.QUALITY, quality=crf)
        found = coded(rendition, frames, fps)
        share = most_of_the_cap(found, rendition, fps)
        is_within = is_within and share <= 1.0
        print(f"CRF {crf:g}: {found.total} bytes, SSIM {found.ssim:.4f}, {share:.0%} of the cap")
        if found.ssim < wanted.ssim:
            poor = crf
        else:
            good, best = crf, found
    saved = 1 - best.total / wanted.total if best is not None else 0.0
    holds = saved >= LEAST and is_within
    print(f"at equal SSIM {saved:.0%} fewer bytes (20 %): {'ok' if holds else 'NOT OK'}")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
