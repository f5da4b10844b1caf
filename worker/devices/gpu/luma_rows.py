"""Some rows of a decoded picture's luma in host memory, without waiting for them (IO).

The copy is queued behind the picture, on its stream, and read at the next call: that is a second
later, and the device is long done with it.
"""

from typing import Any

from worker.devices.gpu.context import Event, Stream
from worker.frames.picture_content import ROWS, grid_of


class LumaRows:
    """Of one decoder; call it in the decoder's thread."""

    def __init__(self) -> None:
        self._memory: Any = None  # cupy, pinned
        self._size = 0
        self._width = 0  # of the picture whose rows are on their way; 0: there is none
        self._copied = Event()

    def take(self, luma: int, pitch: int, width: int, height: int, stream: Stream) -> bytes | None:
        """Queue the copy of this picture's rows; the grid of the call before, if there was one."""
        grid = None
        if self._width:
            self._copied.synchronize()
            rows = memoryview(self._memory).cast("B")[: ROWS * self._width]
            grid = grid_of(rows, self._width, self._width, ROWS)
        self._queue(luma, pitch, width, height, stream)
        return grid

    def _queue(self, luma: int, pitch: int, width: int, height: int, stream: Stream) -> None:
        import cupy

        if ROWS * width > self._size:
            self._size = ROWS * width
            self._memory = cupy.cuda.alloc_pinned_memory(self._size)
        step = height // ROWS
        runtime = cupy.cuda.runtime
        runtime.memcpy2DAsync(
            int(self._memory.ptr),
            width,
            luma + step // 2 * pitch,
            step * pitch,
            width,
            ROWS,
            runtime.memcpyDeviceToHost,
            stream.pointer,
        )
        self._copied.record(stream)
        self._width = width
