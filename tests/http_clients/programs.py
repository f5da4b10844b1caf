"""Programs that play an address for some seconds: how many pictures they show, and what is wrong.

FFmpeg decodes strictly: a fault in a bitstream or a container ends it (`-xerror`).
"""

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.http_clients.variants import Variant

TIMEOUT_S: Final = 60.0
# GStreamer gives one picture a line, with its time.
_CHAIN: Final = re.compile(r"chain .*?pts: (\d+):(\d+):(\d+\.\d+)")
# What a live edge does to a program that reads at its own pace, and no fault of what is served.
_HARMLESS: Final = re.compile(r"skipping \d+ segments ahead|Broken pipe")


@dataclass(frozen=True)
class Played:
    """What a client showed of one address."""

    pictures: int
    faults: tuple[str, ...] = ()

    def ok(self, wanted: float) -> bool:
        """Tell if it showed so many pictures without a fault."""
        return not self.faults and self.pictures >= wanted


Play = Callable[[str, Variant, float], Played]


def by_ffmpeg(program: str) -> Play:
    """Play by an ffmpeg."""

    def play(url: str, variant: Variant, seconds: float) -> Played:
        pictures = str(round(seconds * variant.frame_rate))
        command = (
            *(program, "-nostdin", "-v", "error", "-xerror", "-err_detect", "explode"),
            *("-i", url, "-map", "0:v:0", "-map", "0:a:0?", "-frames:v", pictures),
            *("-t", f"{seconds:g}", "-f", "framecrc", "-"),
        )
        run = _run(command)
        times = [int(found) for found in re.findall(r"^0,.*?,\s*(-?\d+),", run.stdout, re.M)]
        faults = [line for line in run.stderr.splitlines() if not _HARMLESS.search(line)]
        if run.returncode:
            faults.append(f"exit {run.returncode}")
        if times != sorted(set(times)):
            faults.append("times go back")
        return Played(len(times), tuple(faults))

    return play


def by_gstreamer(url: str, variant: Variant, seconds: float) -> Played:
    """Play by GStreamer's own choice of elements: hlsdemux2 and dashdemux2 from 1.22 on."""
    number = round(seconds * variant.frame_rate)
    sink = f"videoconvert ! identity eos-after={number} ! fakesink silent=false sync=false"
    command = (
        *("gst-launch-1.0", "-v", "uridecodebin3", f"uri={url}", "caps=video/x-raw"),
        *("!", *sink.split()),
    )
    run = _run(command)
    times = [
        int(hours) * 3600 + int(minutes) * 60 + float(rest)
        for hours, minutes, rest in _CHAIN.findall(run.stdout)
    ]
    faults = re.findall(r"^(?:ERROR|WARNING).*", run.stdout + run.stderr, re.M)
    if times != sorted(set(times)):
        faults.append("times go back")
    return Played(len(times), tuple(faults))


def newer_ffmpeg() -> str | None:
    """Return a current FFmpeg, by PyPI's imageio-ffmpeg in `build/clients`, if it is there."""
    folder = Path(__file__).parents[2] / "build" / "clients" / "imageio_ffmpeg" / "binaries"
    return next((str(path) for path in folder.glob("ffmpeg-*") if path.is_file()), None)


def version_of(program: str) -> str:
    """Return what an ffmpeg or GStreamer calls itself."""
    flag = "-version" if "ffmpeg" in program else "--version"
    said = subprocess.run([program, flag], capture_output=True, text=True, timeout=20).stdout
    found = re.search(r"version n?(\d[\w.]*)", said)
    return found.group(1) if found else "?"


def found_programs() -> dict[str, Play]:
    """Return the programs of this machine by name and version."""
    programs: dict[str, Play] = {}
    for program in filter(None, (shutil.which("ffmpeg"), newer_ffmpeg())):
        programs[f"FFmpeg {version_of(program)}"] = by_ffmpeg(program)
    if shutil.which("gst-launch-1.0"):
        programs[f"GStreamer {version_of('gst-launch-1.0')}"] = by_gstreamer
    return programs


def _run(command: tuple[str, ...]) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        out = error.stdout or b""
        text = out.decode(errors="replace") if isinstance(out, bytes) else out
        return subprocess.CompletedProcess(command, 1, text, f"nothing more in {TIMEOUT_S:g} s")
