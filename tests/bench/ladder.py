"""CPU of a software ladder: the whole farm against one ffmpeg process a stream.

Both sides: the same file at real-time pace, the same x264 settings, one thread an encoder, one
for the decoder, sound copied, the same number of frames out, counted. ffmpeg reads the file; the
farm is published to by a process that is not counted.
"""

import os
import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench import footage, peers
from tests.bench.report import Bench, Figure
from tests.kit.clips import ClipSpec
from tests.kit.farm import Farm
from tests.kit.waiting import until

HD_LADDER = (("720p", 1280, 720, 2500), ("480p", 854, 480, 1200), ("360p", 640, 360, 700))
SMALL_LADDER = (("360p", 640, 360, 700), ("240p", 426, 240, 400), ("144p", 256, 144, 200))
SMALL = ClipSpec(
    seconds=20.0, width=640, height=360, gop_frames=60, b_frames=0, bitrate_bps=900_000
)

COUNT_S = 2.5  # after the last picture, for every process to tell of it

Ladder = Sequence[tuple[str, int, int, int]]


def config(ladder: Ladder, *, threads: int = 1) -> str:
    renditions = "".join(
        f'[[templates.live.renditions]]\nname = "{name}"\nwidth = {width}\nheight = {height}\n'
        f'bitrate = "{kbps}k"\n'
        for name, width, height, kbps in ladder
    )
    return (
        '[listen]\nrtmp = "127.0.0.1:0"\n[devices]\nuse_gpus = false\n'
        f"[software]\ncapacity = 100000\nencoder_threads = {threads}\n"
        f'[templates.live]\nhold = "0s"\nfiller = "none"\n{renditions or "renditions = []"}'
    )


def ffmpeg_command(clip: Path, ladder: Ladder) -> list[str]:
    outs = "".join(f"[s{i}]" for i in range(len(ladder)))
    graph = f"[0:v]split={len(ladder)}{outs};" + ";".join(
        f"[s{i}]scale={width}:{height}:flags=bicubic[o{i}]"
        for i, (_, width, height, _) in enumerate(ladder)
    )
    command = [
        "ffmpeg",
        "-nostdin",
        "-v",
        "error",
        "-stats",
        "-threads",
        "1",
        "-re",
        "-i",
        str(clip),
    ]
    command += ["-filter_complex_threads", "1", "-filter_complex", graph]
    for i, (_, _, _, kbps) in enumerate(ladder):
        command += ["-map", f"[o{i}]", "-map", "0:a?", "-c:a", "copy", "-c:v", "libx264"]
        command += ["-preset", "veryfast", "-tune", "zerolatency", "-profile:v", "main"]
        command += ["-threads", "1", "-b:v", f"{kbps}k", "-maxrate", f"{kbps}k"]
        command += ["-bufsize", f"{kbps}k", "-g", "60", "-keyint_min", "60", "-sc_threshold", "0"]
        command += ["-f", "flv", "-y", "/dev/null"]
    return command


def ffmpeg_cost(clip: Path, ladder: Ladder, streams: int, frames: int) -> float:
    running = [
        subprocess.Popen(
            ffmpeg_command(clip, ladder), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        for _ in range(streams)
    ]
    total = 0.0
    for process in running:
        assert process.stderr is not None
        said = process.stderr.read().decode()
        process.stderr.close()
        total += _wait_cost(process)
        counted = [int(count) for count in re.findall(r"frame=\s*(\d+)", said)]
        assert counted, said
        assert counted[-1] == frames, f"ffmpeg made {counted[-1]} frames of {frames}"
    return total


def _wait_cost(process: "subprocess.Popen[bytes]") -> float:
    """CPU seconds of a child that has ended: os.wait4 knows what psutil no longer can."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime


def farm_cost(clip: Path, ladder: Ladder, streams: int, frames: int) -> float:
    tags = footage.tags_of(clip)
    keys = [f"cam{n}" for n in range(streams)]
    with Farm(config(ladder), standbys=True) as farm, peers.pool(streams) as pool:
        counted: dict[str, dict[str, int]] = {}

        def look() -> bool:
            live = farm.streams()
            for key, stream in live.items():
                counted[key] = {r["name"]: r["frames"] for r in stream["renditions"]}
            return not set(keys) & live.keys()

        processes = list(farm.processes())
        start_s = time.monotonic() + 1.5
        before = peers.cpu_seconds(processes)
        sent = [pool.submit(peers.publish, farm.url(key), tags, start_s, COUNT_S) for key in keys]
        time.sleep(1.5 + footage.seconds_of(tags) + COUNT_S - 0.5)
        # Status costs the farm too: it is asked at the very end alone.
        until(look, 15, "all streams are gone", every=0.2)
        for future in sent:
            future.result(30)
        cost = peers.cpu_seconds(processes) - before
        for key, renditions in counted.items():
            assert renditions == dict.fromkeys(renditions, frames), (
                f"{key}: of {frames} frames {renditions}"
            )
        return cost


def compare(
    bench: Bench, name: str, clip: Path, ladder: Ladder, streams: int, frames: int, limit: float
) -> None:
    bench.say(f"{name}: {bench.runs} runs of {frames / 30:.0f} s, each side")
    ours, theirs = bench.alternate(
        lambda: farm_cost(clip, ladder, streams, frames),
        lambda: ffmpeg_cost(clip, ladder, streams, frames),
    )
    bench.add(Figure(name, ours, "CPU s", limit, "ffmpeg", theirs, f"{frames} frames a rendition"))


def run(bench: Bench) -> None:
    if not peers.has_ffmpeg():
        bench.say("ladder: ffmpeg is not installed")
        return
    with footage.workspace() as folder:
        clip = footage.numbered(folder, footage.HD)
        compare(bench, "ladder 720p30, 1 stream", clip, HD_LADDER, 1, footage.HD.frames, 1.08)
        small = footage.numbered(folder, SMALL)
        compare(bench, "ladder 360p30, 3 streams", small, SMALL_LADDER, 3, SMALL.frames, 1.08)
