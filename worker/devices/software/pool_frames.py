"""Pictures in a pool as frames for libx264, without a copy: the encoder process's end."""

from typing import Final

from av.video.frame import VideoFrame

from common.errors import EncodeFailed
from worker.devices.software.luma import luma_of
from worker.pool.layout import Places
from worker.pool.memory import MappedPool, planes
from worker.quality.kept_luma import HostLuma

FORMAT: Final = "nv12"  # a pool's


class PoolSurface:
    """A picture in a pool, as `worker/devices/software/encode.py` takes it."""

    __slots__ = ("_frame", "pts_ms")

    def __init__(self, frame: VideoFrame, pts_ms: int) -> None:
        self._frame = frame
        self.pts_ms = pts_ms

    def prepare(self) -> None:
        """Nothing is left to do."""

    def video_frame(self) -> VideoFrame:
        """The frame in host memory."""
        self._frame.pts = self.pts_ms
        return self._frame

    def kept_luma(self) -> HostLuma:
        """A copy: its place is written again."""
        return HostLuma(luma_of(self._frame).copy())


class PoolFrames:
    """The frames of one rendition's places."""

    def __init__(self, pool: MappedPool, places: Places, pictures: int) -> None:
        """The places lie in the pool. Raises EncodeFailed."""
        try:
            self._frames = [
                VideoFrame.from_dlpack(
                    planes(pool.bytes, places, slot),
                    format=FORMAT,
                    width=places.width,
                    height=places.height,
                )
                for slot in range(pictures)
            ]
        except Exception as error:
            size = f"{places.width}x{places.height}"
            raise EncodeFailed(f"pictures of {size} in a pool: {error}") from error

    def surface(self, slot: int, pts_ms: int) -> PoolSurface:
        """The picture of a place."""
        return PoolSurface(self._frames[slot], pts_ms)
