"""A scaled picture in device memory, compared there with what was coded of it (IO: CUDA).

The keyframe is decoded on the host, which costs no session of NVDEC; its luma goes up, one launch
of `quality.cu` compares, and two numbers for every 16 windows come back. Beside a download and the
comparison of `worker/quality/ssim.py` that saves the host some 5 ms of a core for 1920x1080.

All is called in the thread that measures, on a stream of its own.
"""

import ctypes
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from worker.devices.gpu.context import Event, Stream, launch_kernel
from worker.devices.gpu.memory import DeviceFrame
from worker.devices.letterbox import Rectangle
from worker.quality.ssim import MIN_SIDE, Likeness, Luma, part_of, psnr_of

if TYPE_CHECKING:
    from worker.devices.gpu.memory import GpuSurface

THREADS: Final = 128
SPAN: Final = 16  # windows of a thread
_KERNEL_SOURCE: Final = Path(__file__).with_name("quality.cu")

# Mirrors the struct of `quality.cu`, field by field.
COMPARISON = np.dtype(
    [
        ("reference", np.uint64),
        ("coded", np.uint64),
        ("windows", np.uint64),
        ("errors", np.uint64),
        ("reference_pitch", np.int32),  # bytes
        ("coded_pitch", np.int32),
        ("width", np.int32),  # samples
        ("height", np.int32),
    ],
    align=True,
)


class DeviceLuma:
    """A `worker.quality.kept_luma.KeptLuma`: it keeps the surface, so nobody writes its frame."""

    __slots__ = ("_surface",)

    def __init__(self, surface: "GpuSurface") -> None:
        self._surface = surface

    def compare(self, coded: Luma, place: Rectangle) -> Likeness:
        """Raises ValueError, CudaError, and what CuPy raises."""
        frame = self._surface.frame
        if not isinstance(frame, DeviceFrame) or coded.shape != (frame.height, frame.width):
            raise ValueError(f"a picture of {coded.shape} for one of {frame.width}x{frame.height}")
        return _comparison().compare(frame, self._surface.written, part_of(coded, place), place)


class _Comparison:
    """What comparisons need of the device, kept from one to the next."""

    def __init__(self) -> None:
        import cupy

        cupy.cuda.Device(0).use()  # this thread may be new to the context
        cupy.cuda.runtime.free(0)
        self._stream = Stream()
        self._kernel = _kernel()

    def compare(
        self, frame: DeviceFrame, written: Event, coded: Luma, place: Rectangle
    ) -> Likeness:
        import cupy

        height, width = coded.shape
        if min(height, width) < MIN_SIDE:
            raise ValueError(f"a picture of {width}x{height} is not compared")
        threads = threads_of(width, height)
        # Allocated on the legacy stream's arena, as frames are; freed behind the stream's work.
        target = cupy.empty((height, width), cupy.uint8)
        windows, errors = cupy.empty(threads, cupy.float32), cupy.empty(threads, cupy.uint32)
        target.set(np.ascontiguousarray(coded), stream=self._stream.cupy)
        self._stream.wait(written)
        launch = np.zeros(1, COMPARISON)
        launch["reference"] = frame.pointer + place.y * frame.pitch + place.x
        launch["coded"], launch["coded_pitch"] = int(target.data.ptr), width
        launch["windows"], launch["errors"] = int(windows.data.ptr), int(errors.data.ptr)
        launch["reference_pitch"] = frame.pitch
        launch["width"], launch["height"] = width, height
        arguments = (ctypes.c_void_p * 1)(launch.ctypes.data)
        blocks = -(-threads // THREADS)
        pointer = ctypes.addressof(arguments)
        launch_kernel(self._kernel, blocks, THREADS, 0, self._stream, pointer)
        found = windows.get(stream=self._stream.cupy), errors.get(stream=self._stream.cupy)
        self._stream.synchronize()
        return likeness_of(*found, width, height)


def threads_of(width: int, height: int) -> int:
    """How many threads a comparison has, each with a place in the outputs."""
    columns, rows = -(-width // 4), -(-height // 4)
    return -(-columns // SPAN) * rows


def likeness_of(windows: Any, errors: Any, width: int, height: int) -> Likeness:
    """What the threads' sums come to."""
    count = (width // 4 - 1) * (height // 4 - 1)
    error = int(errors.sum(dtype=np.int64))
    return Likeness(float(windows.sum(dtype=np.float64)) / count, psnr_of(error, width * height))


@lru_cache(maxsize=1)
def _comparison() -> _Comparison:
    """Of this process: made by the first comparison, in the thread that measures."""
    return _Comparison()


def compile_kernel() -> None:
    """Compile the kernel now, so that it is not in the way of streams later."""
    _kernel()


@lru_cache(maxsize=1)
def _kernel() -> int:
    """The CUfunction of the kernel; CuPy keeps the module."""
    import cupy

    raw = cupy.RawKernel(_KERNEL_SOURCE.read_text(), "compare_luma", ("-std=c++17",))
    _modules.append(raw.kernel)
    return int(raw.kernel.ptr)


_modules: list[Any] = []
