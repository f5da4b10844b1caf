"""One real round of decode, scale and encode on a device, with a picture made here (IO: codecs).

`tfarm doctor` asks for it in a process of its own. One stream, one thread, as fast as it goes.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np

from common.codecs.h264 import (
    AvcConfig,
    SpsInfo,
    join_avcc,
    parameter_sets_in,
    parse_sps,
    split_annexb,
    split_avcc,
)
from common.config.ladder import SourceFormat, Template, fit_ladder
from common.config.settings import DEFAULT_RENDITIONS
from common.errors import BootFailed
from worker.devices.backend import Backend, Encoder

WIDTH, HEIGHT, FPS, FRAMES = 1920, 1080, 30, 30
ROUND_SECONDS = 2.0
_STEP = 8  # columns that the picture moves from frame to frame, even


@dataclass(frozen=True, slots=True)
class Clip:
    """A short coded stream: AVCC units, the first an IDR."""

    units: tuple[bytes, ...]
    config: AvcConfig
    sps: SpsInfo


def run_round(backend: Backend, clip: Clip, seconds: float = ROUND_SECONDS) -> float:
    """Frames a second through all three stages. Raises BootFailed, WorkerError."""
    source = SourceFormat(clip.sps.width, clip.sps.height)
    ladder = fit_ladder(Template("doctor", DEFAULT_RENDITIONS), source)
    encoders: list[Encoder] = []
    wanted = range(len(ladder.renditions))
    frames = fed = 0
    with ExitStack() as stack:
        decoder = backend.open_decoder(clip.config, clip.sps)
        stack.callback(decoder.close)
        scaler = backend.open_scaler(ladder, clip.sps)
        stack.callback(scaler.close)
        for rendition in ladder.renditions:  # one that is refused leaves those before it closed
            encoders.append(backend.open_encoder(rendition, clip.sps, Fraction(FPS)))
            stack.callback(encoders[-1].close)
        begin = time.perf_counter()
        while (elapsed := time.perf_counter() - begin) < seconds:
            for unit in clip.units:
                for picture in decoder.decode(unit, fed * 33, fed * 33):
                    surfaces = scaler.scale(picture, wanted)
                    for encoder, surface in zip(encoders, surfaces, strict=True):
                        surface.prepare()
                        if not encoder.encode(surface, force_idr=frames == 0):
                            raise BootFailed("the encoder gave no packet for a frame")
                    frames += 1
                fed += 1
                elapsed = time.perf_counter() - begin
                if elapsed >= seconds and frames:
                    break
        if not frames:
            raise BootFailed("the decoder gave no picture")
        return frames / elapsed


def moving_clip(
    width: int = WIDTH,
    height: int = HEIGHT,
    fps: Fraction = Fraction(FPS),
    frames: int = FRAMES,
    bitrate_bps: int = 6_000_000,
) -> Clip:
    """Waves that move, coded by libx264: a closed GOP, so that it can be repeated."""
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = width, height, "nv12"
    codec.time_base, codec.framerate = 1 / fps, fps
    codec.bit_rate = bitrate_bps
    codec.options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(frames)}
    units = []
    for frame in _moving_pictures(width, height, frames):
        units += [join_avcc(split_annexb(bytes(packet))) for packet in codec.encode(frame)]
    sps, pps = parameter_sets_in(split_avcc(units[0]))
    config = AvcConfig.from_parameter_sets(sps, pps)
    return Clip(tuple(units), config, parse_sps(config.sps[0]))


def _moving_pictures(width: int, height: int, frames: int) -> Iterator[av.VideoFrame]:
    """A window that slides over one wide picture: making it anew would take longer than coding."""
    rows, columns = np.mgrid[0 : height * 3 // 2, 0 : width + _STEP * frames].astype(np.float32)
    waves = 60 * np.sin(columns / 40) * np.cos(rows / 25) + 30 * np.sin(columns * rows / 9000)
    wide = (128 + waves).astype(np.uint8)
    for index in range(frames):
        window = np.ascontiguousarray(wide[:, _STEP * index : _STEP * index + width])
        frame = av.VideoFrame.from_ndarray(window, format="nv12")
        frame.pts = index
        yield frame
