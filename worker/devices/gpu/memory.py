"""The frames that renditions are scaled into: pools of stable device or pinned host buffers (IO).

NVENC registers every address it is given (FFmpeg keeps 64 of them), so a rendition's frames are
made once and used again and again. A frame is taken for a `GpuSurface` and comes back when that is
dropped, encoded or not, from whichever thread.
"""

from collections.abc import Sequence
from typing import Any

from av.video.frame import VideoFrame

from common.errors import DecodeFailed, UsageError
from worker.devices.gpu.context import Event, Stream, copy_to_host
from worker.devices.gpu.plan import target_pitch
from worker.pool.memory import PicturePool
from worker.quality.kept_luma import HostLuma, KeptLuma

MAX_FRAMES = 48  # of one rendition; FFmpeg's NVENC wrapper can register 64
_FIRST_FRAMES = 3


class DeviceFrame:
    """An NV12 frame in device memory: rows of luma, then of chroma, `pitch` bytes each."""

    def __init__(self, width: int, height: int) -> None:
        import cupy

        self.width, self.height, self.pitch = width, height, target_pitch(width)
        # Allocated on the legacy stream's arena: an arena a session stream would never be freed.
        self.array: Any = cupy.empty((height * 3 // 2, self.pitch), cupy.uint8)
        self.pointer = int(self.array.data.ptr)

    def planes(self) -> tuple[Any, Any]:
        """Views for DLPack: luma (height, width), chroma (height / 2, width / 2, 2)."""
        luma = self.array[: self.height, : self.width]
        chroma = self.array[self.height :, : self.width]
        # A view, never reshape(): of a row of padded bytes CuPy would make a copy.
        shape = (self.height // 2, self.width // 2, 2)
        return luma, cupy_view(chroma, shape, (self.pitch, 2, 1))

    def blacken(self, luma: int, stream: Stream) -> None:
        """Queue a black picture."""
        with stream.cupy:
            self.array[: self.height] = luma
            self.array[self.height :] = 128


class HostFrame:
    """An NV12 frame in pinned host memory, laid out as a `DeviceFrame`."""

    def __init__(self, width: int, height: int) -> None:
        import cupy
        import numpy as np

        self.width, self.height, self.pitch = width, height, target_pitch(width)
        self.size = height * 3 // 2 * self.pitch
        self._memory = cupy.cuda.alloc_pinned_memory(self.size)
        flat: Any = np.frombuffer(self._memory, np.uint8, self.size)
        self.array = flat.reshape(height * 3 // 2, self.pitch)
        self.pointer = int(self._memory.ptr)
        luma = self.array[:height, :width]
        chroma = self.array[height:, :width].reshape(height // 2, width // 2, 2)
        self.video = VideoFrame.from_dlpack(
            (luma, chroma), format="nv12", width=width, height=height
        )

    def download(self, source: DeviceFrame, stream: Stream) -> None:
        """Queue the copy of a frame of the same size."""
        copy_to_host(self.pointer, source.pointer, self.size, stream)


class PoolFrame:
    """An NV12 frame in a pool that an encoder process maps, laid out as a `DeviceFrame`."""

    def __init__(self, pool: PicturePool, rendition: int, slot: int) -> None:
        places = pool.layout.renditions[rendition]
        self.width, self.height, self.pitch = places.width, places.height, places.pitch
        self.size = places.size
        self.slot = slot
        self.pointer = pool.address + places.at(slot)
        self._pool = pool  # mapped for as long

    def download(self, source: DeviceFrame, stream: Stream) -> None:
        """Queue the copy of a frame of the same size."""
        copy_to_host(self.pointer, source.pointer, self.size, stream)


Frame = DeviceFrame | HostFrame | PoolFrame


def cupy_view(array: Any, shape: tuple[int, ...], strides: tuple[int, ...]) -> Any:
    """A view of `array`'s memory with a shape and strides of its own."""
    import cupy

    return cupy.ndarray(shape, array.dtype, memptr=array.data, strides=strides)


class FramePool:
    """The frames of one rendition. `take` on the scaler's thread, `give_back` on any."""

    def __init__(
        self,
        kind: type[DeviceFrame] | type[HostFrame],
        width: int,
        height: int,
        given: Sequence[PoolFrame] = (),
    ) -> None:
        """`given`: all the frames that there are; else they are made as they are needed."""
        self._kind = kind
        self._size = width, height
        # A list's append and pop are atomic, and only one thread pops.
        self._free: list[Frame] = list(given) or [kind(width, height) for _ in range(_FIRST_FRAMES)]
        self._made = MAX_FRAMES if given else _FIRST_FRAMES
        self._is_given = bool(given)

    def take(self) -> Frame:
        """A free frame, the one used last first, so that it is still in the cache.

        Raises UsageError when all are out: surfaces are kept that nobody encodes; of a pool's
        frames DecodeFailed, as those that encode them are another process.
        """
        if self._free:
            return self._free.pop()
        if self._is_given:
            raise DecodeFailed("every place of the pool is taken")
        if self._made >= MAX_FRAMES:
            raise UsageError(f"{MAX_FRAMES} frames of a rendition are out, none came back")
        self._made += 1
        return self._kind(*self._size)

    def give_back(self, frame: Frame) -> None:
        self._free.append(frame)


def pool_frames(pool: PicturePool | None, rendition: int) -> list[PoolFrame]:
    """All the frames of a rendition in a pool; none without one."""
    if pool is None:
        return []
    return [PoolFrame(pool, rendition, slot) for slot in range(pool.layout.pictures)]


class Written:
    """The event after which the surfaces of one launch are written; it comes back with the last."""

    __slots__ = ("_free", "event")

    def __init__(self, free: list[Event]) -> None:
        self._free = free
        self.event = free.pop() if free else Event()

    def __del__(self) -> None:
        self._free.append(self.event)


class GpuSurface:
    """One rendition's frame: written once `written` has passed."""

    __slots__ = ("_pool", "_written", "frame", "pts_ms")

    def __init__(self, frame: Frame, pool: FramePool, pts_ms: int, written: Written) -> None:
        self.frame = frame
        self.pts_ms = pts_ms
        self._pool = pool
        self._written = written

    @property
    def written(self) -> Event:
        return self._written.event

    def prepare(self) -> None:
        """On the device nothing is left to do; a frame in host memory is waited for."""
        if not isinstance(self.frame, DeviceFrame):
            self._written.event.synchronize()

    @property
    def slot(self) -> int:
        """Its place in the pool. Raises UsageError for a frame that is in none."""
        if not isinstance(self.frame, PoolFrame):
            raise UsageError("this frame is in no pool")
        return self.frame.slot

    def video_frame(self) -> VideoFrame:
        """The frame in host memory: what `soft_encode.HostSurface` asks, after `prepare`.

        Raises UsageError for a frame on the device.
        """
        frame = self.frame
        if not isinstance(frame, HostFrame):
            raise UsageError("a surface on the device has no frame in host memory")
        frame.video.pts = self.pts_ms
        return frame.video

    def kept_luma(self) -> KeptLuma:
        """A copy of what lies in host memory; on the device the frame itself.

        Raises UsageError for a frame of a pool: its process measures.
        """
        frame = self.frame
        if isinstance(frame, DeviceFrame):
            from worker.devices.gpu.quality import DeviceLuma

            return DeviceLuma(self)
        if not isinstance(frame, HostFrame):
            raise UsageError("what another process encodes is not measured here")
        return HostLuma(frame.array[: frame.height, : frame.width].copy())

    def __del__(self) -> None:
        self._pool.give_back(self.frame)
