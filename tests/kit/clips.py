"""Clips that tests make for themselves: every frame carries its number, in blocks a machine reads.

The number stands in two rows of blocks at the top of the picture, the second row the inverse of
the first, so that it survives scaling, letterboxing and a low bitrate, and a wrong reading shows.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

NUMBER_BITS = 16
ROW_FRACTION = 1 / 12  # of the picture's height, each of the two rows
AUDIO_RATE = 48_000
PULSE_S = 0.05

Plane = NDArray[np.uint8]


@dataclass(frozen=True)
class ClipSpec:
    """What a clip holds."""

    seconds: float = 6.0
    width: int = 640
    height: int = 360
    fps: Fraction = Fraction(30)
    gop_frames: int = 30
    b_frames: int = 2
    audio: bool = True
    sar: Fraction = Fraction(1)
    profile: str = "main"
    bitrate_bps: int = 600_000
    first_number: int = 0
    frame_times_ms: tuple[int, ...] = ()  # instead of a constant rate
    annexb: bool = False
    is_black: bool = False  # no number, no movement
    volume: float = 0.3  # of the sound, the loudest is 1; 0: silence
    pulses: bool = False  # the sound is there for the first 50 ms of each second alone
    encoder: str = "libx264"

    @property
    def frames(self) -> int:
        return len(self.frame_times_ms) or round(self.seconds * self.fps)

    def but(self, **changes: Any) -> "ClipSpec":
        return replace(self, **changes)


def draw(number: int, width: int, height: int) -> tuple[Plane, Plane, Plane]:
    """Y, U and V of frame `number`: a moving slope, a moving box, and the number."""
    x = np.arange(width, dtype=np.int32)[None, :]
    y = np.arange(height, dtype=np.int32)[:, None]
    luma = (40 + (x * 160 // width + y * 40 // height + 3 * number) % 176).astype(np.uint8)
    side = height // 4
    left = (number * 5) % max(1, width - side)
    top = height // 2
    luma[top : top + side, left : left + side] = 220
    row = max(4, int(height * ROW_FRACTION) // 2 * 2)
    for bit in range(NUMBER_BITS):
        start, end = bit * width // NUMBER_BITS, (bit + 1) * width // NUMBER_BITS
        is_set = number >> (NUMBER_BITS - 1 - bit) & 1
        luma[:row, start:end] = 235 if is_set else 16
        luma[row : 2 * row, start:end] = 16 if is_set else 235
    chroma_shape = (height // 2, width // 2)
    blue = np.full(chroma_shape, 128, np.uint8)
    red = np.full(chroma_shape, 128, np.uint8)
    blue[top // 2 : (top + side) // 2, left // 2 : (left + side) // 2] = 80
    return luma, blue, red


def read_number(luma: Plane, picture: tuple[int, int, int, int] | None = None) -> int | None:
    """The number in a frame's luma; None when it cannot be read without doubt.

    `picture` is (x, y, width, height) of the picture within the frame, for letterboxed ones.
    """
    if picture is not None:
        left, top, width, height = picture
        luma = luma[top : top + height, left : left + width]
    height, width = luma.shape
    row = height * ROW_FRACTION
    number = 0
    for bit in range(NUMBER_BITS):
        start, end = bit * width / NUMBER_BITS, (bit + 1) * width / NUMBER_BITS
        columns = slice(int(start + (end - start) * 0.25), int(end - (end - start) * 0.25))
        upper = float(luma[int(row * 0.25) : int(row * 0.75), columns].mean())
        lower = float(luma[int(row * 1.25) : int(row * 1.75), columns].mean())
        if abs(upper - lower) < 60:
            return None
        number = number << 1 | (upper > lower)
    return number


def luma_of(frame: av.VideoFrame) -> Plane:
    """The luma plane of a decoded 8-bit frame, without its padding."""
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: frame.height, : frame.width]


def black_frame(width: int, height: int) -> av.VideoFrame:
    """A picture with nothing on it."""
    frame = av.VideoFrame(width, height, "yuv420p")
    for plane, value in zip(frame.planes, (16, 128, 128), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    return frame


def video_frame(number: int, width: int, height: int) -> av.VideoFrame:
    """Frame `number` as yuv420p."""
    frame = av.VideoFrame(width, height, "yuv420p")
    for plane, data in zip(frame.planes, draw(number, width, height), strict=True):
        padded = np.zeros((data.shape[0], plane.line_size), np.uint8)
        padded[:, : data.shape[1]] = data
        plane.update(padded.tobytes())
    return frame


def make_clip(path: Path, spec: ClipSpec) -> Path:
    """Write a clip as FLV or MP4, by the suffix of `path`: H.264, and an AAC tone if asked."""
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream(spec.encoder, rate=spec.fps)
        video.width, video.height = spec.width, spec.height
        video.pix_fmt = "yuv420p"
        video.bit_rate = spec.bitrate_bps
        video.codec_context.time_base = Fraction(1, 90_000)
        video.codec_context.sample_aspect_ratio = spec.sar
        video.codec_context.gop_size = spec.gop_frames
        video.codec_context.max_b_frames = spec.b_frames
        video.options = _encoder_options(spec)
        audio = None
        if spec.audio:
            audio = container.add_stream("aac", rate=AUDIO_RATE, layout="stereo")
            audio.bit_rate = 96_000
        sound = _tone(spec) if audio is not None else iter(())
        next_sound = next(sound, None)
        for index, time_90k in enumerate(_frame_times(spec)):
            if spec.is_black:
                frame = black_frame(spec.width, spec.height)
            else:
                frame = video_frame(spec.first_number + index, spec.width, spec.height)
            frame.pts = time_90k
            frame.time_base = Fraction(1, 90_000)
            container.mux(video.encode(frame))
            while audio is not None and next_sound is not None:
                if (next_sound.pts or 0) * 90_000 // AUDIO_RATE > time_90k:
                    break
                container.mux(audio.encode(next_sound))
                next_sound = next(sound, None)
        container.mux(video.encode(None))
        if audio is not None:
            while next_sound is not None:
                container.mux(audio.encode(next_sound))
                next_sound = next(sound, None)
            container.mux(audio.encode(None))
    return path


def _encoder_options(spec: ClipSpec) -> dict[str, str]:
    pictures = f"bframes={spec.b_frames}:scenecut=0:b-adapt=0"
    match spec.encoder:
        case "libx265":
            quiet = "pools=none:frame-threads=1:log-level=none"
            return {"preset": "ultrafast", "x265-params": f"{pictures}:{quiet}"}
        case "libsvtav1":
            return {"preset": "10", "svtav1-params": "lp=1:pred-struct=1:rc=2"}
        case _:
            return {
                "preset": "ultrafast",
                "profile": spec.profile,
                # ultrafast turns both off: B-frames and CABAC are what a publisher sends
                "x264-params": f"{pictures}:threads=1",
            }


def _frame_times(spec: ClipSpec) -> Iterator[int]:
    if spec.frame_times_ms:
        yield from (time_ms * 90 for time_ms in spec.frame_times_ms)
    else:
        yield from (int(index * 90_000 / spec.fps) for index in range(spec.frames))


def _tone(spec: ClipSpec) -> Iterator[av.AudioFrame]:
    end = spec.frame_times_ms[-1] / 1000 if spec.frame_times_ms else spec.seconds
    for start in range(0, int(end * AUDIO_RATE), 1024):
        at = (start + np.arange(1024)) / AUDIO_RATE
        # the pitch rises, so that no two frames of sound are the same bytes
        wave = spec.volume * np.sin(2 * np.pi * (300 + 40 * at) * at)
        if spec.pulses:
            wave *= at % 1.0 < PULSE_S
        frame = av.AudioFrame.from_ndarray(
            np.stack([wave, wave]).astype(np.float32), format="fltp", layout="stereo"
        )
        frame.sample_rate = AUDIO_RATE
        frame.pts = start
        frame.time_base = Fraction(1, AUDIO_RATE)
        yield frame
