"""CPU of one viewer by WebRTC, of tfarm's `rtc` process and of stock aiortc, in the same run.

720p30 of 2.5 Mbit/s, as published. Viewers decode nothing and have processes of their own. What a
viewer costs is the slope over the steps; stock aiortc has the first two of them, since it is one
process for all that it does.

    python -m tests.bench webrtc [--viewers 10,50,100] [--seconds 8] [--clip FLV] [--json FILE]
    python -m tests.bench.webrtc URL VIEWERS        the viewers
"""

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import aiohttp
import psutil

from common.webrtc.dtls import Certificate
from tests.bench.footage import HD, numbered, workspace
from tests.bench.report import Bench, Figure
from tests.bench.viewers import Step, answer_words, show, slope, step
from tests.kit.clients import Publisher
from tests.kit.farm import Farm
from tests.kit.whep_load import LightViewer

VIEWERS: Final = (10, 50, 100)
SECONDS: Final = 8.0
SETTLE_S: Final = 2.0  # until a viewer that came last is sent nothing but what is new
MOST: Final = 25  # viewers of one process
CONNECT_S: Final = 30.0
SHARE: Final = 0.6  # of stock aiortc's, at most
SPEC: Final = replace(HD, seconds=8.0, bitrate_bps=2_500_000, audio=False)
PACKETS: Final = "packets"
CONFIG: Final = """
[listen]
rtmp = "127.0.0.1:0"
http = "127.0.0.1:0"
[devices]
use_gpus = false
[api]
enabled = false
[web]
enabled = true
[webrtc]
listen = "127.0.0.1:0"
[templates.live]
policy = ["passthrough"]
"""


async def view(url: str, count: int) -> None:
    """Have so many viewers until stdin ends, and say how many packets and bytes come."""
    certificate = Certificate()
    viewers = [LightViewer(certificate) for _ in range(count)]

    def counts() -> dict[str, int]:
        return {
            PACKETS: sum(viewer.packets for viewer in viewers),
            "bytes": sum(viewer.bytes for viewer in viewers),
        }

    async with aiohttp.ClientSession() as http:
        for viewer in viewers:
            async with asyncio.timeout(CONNECT_S):
                await viewer.watch(http, url)
        await answer_words(counts)
        for viewer in viewers:
            viewer.close()


def _steps(
    bench: Bench, title: str, url: str, pid: int, viewers: Sequence[int], seconds: float
) -> list[Step]:
    found: list[Step] = []
    for number in viewers:
        found.append(
            step(
                [psutil.Process(pid)],
                lambda count: ("-m", "tests.bench.webrtc", url, str(count)),
                PACKETS,
                number,
                most=MOST,
                settle_s=SETTLE_S,
                seconds=seconds,
            )
        )
        show(bench, title, PACKETS, found)
    return found


def _of_tfarm(bench: Bench, clip: Path, viewers: Sequence[int], seconds: float) -> list[Step]:
    with Farm(CONFIG) as farm:
        farm.wait_log("WebRTC listens")
        found = re.search(r"key=listen.http address=(\S+)", farm.log())
        assert found is not None
        with Publisher(farm.url("cam"), clip, loop=True):
            farm.wait_log("publish started")
            url = f"http://{found[1]}/live/cam/source/whep"
            return _steps(bench, "WebRTC: tfarm", url, farm.child("rtc")["pid"], viewers, seconds)


def _of_aiortc(bench: Bench, clip: Path, viewers: Sequence[int], seconds: float) -> list[Step]:
    command = [sys.executable, "-m", "tests.bench.stock_aiortc", str(clip)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as stock:
        try:
            assert stock.stdout is not None
            port = int(stock.stdout.readline())
            url = f"http://127.0.0.1:{port}/whep"
            return _steps(bench, "WebRTC: stock aiortc", url, stock.pid, viewers, seconds)
        finally:
            stock.kill()


def run(bench: Bench) -> None:
    viewers, seconds = bench.viewers or VIEWERS, bench.seconds or SECONDS
    with workspace() as folder:
        clip = bench.clip or numbered(folder, SPEC)
        began = time.monotonic()
        ours = _of_tfarm(bench, clip, viewers, seconds)
        stock = _of_aiortc(bench, clip, viewers[:2], seconds)
    bench.say(f"webrtc: measured in {time.monotonic() - began:.0f} s")
    values = 100 * slope(ours), 100 * slope(stock)
    name = "WebRTC: CPU of one more viewer"
    bench.add(Figure(name, values[0], "% of a core", SHARE, "stock aiortc", values[1]))


if __name__ == "__main__":
    asyncio.run(view(sys.argv[1], int(sys.argv[2])))
