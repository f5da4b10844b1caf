"""How many streams libx264 alone keeps in real time on some cores: what hybrid streams are held to.

A process a stream, as one `ffmpeg` each would be: the farm's own encoder, options and renditions,
on pictures that lie scaled in memory, 30 a second, one thread; nothing else runs. A load holds as
the farm's does, by the lateness of its pictures, and is looked at a second time if it does not.
"""

import contextlib
import multiprocessing
import os
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Self

from common.config.ladder import Ladder
from tests.bench.gpu_ceiling import PREPARE_S, LadderEncoders, prepare
from tests.bench.gpu_clip import FPS, Clip
from tests.bench.report import percentile
from tests.kit.gpu_units import Nv12

# Between the streams' beginnings: spreads pictures over their interval, keyframes over the GOP.
APART_S = 0.0737
SETTLE_S = 1.0  # at the beginning of a look, not counted
HOPELESS_S = 2.0  # behind by so much, a stream ends early
LOOKS = 2  # at a load that does not hold


class Alone:
    """Processes that wait for looks, up to `most` at once. Raises TimeoutError if they don't come.

    Leaving it ends them.
    """

    def __init__(self, clip: Clip, ladder: Ladder, cores: Sequence[int], most: int) -> None:
        self.cpu_ms = 0.0  # of a picture's renditions, in the last look that held
        spawn = multiprocessing.get_context("spawn")
        self._processes: list[BaseProcess] = []
        self._pipes: list[Connection] = []
        for _ in range(most):
            ours, theirs = spawn.Pipe()
            process = spawn.Process(
                target=_process, args=(theirs, clip, ladder, tuple(cores)), daemon=True
            )
            process.start()
            theirs.close()
            self._processes.append(process)
            self._pipes.append(ours)
        until_s = time.monotonic() + PREPARE_S
        for pipe in self._pipes:
            if not pipe.poll(max(0.0, until_s - time.monotonic())):
                self._end()
                raise TimeoutError("libx264's processes did not get ready")
            pipe.recv()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def most(self, guess: float, window_s: float, late_ms: float) -> int:
        """The most streams of which 99 % of the pictures are late by less than `late_ms`."""
        streams = max(1, min(len(self._pipes), round(guess)))
        if self._holds(streams, window_s, late_ms):
            while streams < len(self._pipes) and self._holds(streams + 1, window_s, late_ms):
                streams += 1
            return streams
        while streams > 1:
            streams -= 1
            if self._holds(streams, window_s, late_ms):
                return streams
        return 0

    def _holds(self, streams: int, window_s: float, late_ms: float) -> bool:
        for _ in range(LOOKS):
            late, cpu_ms = self._look(streams, window_s)
            if percentile(late, 0.99) < late_ms:
                self.cpu_ms = cpu_ms
                return True
        return False

    def _look(self, streams: int, window_s: float) -> tuple[list[float], float]:
        """The lateness of all pictures, and the CPU time of one; ms."""
        begin_s = time.monotonic() + 0.2
        for index, pipe in enumerate(self._pipes[:streams]):
            pipe.send((begin_s, SETTLE_S + window_s, index))
        looked = [pipe.recv() for pipe in self._pipes[:streams]]
        late = [late_ms for of_one, _ in looked for late_ms in of_one]
        return late, sum(cpu_ms for _, cpu_ms in looked) / len(looked)

    def _end(self) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(5.0)
            if process.is_alive():
                process.kill()


def _process(pipe: Connection, clip: Clip, ladder: Ladder, cores: tuple[int, ...]) -> None:
    """Encode one stream whenever told to, until the pipe closes."""
    os.sched_setaffinity(0, cores)
    renditions = prepare(clip, ladder)
    pipe.send(True)
    with contextlib.suppress(EOFError):
        while True:
            begin_s, seconds, index = pipe.recv()
            pipe.send(_stream(clip, ladder, renditions, begin_s, seconds, index))


def _stream(
    clip: Clip,
    ladder: Ladder,
    renditions: Sequence[Sequence[Nv12]],
    begin_s: float,
    seconds: float,
    index: int,
) -> tuple[list[float], float]:
    """The lateness of a stream's pictures, and the CPU time of one; ms.

    Those that it did not come to count as hopeless.
    """
    encoders = LadderEncoders(ladder, clip.sps, renditions)
    begin_s += index * APART_S % (1 / FPS)
    first = round(index * APART_S * FPS)  # keyframes, too, are apart
    late_ms: list[float] = []
    count = int(seconds * FPS)
    cpu_s = time.process_time()
    for number in range(count):
        due_s = begin_s + number / FPS
        now_s = time.monotonic()
        if now_s - due_s > HOPELESS_S:
            late_ms += [HOPELESS_S * 1000] * (count - number)
            count = number
            break
        if now_s < due_s:
            time.sleep(due_s - now_s)
        encoders.encode(first + number)
        if number >= SETTLE_S * FPS:
            late_ms.append((time.monotonic() - due_s) * 1000)
    return late_ms, (time.process_time() - cpu_s) * 1000 / max(1, count)
