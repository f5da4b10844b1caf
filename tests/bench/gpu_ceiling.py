"""How many ladders libx264 alone can encode on some cores: what hybrid streams are measured by.

The farm's own encoder, options and renditions, on pictures that lie scaled in memory; nothing else
runs. Once as many processes as cores, once all of it as threads of one process, as in a worker.
"""

import multiprocessing
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from multiprocessing.synchronize import Barrier

import av

from common.codecs.h264 import SpsInfo
from common.config.ladder import Ladder
from tests.bench.gpu_clip import FPS, GOP, Clip
from tests.kit.gpu_units import Nv12, as_nv12
from worker.devices.software.encode import SoftEncoder
from worker.devices.software.luma import luma_of
from worker.quality.kept_luma import HostLuma

PREPARE_S = 60.0  # at most: interpreters, pictures decoded and scaled
_start: Barrier | None = None


class _Surface:
    """A picture of a rendition in host memory."""

    def __init__(self, picture: Nv12, pts_ms: int) -> None:
        self.pts_ms = pts_ms
        self._frame = av.VideoFrame.from_ndarray(picture, format="nv12")
        self._frame.pts = pts_ms

    def prepare(self) -> None: ...

    def video_frame(self) -> av.VideoFrame:
        return self._frame

    def kept_luma(self) -> HostLuma:
        return HostLuma(luma_of(self._frame))


def prepare(clip: Clip, ladder: Ladder) -> list[list[Nv12]]:
    """The pictures of each rendition, once through the clip, as sharp as the GPU's scaler has them.

    Softer ones take an encoder less.
    """
    renditions: list[list[Nv12]] = [[] for _ in ladder.renditions]
    for picture in clip.pictures(clip.frames // 2 + 1):
        frame = av.VideoFrame.from_ndarray(picture, format="nv12")
        for rendition, pictures in zip(ladder.renditions, renditions, strict=True):
            scaled = frame.reformat(rendition.width, rendition.height, interpolation="BICUBIC")
            pictures.append(as_nv12(scaled))
    return renditions


class LadderEncoders:
    """Encoders of all renditions of one stream, and their pictures, forth and back."""

    def __init__(self, ladder: Ladder, sps: SpsInfo, renditions: Sequence[Sequence[Nv12]]) -> None:
        self._encoders = [
            SoftEncoder(rendition, sps, Fraction(FPS), pixel_format="nv12", threads=1)
            for rendition in ladder.renditions
        ]
        self._renditions = renditions
        count = len(renditions[0])
        self._order = [*range(count), *range(count - 2, 0, -1)]

    def encode(self, number: int) -> None:
        """This picture of the stream, on every rendition."""
        index = self._order[number % len(self._order)]
        for encoder, pictures in zip(self._encoders, self._renditions, strict=True):
            surface = _Surface(pictures[index], number * 1000 // FPS)
            encoder.encode(surface, force_idr=number % GOP == 0)


def _encode(
    ladder: Ladder, sps: SpsInfo, renditions: Sequence[Sequence[Nv12]], seconds: float
) -> float:
    """Ladders encoded a second."""
    encoders = LadderEncoders(ladder, sps, renditions)
    number = 0
    begin_s = time.monotonic()
    while (elapsed_s := time.monotonic() - begin_s) < seconds:
        encoders.encode(number)
        number += 1
    return number / elapsed_s


def _meet(start: Barrier) -> None:
    """In a new process: keep where all that encode wait for one another."""
    global _start
    _start = start


def _work(clip: Clip, ladder: Ladder, cores: Sequence[int], seconds: float, threads: int) -> float:
    """One process: so many ladders side by side, each in a thread."""
    os.sched_setaffinity(0, cores)
    renditions = prepare(clip, ladder)
    rates = [0.0] * threads
    assert _start is not None
    _start.wait(PREPARE_S)

    def work(index: int) -> None:
        rates[index] = _encode(ladder, clip.sps, renditions, seconds)

    worker_threads = [threading.Thread(target=work, args=(index,)) for index in range(threads)]
    for worker_thread in worker_threads:
        worker_thread.start()
    for worker_thread in worker_threads:
        worker_thread.join()
    return sum(rates)


def ceiling(
    clip: Clip, ladder: Ladder, cores: Sequence[int], seconds: float, *, in_one_process: bool
) -> float:
    """Streams of that ladder at 30 a second."""
    workers, threads = (1, len(cores)) if in_one_process else (len(cores), 1)
    spawn = multiprocessing.get_context("spawn")
    start = spawn.Barrier(workers)
    with ProcessPoolExecutor(
        workers, mp_context=spawn, initializer=_meet, initargs=(start,)
    ) as pool:
        # the barrier keeps each process at its one task
        futures = [
            pool.submit(_work, clip, ladder, cores, seconds, threads) for _ in range(workers)
        ]
        return sum(future.result(PREPARE_S + seconds + 60) for future in futures) / FPS
