"""The host encodes a device's pictures: in the worker's process, or in encoder processes; pairs.

    python -m tests.bench.encoder_pairs [--device GPU-…] [--clip FILE] [--streams 1] [--rounds 8]

Both ways are tried in turn, in one process and on one host, with a calibration's sessions: CPU of
all processes a picture, and each rendition's delay up to its coded picture. Without --device the
cores play a GPU without NVENC: what is scaled lies as NV12 in host memory when the decode thread is
done with it, here in memory of its own, there in a pool. A pair in which pictures were missing
counts for nothing. Many streams are not for this bench: the one process has one GIL.
"""

import argparse
import logging
import os
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from common.config.ladder import Ladder, Rendition, RenditionFormat, Template
from common.ipc.identity import CPU
from common.media.pictures import PictureFormat
from tests.bench.report import percentile
from worker.bench.capacity_search import Part
from worker.bench.clip import generated, read_clip
from worker.bench.trial_processes import EncoderMate, Team
from worker.bench.trial_runs import Bench
from worker.devices.backend import Backend, Picture
from worker.devices.software.device import SoftBackend
from worker.devices.software.encode import SoftEncoder
from worker.devices.software.pool_frames import FORMAT, PoolFrames, PoolSurface
from worker.devices.software.shared import SharedSoftScaler, SharedSoftSurface
from worker.devices.table import GPU_DECODE_THREADS, open_device, prepare_device
from worker.devices.turns import Turns
from worker.pool.layout import lay_out
from worker.pool.memory import MappedPool, PicturePool
from worker.threads import OwnThreads, SharedThreads

TEMPLATE = Template(
    "live",
    (
        Rendition("720p", 1280, 720, 2_500_000),
        Rendition("480p", 854, 480, 1_200_000),
        Rendition("360p", 640, 360, 700_000),
    ),
    max_source=(1280, 720, 30),
)
PROCESSES = 2
WAITING_TURNS = 2
WARM_S = 0.5
WAYS = ("own process", "encoder processes")


class PlayedGpu(SoftBackend):
    """The host's cores in place of a GPU without NVENC."""

    def open_scaler(self, ladder: Ladder, pictures: PictureFormat) -> Any:
        return _OwnScaler(ladder, pictures)

    def open_encoder(
        self, rendition: RenditionFormat, pictures: PictureFormat, fps: Fraction
    ) -> SoftEncoder:
        turns = Turns(len(os.sched_getaffinity(0)) + WAITING_TURNS)
        return SoftEncoder(rendition, pictures, fps, pixel_format=FORMAT, turns=turns)


class _OwnSurface:
    """A picture that is written already, with its place."""

    def __init__(self, written: SharedSoftSurface, frame: PoolSurface) -> None:
        self.pts_ms = written.pts_ms
        self._written = written  # keeps the place
        self.prepare, self.video_frame = frame.prepare, frame.video_frame


class _OwnScaler:
    """Scales into memory that nobody else maps, in the decode thread."""

    def __init__(self, ladder: Ladder, pictures: PictureFormat) -> None:
        layout = lay_out([(one.width, one.height) for one in ladder.renditions])
        pool = PicturePool("own", layout)
        self._scaler = SharedSoftScaler(ladder, pictures, pool)
        mapped = MappedPool(pool.fd)
        self._frames = [PoolFrames(mapped, one, layout.pictures) for one in layout.renditions]

    def scale(self, picture: Picture, wanted: Sequence[int]) -> list[_OwnSurface]:
        surfaces = []
        for index, written in zip(wanted, self._scaler.scale(picture, wanted), strict=True):
            written.prepare()
            frame = self._frames[index].surface(written.slot, written.pts_ms)
            surfaces.append(_OwnSurface(written, frame))
        return surfaces

    def close(self) -> None:
        self._scaler.close()


@dataclass(frozen=True)
class Look:
    """What one way took in one round."""

    cpu_ms: float  # of all processes, a picture
    delays_ms: Sequence[float]  # medians, by rendition
    missing: int


class _Way:
    """A team, and the delays that its bench saw last."""

    def __init__(self, bench: Bench, mates: Sequence[EncoderMate] = ()) -> None:
        self._team = Team(bench, mates, encoders=bool(mates))
        self._frame_s = bench.frame_s
        self._part: Part | None = None
        feed = bench.feed

        def watched(begin: float, seconds: float, usage: Any = None) -> Part:
            self._part = feed(begin, seconds, usage)
            return self._part

        bench.feed = watched  # type: ignore[method-assign]  # to see a part's delays

    def look(self, streams: int, seconds: float) -> Look:
        trial = self._team.run(streams, seconds)
        assert self._part is not None
        medians = [percentile(list(self._part.delays_ms.get(i, [0.0])), 0.5) for i in range(3)]
        return Look(trial.cores * self._frame_s / streams * 1000, medians, trial.missing)


def backend_of(device: str) -> Backend:
    if device == CPU:
        return PlayedGpu(CPU)
    return open_device(device, 1, PROCESSES).backend


def pairs(ways: Sequence[_Way], streams: int, rounds: int, seconds: float) -> None:
    """Print a line a round, then the medians of the whole ones."""
    whole: list[list[Look]] = []
    for number in range(rounds):
        order = (0, 1) if number % 2 == 0 else (1, 0)
        found = {index: ways[index].look(streams, seconds) for index in order}
        pair = [found[0], found[1]]
        lost = sum(look.missing for look in pair)
        if not lost:
            whole.append(pair)
        print(
            f"CPU a picture {pair[0].cpu_ms:.1f}, {pair[1].cpu_ms:.1f} ms: "
            f"{pair[1].cpu_ms / pair[0].cpu_ms:.2f}" + (f"; {lost} missing" if lost else ""),
            flush=True,
        )
    if not whole:
        return
    ratios = [pair[1].cpu_ms / pair[0].cpu_ms for pair in whole]
    print(f"{len(whole)} pairs, CPU: {statistics.median(ratios):.2f} ({_range(ratios)})")
    for index, rendition in enumerate(TEMPLATE.renditions):
        delays = [[pair[way].delays_ms[index] for pair in whole] for way in (0, 1)]
        words = [
            f"{name} {statistics.median(d):.1f} ms" for name, d in zip(WAYS, delays, strict=True)
        ]
        print(f"delay of {rendition.name}: {', '.join(words)}")


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.encoder_pairs")
    parser.add_argument("--device", default=CPU, help="a GPU's UUID; the cores play one")
    parser.add_argument("--clip", type=Path, help="any H.264 file; a moving picture")
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3.0)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    prepare_device(arguments.device)
    clip = read_clip(arguments.clip) if arguments.clip else generated(TEMPLATE)
    backend = backend_of(arguments.device)
    with TemporaryDirectory(prefix="tf-") as folder:
        options = ["--share", str(PROCESSES)]
        python = (sys.executable, "-P", "-m")
        mates = [EncoderMate(python, options, Path(folder), index) for index in range(PROCESSES)]
        try:
            endpoints = [mate.endpoint() for mate in mates]
            own = Bench(backend, OwnThreads(groups_small_encoders=True), TEMPLATE, clip)
            shared_threads = SharedThreads(GPU_DECODE_THREADS, 0)
            shared = Bench(backend, shared_threads, TEMPLATE, clip, endpoints)
            ways = (_Way(own), _Way(shared, mates))
            for way in ways:
                way.look(1, WARM_S)
            pairs(ways, arguments.streams, arguments.rounds, arguments.seconds)
            shared.end()
        finally:
            for mate in mates:
                mate.end()
    sys.stdout.flush()
    os._exit(0)  # a driver's threads are not taken apart


if __name__ == "__main__":
    sys.exit(main())
