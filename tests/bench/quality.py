"""What viewers get of real footage on the built-in ladder: SSIM, and the bitrate asked for.

Publishes the file named by TFARM_FOOTAGE (else a generated clip, for which the figures say
less) for 36 s with the real ffmpeg, and records the source and every rendition with it. Each
rendition is compared, picture by picture at the same PTS, with the source as FFmpeg scales it; so
is what the nginx-rtmp chain's FFmpeg makes of the same source.
"""

import os
import re
import subprocess
from itertools import pairwise
from pathlib import Path

import av

from tests.bench import footage, peers
from tests.bench.delay import encoder
from tests.bench.ladder import HD_LADDER, config
from tests.bench.report import Bench, Figure
from tests.kit.farm import Farm

SECONDS = 36
WINDOW_S = 30.0


def _ffmpeg(*arguments: str | Path) -> "subprocess.Popen[bytes]":
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *arguments]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL)


def bitrate_bps(path: Path) -> float:
    """Of the video, over the longest run of whole GOPs within the window."""
    with av.open(str(path)) as container:
        packets = [
            (float(packet.pts * packet.time_base), packet.size, packet.is_keyframe)
            for packet in container.demux(video=0)
            if packet.pts is not None and packet.time_base is not None
        ]
    keys = [index for index, (_, _, is_key) in enumerate(packets) if is_key][1:]
    first = keys[0]
    last = max(k for k in keys if packets[k][0] - packets[first][0] <= WINDOW_S)
    assert all(after[0] > before[0] for before, after in pairwise(packets))
    size = sum(size for _, size, _ in packets[first:last])
    return size * 8 / (packets[last][0] - packets[first][0])


def ssim(rendition: Path, source: Path, width: int, height: int) -> float:
    graph = f"[1:v]scale={width}:{height}:flags=bicubic[s];[0:v][s]ssim"
    done = subprocess.run(
        [
            *("ffmpeg", "-nostdin", "-copyts", "-i", str(rendition), "-copyts", "-i", str(source)),
            *("-lavfi", graph, "-f", "null", "-"),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"SSIM .*All:([\d.]+)", done.stderr)
    assert found, done.stderr[-2000:]
    return float(found[1])


def run(bench: Bench) -> None:
    if not peers.has_ffmpeg():
        bench.say("quality: ffmpeg is not installed")
        return
    with footage.workspace() as folder:
        named = os.environ.get("TFARM_FOOTAGE")
        clip = Path(named) if named else footage.numbered(folder, footage.HD)
        names = ("source", *(name for name, _, _, _ in HD_LADDER))
        with Farm(config(HD_LADDER), standbys=True) as farm:
            publisher = _ffmpeg(
                *("-re", "-stream_loop", "-1", "-i", clip, "-t", str(SECONDS), "-c", "copy"),
                *("-f", "flv", farm.url("cam")),
            )
            farm.wait_stream("cam")
            players = [
                _ffmpeg(
                    "-copyts", "-i", farm.url("cam", name), "-c", "copy", folder / f"{name}.nut"
                )
                for name in names
            ]
            assert publisher.wait(SECONDS + 30) == 0
            for player in players:
                assert player.wait(30) == 0
        for name, width, height, kbps in HD_LADDER:
            rate = bitrate_bps(folder / f"{name}.nut") / 1000
            off = abs(rate / kbps - 1) * 100
            note = f"{rate:.0f} of {kbps} kbit/s"
            bench.add(Figure(f"bitrate {name}, off by", off, "%", 10.0, note=note))
            found = ssim(folder / f"{name}.nut", folder / "source.nut", width, height)
            note = f"SSIM {found:.4f}"
            bench.add(Figure(f"1 - SSIM {name}", 1 - found, "", 0.05, note=note))
            theirs = folder / f"{name}-chain.nut"
            options = encoder(width, height, kbps).split()
            # its pictures at the source's times, not on a grid: else ones that differ are compared
            times = ("-vsync", "passthrough", "-enc_time_base", "-1")
            made = _ffmpeg("-copyts", "-i", folder / "source.nut", "-an", *options, *times, theirs)
            assert made.wait(300) == 0
            chains = ssim(theirs, folder / "source.nut", width, height)
            note = f"{found:.4f}, the chain's {chains:.4f}"
            title = f"SSIM {name}, less than the chain's by"
            bench.add(Figure(title, chains - found, "", 0.002, note=note))
