"""Pictures scaled on the host into a pool that an encoder process maps (IO: libswscale).

As a GPU's worker hands them over, where there is none: the same processes can be tried on any host.
libswscale writes where it likes, so each frame is copied once more.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane

from common.config.ladder import Ladder
from common.errors import DecodeFailed
from common.media.pictures import PictureFormat
from worker.devices.backend import Picture
from worker.devices.software.pool_frames import FORMAT
from worker.devices.software.scale import SoftScaler, SoftSurface
from worker.pool.memory import Bytes, PicturePool
from worker.quality.kept_luma import HostLuma


class SharedSoftSurface:
    """A rendition's frame in a pool: a `worker.devices.backend.SharedSurface`."""

    __slots__ = ("_free", "_made", "_target", "pts_ms", "slot")

    def __init__(
        self, made: SoftSurface, target: tuple[Bytes, Bytes], free: list[int], slot: int
    ) -> None:
        self.pts_ms = made.pts_ms
        self.slot = slot
        self._made: SoftSurface | None = made
        self._target = target
        self._free = free

    def prepare(self) -> None:
        """Scale, and copy to its place."""
        made, self._made = self._made, None
        if made is None:
            return
        made.prepare()
        frame, (luma, chroma) = made.video_frame(), self._target
        luma[:] = _samples(frame, 0)
        chroma[:] = _samples(frame, 1).reshape(chroma.shape)

    def kept_luma(self) -> HostLuma:
        """A copy: its place is written again."""
        return HostLuma(self._target[0].copy())

    def __del__(self) -> None:
        self._free.append(self.slot)


class SharedSoftScaler:
    """A `worker.devices.backend.Scaler` into a pool."""

    def __init__(self, ladder: Ladder, pictures: PictureFormat, pool: PicturePool) -> None:
        self._scaler = SoftScaler(ladder, pictures, FORMAT)
        self._pool = pool
        # A list's append and pop are atomic, and only one thread pops.
        self._free = [list(range(pool.layout.pictures)) for _ in ladder.renditions]

    def scale(self, picture: Picture, wanted: Sequence[int]) -> list[SharedSoftSurface]:
        if not all(self._free[rendition] for rendition in wanted):
            raise DecodeFailed("every place of the pool is taken")
        made = self._scaler.scale(picture, wanted)
        surfaces = []
        for rendition, surface in zip(wanted, made, strict=True):
            free = self._free[rendition]
            slot = free.pop()
            target = self._pool.picture(rendition, slot)
            surfaces.append(SharedSoftSurface(surface, target, free, slot))
        return surfaces

    def close(self) -> None:
        self._scaler.close()


def _samples(frame: VideoFrame, index: int) -> Any:
    """A plane's rows without their padding."""
    plane: VideoPlane = frame.planes[index]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : frame.width]
