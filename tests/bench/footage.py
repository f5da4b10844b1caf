"""What benches publish: footage that gives encoders work, with numbers in its pictures."""

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tests.kit.clients import FlvTag, flv_tags
from tests.kit.clips import ClipSpec, draw, make_clip

HD = ClipSpec(
    seconds=20.0, width=1280, height=720, gop_frames=60, b_frames=0, bitrate_bps=4_000_000
)


@contextmanager
def workspace() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tfarm-bench-") as folder:
        yield Path(folder)


def numbered(folder: Path, spec: ClipSpec) -> Path:
    """A numbered clip with moving grain, as a camera's; made once a folder."""
    path = folder / f"{spec.width}x{spec.height}-{spec.seconds:g}-{spec.bitrate_bps}.flv"
    if path.exists():
        return path
    silent = path.with_suffix(".silent.flv")
    _grainy(silent, spec)
    if not spec.audio:
        silent.rename(path)
        return path
    tone = make_clip(
        folder / "tone.flv", replace(spec, width=64, height=64, fps=Fraction(5), gop_frames=5)
    )
    subprocess.run(
        [
            *("ffmpeg", "-v", "error", "-y", "-i", silent, "-i", tone),
            *("-map", "0:v", "-map", "1:a", "-c", "copy", "-shortest", path),
        ],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return path


def _grainy(path: Path, spec: ClipSpec) -> None:
    grain = np.random.default_rng(1).integers(-10, 10, (2 * spec.height, 2 * spec.width), np.int16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=spec.fps)
        stream.width, stream.height, stream.pix_fmt = spec.width, spec.height, "yuv420p"
        stream.bit_rate = spec.bitrate_bps
        stream.codec_context.gop_size = spec.gop_frames
        stream.codec_context.max_b_frames = spec.b_frames
        stream.options = {"preset": "veryfast", "x264-params": "scenecut=0"}
        for number in range(spec.frames):
            luma, blue, red = draw(number, spec.width, spec.height)
            rows = spec.height // 3  # the numbers stay clean
            top, left = number * 37 % spec.height, number * 53 % spec.width
            noisy = luma[rows:].astype(np.int16)
            noisy += grain[top : top + spec.height - rows, left : left + spec.width]
            luma[rows:] = np.clip(noisy, 16, 235)
            picture = np.concatenate([luma.ravel(), blue.ravel(), red.ravel()])
            frame = av.VideoFrame.from_ndarray(
                picture.reshape(spec.height * 3 // 2, spec.width), format="yuv420p"
            )
            frame.pts = number
            frame.time_base = 1 / spec.fps
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def tags_of(path: Path) -> Sequence[FlvTag]:
    return flv_tags(path)


def seconds_of(tags: Sequence[FlvTag]) -> float:
    return (tags[-1].dts_ms - tags[0].dts_ms) / 1000
