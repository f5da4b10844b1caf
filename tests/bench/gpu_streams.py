"""How many 1080p30 streams one worker process decodes and scales, encoding left out.

    python -m tests.bench.gpu_streams [--clip FILE] [--seconds 5] [--streams 60,80,100]

First the ceiling: PyNvVideoCodec alone, in this process, a decoder a thread, as fast as it goes.
Then the worker's decoder and scaler in the same threads (1080p to 720p, 480p, 360p), as fast as it
takes frames. Then in real time: streams share 32 threads, as in a worker; a frame's lateness is
from when its unit is due until its renditions are launched. Also the time a frame takes outside
NVDEC's own call, which is mostly under the GIL, the host CPU a frame, and the device memory of a
stream.
"""

import argparse
import heapq
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from common.config.ladder import SourceFormat, Template, fit_ladder
from common.config.settings import DEFAULT_RENDITIONS
from tests.kit.gpu_units import Coded, code, footage
from worker.devices.gpu.decode import GpuDecoder
from worker.devices.gpu.device import GpuBackend
from worker.devices.gpu.scale import GpuScaler

WIDTH, HEIGHT, FPS = 1920, 1080, 30
LADDER = fit_ladder(Template("bench", DEFAULT_RENDITIONS), SourceFormat(WIDTH, HEIGHT))
WANTED = tuple(range(len(LADDER.renditions)))


class Stream:
    """A decoder and a scaler, fed with the clip over and over."""

    def __init__(self, device: GpuBackend, coded: Coded, *, scales: bool) -> None:
        self._coded = coded
        self._next = 0
        self.decoder: GpuDecoder = device.open_decoder(coded.config, coded.sps)
        self.scaler: GpuScaler | None = None
        if scales:
            self.scaler = GpuScaler(device.context, LADDER, coded.sps)

    def step(self) -> int:
        """Feed one unit; how many pictures came."""
        unit = self._coded.units[self._next % len(self._coded.units)]
        pts_ms = self._next * 1000 // FPS
        self._next += 1
        pictures = self.decoder.decode(unit.data, pts_ms, pts_ms)
        if self.scaler is not None:
            for picture in pictures:
                self.scaler.scale(picture, WANTED)
        return len(pictures)

    def close(self) -> None:
        if self.scaler is not None:
            self.scaler.close()
        self.decoder.close()


def flat_out(make: Callable[[], Any], threads: int, seconds: float) -> tuple[float, float]:
    """Frames a second over all threads, and host CPU in us a frame."""
    streams = [make() for _ in range(threads)]
    for stream in streams:
        for _ in range(5):
            stream.step()
    frames = [0] * threads
    begin = threading.Barrier(threads + 1)
    end = 0.0

    def work(index: int) -> None:
        stream = streams[index]
        begin.wait()
        while time.perf_counter() < end:
            frames[index] += stream.step()

    workers = [threading.Thread(target=work, args=(index,)) for index in range(threads)]
    end = time.perf_counter() + seconds + 0.2
    for worker in workers:
        worker.start()
    begin.wait()
    started, cpu = time.perf_counter(), time.process_time()
    for worker in workers:
        worker.join()
    elapsed, used = time.perf_counter() - started, time.process_time() - cpu
    for stream in streams:
        stream.close()
    return sum(frames) / elapsed, used / max(1, sum(frames)) * 1e6


def real_time(
    make: Callable[[], Stream], count: int, worker_threads: int, seconds: float
) -> tuple[list[float], float, float]:
    """Lateness of each frame in ms, host CPU in us a frame, and frames a second."""
    streams = [make() for _ in range(count)]
    for stream in streams:
        for _ in range(3):
            stream.step()
    lateness: list[list[float]] = [[] for _ in range(worker_threads)]
    start = time.perf_counter() + 0.3

    def worker_thread(index: int) -> None:
        mine = streams[index::worker_threads]
        due = [(start + (index + k * worker_threads) / count / FPS, k) for k in range(len(mine))]
        heapq.heapify(due)
        while due and due[0][0] < start + seconds:
            at, k = heapq.heappop(due)
            wait = at - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
            mine[k].step()
            lateness[index].append((time.perf_counter() - at) * 1000)
            heapq.heappush(due, (at + 1 / FPS, k))

    threads = [
        threading.Thread(target=worker_thread, args=(index,)) for index in range(worker_threads)
    ]
    cpu = time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    used = time.process_time() - cpu
    elapsed = time.perf_counter() - start
    for stream in streams:
        stream.close()
    every = sorted(value for values in lateness for value in values)
    return every, used / len(every) * 1e6, len(every) / elapsed


class _Timed:
    """Stands before a PyNvVideoCodec decoder and adds up the time inside its call."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder
        self.inside = 0.0

    def Decode(self, packet: Any) -> Any:
        begin = time.perf_counter()
        frames = self._decoder.Decode(packet)
        self.inside += time.perf_counter() - begin
        return frames


def own_time_us(device: GpuBackend, coded: Coded) -> tuple[float, float]:
    """Of one stream, a frame: NVDEC's call, and everything else (mostly under the GIL)."""
    stream = Stream(device, coded, scales=True)
    for _ in range(50):
        stream.step()
    timed = _Timed(stream.decoder._decoder)
    stream.decoder._decoder = timed
    count = 500
    begin = time.perf_counter()
    for _ in range(count):
        stream.step()
    whole = time.perf_counter() - begin
    stream.close()
    return timed.inside / count * 1e6, (whole - timed.inside) / count * 1e6


def memory_mib(device: GpuBackend, coded: Coded, count: int = 10) -> float:
    """Device memory of a stream: decoder, scaler, three renditions' frames."""
    warm = Stream(device, coded, scales=True)
    warm.step()
    free, _ = device.context.memory()
    streams = [Stream(device, coded, scales=True) for _ in range(count)]
    for stream in streams:
        stream.step()
        stream.step()
    left, _ = device.context.memory()
    for stream in (*streams, warm):
        stream.close()
    return (free - left) / count / 2**20


def percentile(values: Sequence[float], share: float) -> float:
    return values[min(len(values) - 1, int(len(values) * share))] if values else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clip", type=Path, help="footage to code anew; else a made picture")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--threads", default="1,8,16,32")
    parser.add_argument("--streams", default="60,80,90,100,110")
    parser.add_argument("--lanes", type=int, default=32)
    arguments = parser.parse_args()

    frames = 120
    pictures = footage(arguments.clip, WIDTH, HEIGHT, frames) if arguments.clip else None
    coded = code(WIDTH, HEIGHT, frames, fps=FPS, gop=60, bitrate_bps=6_000_000, pictures=pictures)
    size = sum(len(unit.data) for unit in coded.units) * 8 * FPS / frames / 1e6
    device = GpuBackend("", allow_nvenc=False)
    print(f"{device.info.label}; clip {WIDTH}x{HEIGHT}, {frames} frames, {size:.1f} Mbit/s")
    print(f"device memory of a stream: {memory_mib(device, coded):.1f} MiB")
    inside, outside = own_time_us(device, coded)
    print(f"one stream: {inside:.0f} us in NVDEC's call, {outside:.0f} us outside it, a frame")

    ceiling = best = 0.0
    for threads in map(int, arguments.threads.split(",")):
        raw, raw_cpu = flat_out(
            lambda: Stream(device, coded, scales=False), threads, arguments.seconds
        )
        worker, cpu = flat_out(
            lambda: Stream(device, coded, scales=True), threads, arguments.seconds
        )
        ceiling, best = max(ceiling, raw), max(best, worker)
        print(
            f"{threads:3} threads: decode {raw:5.0f} frames/s ({raw_cpu:4.0f} us CPU a frame), "
            f"decode and scale {worker:5.0f} ({cpu:4.0f} us), {worker / raw:.0%}"
        )
    print(f"best: {best:.0f} of {ceiling:.0f} frames/s, {best / ceiling:.0%}")

    for count in map(int, arguments.streams.split(",")):
        late, cpu, fps = real_time(
            lambda: Stream(device, coded, scales=True),
            count,
            arguments.lanes,
            arguments.seconds,
        )
        marks = ", ".join(
            f"{name} {percentile(late, share):.1f}"
            for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))
        )
        print(
            f"{count:4} streams in real time: lateness ms {marks}; "
            f"{fps:.0f} of {count * FPS} frames/s, {cpu:.0f} us CPU a frame"
        )


if __name__ == "__main__":
    main()
