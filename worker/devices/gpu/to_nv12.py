"""Decoded pictures of 10 bits to NV12 of 8, tones mapped where there are HDR's (IO: CUDA).

NVDEC gives P016: 16-bit samples, the value in the upper 10 bits. The scaler takes it as it is. One
launch of `to_nv12.cu` behind the decoder's work, on its stream, makes NV12 of HDR, which the scaler
cannot take, and of what snapshots and looks take. The targets are the decoder's own, as the frames
of NVDEC are: written again by its next call.
"""

import ctypes
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from common.media.pictures import PictureFormat
from worker.devices.gpu.context import launch_kernel
from worker.devices.gpu.memory import DeviceFrame
from worker.devices.tone_mapping import BT709, HLG, PQ, needs_mapping

if TYPE_CHECKING:
    from worker.devices.gpu.decode import GpuPicture

THREADS: Final = 128
_KERNEL_SOURCE: Final = Path(__file__).with_name("to_nv12.cu")

# Mirrors the struct of `to_nv12.cu`, field by field.
CONVERSION = np.dtype(
    [
        ("luma", np.uint64),
        ("chroma", np.uint64),
        ("target_luma", np.uint64),
        ("target_chroma", np.uint64),
        ("pitch", np.int32),  # bytes
        ("target_pitch", np.int32),
        ("width", np.int32),  # luma samples, even
        ("height", np.int32),
        ("transfer", np.int32),  # 0: samples are rounded alone
        ("matrix", np.int32),
    ],
    align=True,
)


def mapped_transfer(pictures: PictureFormat | None) -> int:
    """The kernel's name of the tones to be mapped; 0: there are none."""
    if pictures is None or not needs_mapping(pictures):
        return 0
    return pictures.colour_transfer if pictures.colour_transfer in (PQ, HLG) else BT709


def blocks_of(width: int, height: int) -> int:
    """Of the launch: a thread makes 2x2 samples."""
    return -(-(width // 2) * (height // 2) // THREADS)


class _Launch:
    """The arguments for pictures of one form, in place: only the pointers differ between them."""

    __slots__ = ("_held", "blocks", "form", "head", "pointer")

    def __init__(
        self, pictures: PictureFormat | None, form: tuple[int, int, int], target_pitch: int
    ) -> None:
        width, height, pitch = self.form = form
        launch = np.zeros(1, CONVERSION)
        for name, value in (
            ("pitch", pitch),
            ("target_pitch", target_pitch),
            ("width", width),
            ("height", height),
            ("transfer", mapped_transfer(pictures)),
            ("matrix", pictures.colour_matrix if pictures is not None else 0),
        ):
            launch[name] = value
        arguments = (ctypes.c_void_p * 1)(launch.ctypes.data)
        self._held = launch, arguments
        # The struct begins with pointers: luma, chroma, and those of the target.
        self.head = (ctypes.c_uint64 * 4).from_address(launch.ctypes.data)
        self.pointer = ctypes.addressof(arguments)
        self.blocks = blocks_of(width, height)


class Nv12Converter:
    """That of one decoder, for pictures of one format; None: samples are rounded alone."""

    def __init__(self, pictures: PictureFormat | None) -> None:
        self.format = pictures
        self._frames: list[DeviceFrame] = []  # one for each picture of a call
        self._launch: _Launch | None = None

    def convert(self, picture: "GpuPicture", index: int) -> "GpuPicture":
        """Queue the conversion of the decoder call's picture `index`; what it becomes."""
        form = picture.width, picture.height, picture.pitch
        launch = self._launch
        if launch is None or launch.form != form:
            picture.stream.synchronize()  # those from before may still be read
            self._frames.clear()
            self._frames.append(DeviceFrame(form[0], form[1]))
            launch = self._launch = _Launch(self.format, form, self._frames[0].pitch)
        while len(self._frames) <= index:
            self._frames.append(DeviceFrame(form[0], form[1]))
        frame = self._frames[index]
        head = launch.head
        head[0] = picture.luma
        head[1] = picture.chroma
        head[2] = luma = frame.pointer
        head[3] = chroma = luma + form[1] * frame.pitch
        # The driver takes the arguments over before the call returns.
        launch_kernel(_kernel(), launch.blocks, THREADS, 0, picture.stream, launch.pointer)
        return replace(
            picture,
            luma=luma,
            chroma=chroma,
            pitch=frame.pitch,
            sample_bytes=1,
            owner=(picture.owner, frame),
        )


def compile_kernel() -> None:
    """Compile the kernel now, so that no stream waits for it later."""
    _kernel()


@lru_cache(maxsize=1)
def _kernel() -> int:
    """The CUfunction of the kernel; CuPy keeps the module."""
    import cupy

    raw = cupy.RawKernel(_KERNEL_SOURCE.read_text(), "to_nv12", ("-std=c++17",))
    _modules.append(raw.kernel)
    return int(raw.kernel.ptr)


_modules: list[Any] = []
