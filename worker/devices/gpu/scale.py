"""Decoded pictures to all renditions of a ladder in one kernel launch (IO); plans are `plan.py`'s.

No allocation a frame: plans are kept by picture size and wanted renditions, frames come from pools.
On a GPU without NVENC the frames are staged on the device and copied down to pinned memory, queued
on the same stream: to a pool, for an encoder process, or for an encoder of this one (the doctor).
"""

import ctypes
from collections import OrderedDict
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

from common.config.ladder import Ladder, RenditionFormat, SourceFormat
from common.errors import DecodeFailed
from common.media.pictures import PictureFormat
from worker.devices.backend import Picture
from worker.devices.gpu.context import (
    Event,
    GpuContext,
    HostRegistration,
    Stream,
    launch_kernel,
)
from worker.devices.gpu.decode import GpuPicture
from worker.devices.gpu.memory import (
    DeviceFrame,
    FramePool,
    GpuSurface,
    HostFrame,
    Written,
    pool_frames,
)
from worker.devices.gpu.plan import MAX_RENDITIONS, THREADS, Fit, PicturePlan, plan_picture
from worker.devices.letterbox import fit_picture, rendition_picture
from worker.devices.tone_mapping import shown_format
from worker.pool.memory import PicturePool

_KERNEL_SOURCE = Path(__file__).with_name("scale.cu")
_MAX_PLANS = 16


class _Loaded:
    """A plan with its tables on the device and its arguments in place."""

    __slots__ = ("_arguments", "_launch", "blocks", "head", "pointer", "shared_bytes", "table")

    def __init__(self, plan: PicturePlan, table: Any) -> None:
        self.blocks = plan.blocks
        self.shared_bytes = plan.shared_bytes
        self.table = table  # cupy
        self._launch = plan.launch.copy()
        self._launch["table"] = int(table.data.ptr)
        # The struct begins with pointers: luma, chroma, table, targets.
        words = 3 + MAX_RENDITIONS
        self.head = (ctypes.c_uint64 * words).from_address(self._launch.ctypes.data)
        self._arguments = (ctypes.c_void_p * 1)(self._launch.ctypes.data)
        self.pointer = ctypes.addressof(self._arguments)

    def set_pitch(self, pitch: int) -> None:
        self._launch["pitch"] = pitch


class GpuScaler:
    """The scaler of one session. `hybrid` brings the frames down to the host, to `pool` if any."""

    def __init__(
        self,
        context: GpuContext,
        ladder: Ladder,
        pictures: PictureFormat,
        *,
        hybrid: bool = False,
        pool: PicturePool | None = None,
    ) -> None:
        """Raises DecodeFailed, CudaError."""
        if len(ladder.renditions) > MAX_RENDITIONS:
            raise DecodeFailed(
                f"{len(ladder.renditions)} renditions, the GPU scales to {MAX_RENDITIONS} at most"
            )
        self._context = context
        self._renditions = ladder.renditions
        self._first_format = (pictures.width, pictures.height, pictures.sar)
        self._full_range = shown_format(pictures).full_range
        self._hybrid = hybrid
        self._stream: Stream | None = None
        self._events: list[Event] = []  # free ones
        self._plans: OrderedDict[tuple[Any, ...], _Loaded] = OrderedDict()
        self._last: tuple[tuple[Any, ...], Fraction, _Loaded] | None = None
        self._registration = (
            HostRegistration(context, pool.address, pool.layout.size) if pool is not None else None
        )
        kind = HostFrame if hybrid else DeviceFrame
        self._pools = [
            FramePool(kind, rendition.width, rendition.height, pool_frames(pool, index))
            for index, rendition in enumerate(ladder.renditions)
        ]
        # One staging frame a rendition is enough: the next launch is queued behind the copy.
        self._staging = (
            [DeviceFrame(rendition.width, rendition.height) for rendition in ladder.renditions]
            if hybrid
            else []
        )

    def scale(self, picture: Picture, wanted: Sequence[int]) -> list[GpuSurface]:
        """One surface for each wanted rendition, all made by one launch on the picture's stream.

        Raises DecodeFailed for a picture that cannot be scaled, DeviceLost.
        """
        assert isinstance(picture, GpuPicture)
        if not wanted:
            return []
        stream = picture.stream
        if stream is not self._stream:
            if self._stream is not None:
                self._stream.synchronize()  # frames may still be written there
            self._stream = stream
        self._context.enter()
        written = Written(self._events)
        surfaces = [
            GpuSurface(
                self._pools[rendition].take(), self._pools[rendition], picture.pts_ms, written
            )
            for rendition in wanted
        ]
        try:
            plan = self._plan(picture, tuple(wanted), stream)
            head = plan.head
            head[0] = picture.luma
            head[1] = picture.chroma
            for slot, rendition in enumerate(wanted, 3):
                target = self._staging[rendition] if self._hybrid else surfaces[slot - 3].frame
                head[slot] = target.pointer
            size = picture.sample_bytes
            unaligned = (picture.luma | picture.chroma | picture.pitch) & (8 * size - 1) != 0
            kernel = _kernel(unaligned, size == 2)
            launch_kernel(kernel, plan.blocks, THREADS, plan.shared_bytes, stream, plan.pointer)
            for surface, rendition in zip(surfaces, wanted, strict=True):
                if not isinstance(surface.frame, DeviceFrame):
                    surface.frame.download(self._staging[rendition], stream)
            written.event.record(stream)
        except ValueError as error:
            raise DecodeFailed(str(error)) from error
        except Exception as error:
            raise self._context.failure(error, DecodeFailed(f"scaling: {error}")) from error
        return surfaces

    def close(self) -> None:
        """Wait for what is queued, so that no freed frame is written any more."""
        if self._stream is not None:
            self._stream.synchronize()
        self._plans.clear()
        self._last = None
        self._pools.clear()
        self._staging.clear()
        self._stream = None
        if self._registration is not None:
            self._registration.close()

    def _plan(self, picture: GpuPicture, wanted: tuple[int, ...], stream: Stream) -> _Loaded:
        key = (picture.width, picture.height, picture.pitch, wanted)
        last = self._last
        if last is not None and last[0] == key and last[1] is picture.sar:
            return last[2]  # without hashing a Fraction for every frame
        plan = self._plans.get((*key, picture.sar))
        if plan is None:
            plan = self._load(picture, wanted, stream)
            if len(self._plans) >= _MAX_PLANS:
                stream.synchronize()  # a launch may still read the table that goes
                self._plans.popitem(last=False)
            self._plans[*key, picture.sar] = plan
        self._last = (key, picture.sar, plan)
        return plan

    def _load(self, picture: GpuPicture, wanted: tuple[int, ...], stream: Stream) -> _Loaded:
        import cupy

        now = (picture.width, picture.height, picture.sar)
        fits = [self._fit(self._renditions[rendition], now) for rendition in wanted]
        made = plan_picture(picture.width, picture.height, fits, full_range=self._full_range)
        table = cupy.empty(made.table.shape, cupy.int32)
        table.set(made.table, stream=stream.cupy)
        stream.synchronize()  # the host's copy dies with this call
        loaded = _Loaded(made, table)
        loaded.set_pitch(picture.pitch)
        return loaded

    def _fit(self, rendition: RenditionFormat, now: tuple[int, int, Fraction]) -> Fit:
        if now == self._first_format:
            return Fit.of(rendition.width, rendition.height, rendition_picture(rendition))
        picture = fit_picture(SourceFormat(*now), rendition.width, rendition.height)
        return Fit.of(rendition.width, rendition.height, picture)


def compile_kernels() -> None:
    """Compile all forms of the kernel now, so that no stream waits for it later."""
    for unaligned in (False, True):
        for wide in (False, True):
            _kernel(unaligned, wide)


@lru_cache(maxsize=4)
def _kernel(unaligned: bool, wide: bool) -> int:
    """The CUfunction of the kernel, `wide` for 16-bit samples; CuPy keeps the module."""
    import cupy

    flags = [flag for flag, is_set in (("-DUNALIGNED", unaligned), ("-DWIDE", wide)) if is_set]
    raw = cupy.RawKernel(_KERNEL_SOURCE.read_text(), "scale_ladder", ("-std=c++17", *flags))
    _modules.append(raw.kernel)
    return int(raw.kernel.ptr)


_modules: list[Any] = []
