"""Decoded pictures of 10 bits to NV12 of 8, tones mapped where there are HDR's (IO: CUDA).

NVDEC gives P016: 16-bit samples, the value in the upper 10 bits. One launch of `to_nv12.cu` behind
the decoder's work, on its stream, makes of each picture what the scaler, snapshots and looks take.
The targets are the decoder's own, as the frames of NVDEC are: written again by its next call.
"""

import ctypes
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from common.media.pictures import PictureFormat
from worker.devices.gpu.context import Stream, launch_kernel
from worker.devices.gpu.memory import DeviceFrame
from worker.devices.tone_mapping import BT709, HLG, PQ, needs_mapping

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


def mapped_transfer(pictures: PictureFormat) -> int:
    """The kernel's name of the tones to be mapped; 0: there are none."""
    if not needs_mapping(pictures):
        return 0
    return pictures.colour_transfer if pictures.colour_transfer in (PQ, HLG) else BT709


def blocks_of(width: int, height: int) -> int:
    """Of the launch: a thread makes 2x2 samples."""
    return -(-(width // 2) * (height // 2) // THREADS)


class Nv12Converter:
    """That of one decoder."""

    def __init__(self) -> None:
        self._frames: list[DeviceFrame] = []  # one for each picture of a call

    def convert(
        self,
        pictures: PictureFormat,
        luma: int,
        chroma: int,
        pitch: int,
        size: tuple[int, int],
        index: int,
        stream: Stream,
    ) -> DeviceFrame:
        """Queue the conversion of the decoder call's picture `index`."""
        width, height = size
        frame = self._frame(index, width, height)
        launch = np.zeros(1, CONVERSION)
        for name, value in (
            ("luma", luma),
            ("chroma", chroma),
            ("target_luma", frame.pointer),
            ("target_chroma", frame.pointer + height * frame.pitch),
            ("pitch", pitch),
            ("target_pitch", frame.pitch),
            ("width", width),
            ("height", height),
            ("transfer", mapped_transfer(pictures)),
            ("matrix", pictures.colour_matrix),
        ):
            launch[name] = value
        arguments = (ctypes.c_void_p * 1)(launch.ctypes.data)
        blocks = blocks_of(width, height)
        # The driver takes the arguments over before the call returns.
        launch_kernel(_kernel(), blocks, THREADS, 0, stream, ctypes.addressof(arguments))
        return frame

    def _frame(self, index: int, width: int, height: int) -> DeviceFrame:
        frames = self._frames
        if frames and (frames[0].width, frames[0].height) != (width, height):
            frames.clear()
        while len(frames) <= index:
            frames.append(DeviceFrame(width, height))
        return frames[index]


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
