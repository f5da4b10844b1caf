"""A small JPEG of a picture in device memory (IO): copied to the host, scaled and coded there.

The copy waits for the picture: some milliseconds, each time somebody looks at the stream.
"""

from typing import TYPE_CHECKING

import numpy as np
from av.video.frame import VideoFrame

from worker.devices.software.decode import MILLISECONDS
from worker.devices.software.snapshot import jpeg_of
from worker.frames.snapshot import snapshot_size

if TYPE_CHECKING:
    from worker.devices.gpu.decode import GpuPicture


def gpu_jpeg(picture: "GpuPicture") -> bytes:
    """Copy an NV12 picture, and code it. Raises what CuPy raises, and DecodeFailed."""
    import cupy

    width, height = picture.width - picture.width % 2, picture.height - picture.height % 2
    host = np.empty((height * 3 // 2, width), np.uint8)
    runtime = cupy.cuda.runtime
    begin = host.__array_interface__["data"][0]
    for source, rows, offset in (
        (picture.luma, height, 0),
        (picture.chroma, height // 2, height * width),
    ):
        runtime.memcpy2DAsync(
            begin + offset,
            width,
            source,
            picture.pitch,
            width,
            rows,
            runtime.memcpyDeviceToHost,
            picture.stream.pointer,
        )
    picture.stream.synchronize()
    frame = VideoFrame.from_ndarray(host, format="nv12")
    frame.pts, frame.time_base = picture.pts_ms, MILLISECONDS
    return jpeg_of(frame, *snapshot_size(picture.width, picture.height, float(picture.sar)))
