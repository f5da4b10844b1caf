"""Command lines of ffmpeg that publish pictures and sound of its own making, and play them."""

import contextlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

FPS = 15
PUBLISH = (
    *("ffmpeg", "-nostdin", "-v", "error", "-re", "-f", "lavfi"),
    *("-i", f"testsrc2=size=320x180:rate={FPS}", "-f", "lavfi", "-i", "sine=frequency=440"),
    *("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", str(FPS)),
    *("-pix_fmt", "yuv420p", "-c:a", "aac", "-f", "flv"),
)
CRC = ("-f", "framecrc", "-")


@contextlib.contextmanager
def ffmpeg_publishes(clip: Path, to: str) -> Iterator["subprocess.Popen[bytes]"]:
    """It sends a clip again and again, as it is."""
    options = ["-v", "error", "-re", "-stream_loop", "-1", "-i", str(clip), "-c", "copy"]
    process = subprocess.Popen(["ffmpeg", *options, "-f", "flv", to], stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


def play(url: str) -> tuple[str, ...]:
    """Begin a command that copies a stream's pictures, to `CRC` or to a file."""
    return ("ffmpeg", "-nostdin", "-v", "error", "-i", url, "-map", "0:v", "-c", "copy")


def times(crcs: str) -> list[int]:
    """Return the decoding times that ffmpeg's framecrc prints, in ms."""
    return [int(found) for found in re.findall(r"^0,\s*(-?\d+),", crcs, re.MULTILINE)]
