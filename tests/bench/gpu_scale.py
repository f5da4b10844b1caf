"""The scale kernel's GPU time, beside the classic NPP chain and a plain copy.

    python -m tests.bench.gpu_scale [--launches 1000]

1080p to 720p, 480p and 360p, NV12. Mean by CUDA events over launches back to back on one stream,
after a warm-up: once with the same picture again and again, which lies in the L2 cache as the
decoder's last picture does, and once with 16 pictures in turn, which do not all fit.
The NPP chain is what this kernel stands in for: a deinterleave, and for each rendition three plane
resizes and an interleave. NPP is called through ctypes; without its libraries that line is left
out. `--check` only compares the pictures with the float64 reference.
"""

import argparse
import ctypes
import ctypes.util
import glob
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from common.config.ladder import SourceFormat, Template, fit_ladder
from common.config.settings import DEFAULT_RENDITIONS
from tests.kit.gpu_units import moving_picture
from tests.kit.scale_reference import psnr, scale_nv12
from worker.devices.gpu.context import Stream, launch_kernel
from worker.devices.gpu.decode import GpuPicture
from worker.devices.gpu.device import PLAIN_SPS, GpuBackend
from worker.devices.gpu.plan import THREADS, Fit, target_pitch
from worker.devices.gpu.scale import GpuScaler, _kernel
from worker.devices.letterbox import rendition_picture

WIDTH, HEIGHT = 1920, 1080
SOURCES = 16
LADDER = fit_ladder(Template("bench", DEFAULT_RENDITIONS), SourceFormat(WIDTH, HEIGHT))
SPS = replace(PLAIN_SPS, width=WIDTH, height=HEIGHT)
NPP_INTERPOLATIONS = {"cubic": 4, "super": 8}


def time_us(stream: Stream, launches: int, launch: Callable[[int], None]) -> float:
    """Mean GPU time of a launch."""
    import cupy

    for index in range(200):
        launch(index)
    begin, end = cupy.cuda.Event(), cupy.cuda.Event()
    stream.synchronize()
    begin.record(stream.cupy)
    for index in range(launches):
        launch(index)
    end.record(stream.cupy)
    end.synchronize()
    return float(cupy.cuda.get_elapsed_time(begin, end)) * 1000 / launches


def graph_us(stream: Stream, launches: int, launch: Callable[[int], None]) -> float:
    """The same, launches replayed from a graph: without the gaps that Python leaves."""
    import cupy

    with stream.cupy:
        stream.cupy.begin_capture()
        for index in range(100):
            launch(index)
        graph = stream.cupy.end_capture()
    rounds = max(1, launches // 100)
    for _ in range(3):
        graph.launch(stream.cupy)
    begin, end = cupy.cuda.Event(), cupy.cuda.Event()
    stream.synchronize()
    begin.record(stream.cupy)
    for _ in range(rounds):
        graph.launch(stream.cupy)
    end.record(stream.cupy)
    end.synchronize()
    return float(cupy.cuda.get_elapsed_time(begin, end)) * 1000 / (rounds * 100)


class Kernel:
    """The scaler with its Python taken away: the launch alone."""

    def __init__(self, device: GpuBackend) -> None:
        import cupy

        self.stream = Stream()
        self.function = _kernel(False, False)
        self.scaler = GpuScaler(device.context, LADDER, SPS)
        self.sources = [cupy.asarray(moving_picture(i, WIDTH, HEIGHT)) for i in range(SOURCES)]
        cupy.cuda.Device().synchronize()
        self.pictures = [self._picture(array) for array in self.sources]
        self.surfaces = self.scaler.scale(self.pictures[0], range(3))
        self.plan = next(iter(self.scaler._plans.values()))

    def _picture(self, array: Any) -> GpuPicture:
        pointer = int(array.data.ptr)
        return GpuPicture(
            pts_ms=0,
            width=WIDTH,
            height=HEIGHT,
            sar=SPS.sar,
            is_damaged=False,
            luma=pointer,
            chroma=pointer + WIDTH * HEIGHT,
            pitch=WIDTH,
            sample_bytes=1,
            stream=self.stream,
            owner=array,
        )

    def launch(self, index: int) -> None:
        picture, plan = self.pictures[index % SOURCES], self.plan
        plan.head[0], plan.head[1] = picture.luma, picture.chroma
        launch_kernel(
            self.function, plan.blocks, THREADS, plan.shared_bytes, self.stream, plan.pointer
        )

    def scale(self, index: int) -> None:
        self.scaler.scale(self.pictures[index % SOURCES], (0, 1, 2))

    def check(self) -> None:
        self.launch(0)
        self.stream.synchronize()
        source = moving_picture(0, WIDTH, HEIGHT)
        for rendition, surface in zip(LADDER.renditions, self.surfaces, strict=True):
            frame: Any = surface.frame
            made = frame.array.get()[:, : rendition.width]
            fit = Fit.of(rendition.width, rendition.height, rendition_picture(rendition))
            wanted = scale_nv12(source, HEIGHT, fit)
            worst = np.abs(made - wanted).max()
            print(
                f"{rendition.name}: PSNR {psnr(made, wanted):.1f} dB against float64, "
                f"{psnr(made, np.rint(wanted)):.1f} dB against it rounded, worst {worst:.2f}"
            )


class _Size(ctypes.Structure):
    _fields_ = (("width", ctypes.c_int), ("height", ctypes.c_int))


class _Rect(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_int) for name in ("x", "y", "width", "height"))


class _NppContext(ctypes.Structure):
    _fields_ = (
        ("stream", ctypes.c_void_p),
        ("device", ctypes.c_int),
        ("multiprocessors", ctypes.c_int),
        ("threads_per_multiprocessor", ctypes.c_int),
        ("threads_per_block", ctypes.c_int),
        ("shared_per_block", ctypes.c_size_t),
        ("major", ctypes.c_int),
        ("minor", ctypes.c_int),
        ("stream_flags", ctypes.c_uint),
        ("reserved", ctypes.c_int),
    )


def _npp_library(name: str) -> ctypes.CDLL:
    for place in ("/usr/local/cuda/lib64", "/usr/local/cuda/targets/x86_64-linux/lib"):
        for path in sorted(glob.glob(f"{place}/lib{name}.so*"), key=len):
            return ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(f"lib{name}.so", mode=ctypes.RTLD_GLOBAL)


class NppChain:
    """Deinterleave once; per rendition resize three planes and interleave. Buffers are kept."""

    def __init__(self, sources: list[Any], interpolation: int) -> None:
        import cupy

        _npp_library("nppc")
        self._resize = _npp_library("nppig").nppiResize_8u_C1R_Ctx
        colour = _npp_library("nppicc")
        self._split = colour.nppiNV12ToYUV420_8u_P2P3R_Ctx
        self._join = colour.nppiYCbCr420_8u_P3P2R_Ctx
        self._interpolation = interpolation
        self.stream = Stream()
        properties = cupy.cuda.runtime.getDeviceProperties(0)
        self._context = _NppContext(
            self.stream.pointer,
            0,
            properties["multiProcessorCount"],
            properties["maxThreadsPerMultiProcessor"],
            properties["maxThreadsPerBlock"],
            properties["sharedMemPerBlock"],
            properties["major"],
            properties["minor"],
            1,
            0,
        )
        self._sources = sources
        self._planes = self._three(WIDTH, HEIGHT)
        self._renditions = [
            (
                rendition,
                self._three(rendition.width, rendition.height),
                cupy.empty((rendition.height * 3 // 2, target_pitch(rendition.width)), cupy.uint8),
            )
            for rendition in LADDER.renditions
        ]

    @staticmethod
    def _three(width: int, height: int) -> list[Any]:
        import cupy

        pitch = target_pitch(width)
        chroma = target_pitch(width // 2)
        return [
            cupy.empty((height, pitch), cupy.uint8),
            cupy.empty((height // 2, chroma), cupy.uint8),
            cupy.empty((height // 2, chroma), cupy.uint8),
        ]

    @staticmethod
    def _pointers(planes: list[Any]) -> Any:
        return (ctypes.c_void_p * len(planes))(*(int(plane.data.ptr) for plane in planes))

    @staticmethod
    def _steps(planes: list[Any]) -> Any:
        return (ctypes.c_int * len(planes))(*(plane.strides[0] for plane in planes))

    def launch(self, index: int) -> None:
        source = int(self._sources[index % SOURCES].data.ptr)
        status = self._split(
            (ctypes.c_void_p * 2)(source, source + WIDTH * HEIGHT),
            WIDTH,
            self._pointers(self._planes),
            self._steps(self._planes),
            _Size(WIDTH, HEIGHT),
            self._context,
        )
        for rendition, planes, target in self._renditions:
            for half, (plane, made) in enumerate(zip(self._planes, planes, strict=True)):
                by = 2 if half else 1
                from_size = WIDTH // by, HEIGHT // by
                to_size = rendition.width // by, rendition.height // by
                status = status or self._resize(
                    ctypes.c_void_p(int(plane.data.ptr)),
                    plane.strides[0],
                    _Size(*from_size),
                    _Rect(0, 0, *from_size),
                    ctypes.c_void_p(int(made.data.ptr)),
                    made.strides[0],
                    _Size(*to_size),
                    _Rect(0, 0, *to_size),
                    self._interpolation,
                    self._context,
                )
            pitch = target.strides[0]
            status = status or self._join(
                self._pointers(planes),
                self._steps(planes),
                ctypes.c_void_p(int(target.data.ptr)),
                pitch,
                ctypes.c_void_p(int(target.data.ptr) + pitch * rendition.height),
                pitch,
                _Size(rendition.width, rendition.height),
                self._context,
            )
        if status:
            raise RuntimeError(f"NPP status {status}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--launches", type=int, default=1000)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    import cupy

    device = GpuBackend("", allow_nvenc=False)
    kernel = Kernel(device)
    print(
        f"{device.info.label}: {WIDTH}x{HEIGHT} to {', '.join(r.name for r in LADDER.renditions)}"
    )
    kernel.check()
    if arguments.check:
        return
    big = cupy.empty(512 * 2**20, cupy.uint8)
    other = cupy.empty_like(big)
    copy_us = time_us(
        kernel.stream,
        20,
        lambda _: cupy.cuda.runtime.memcpyAsync(
            other.data.ptr, big.data.ptr, big.nbytes, 3, kernel.stream.pointer
        ),
    )
    print(f"device copy: {2 * big.nbytes / copy_us / 1e6:.2f} TB/s, read and written")
    print(f"blocks {kernel.plan.blocks}, shared memory a block {kernel.plan.shared_bytes} bytes")
    count = arguments.launches
    for _ in range(2):
        same = time_us(kernel.stream, count, lambda _: kernel.launch(0))
        turns = time_us(kernel.stream, count, kernel.launch)
        print(f"kernel: {same:.2f} us the same picture, {turns:.2f} us {SOURCES} in turn")
    print(f"kernel, from a graph: {graph_us(kernel.stream, count, kernel.launch):.2f} us")
    print(f"scale(), Python included: {time_us(kernel.stream, count, kernel.scale):.2f} us")
    for name, interpolation in NPP_INTERPOLATIONS.items():
        try:
            chain = NppChain(kernel.sources, interpolation)
            print(f"NPP chain, {name}: {time_us(chain.stream, 300, chain.launch):.1f} us")
        except (OSError, AttributeError, RuntimeError) as error:
            print(f"NPP chain, {name}: not run: {error}")


if __name__ == "__main__":
    main()
