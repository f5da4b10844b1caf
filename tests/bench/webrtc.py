"""CPU of one viewer by WebRTC, of tfarm's `rtc` process and of stock aiortc, in the same run.

720p30 of 2.5 Mbit/s, as published. Viewers decode nothing and have a process of their own. What a
viewer costs is the slope between few and many.
"""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.bench.report import Bench, Figure
from tests.kit.farm import Farm

FEW, MANY = 2, 20
MEASURED_S = 6.0
SHARE = 0.6  # of stock aiortc's, at most
CONFIG = """
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
CLIP = """
ffmpeg -loglevel error -y -f lavfi -i testsrc2=size=1280x720:rate=30 -t 20 -c:v libx264
-preset veryfast -tune zerolatency -g 60 -b:v 2500k -minrate 2500k -maxrate 2500k -bufsize 2500k
-f flv
"""
PUBLISH = "ffmpeg -loglevel error -re -stream_loop -1 -i {} -c copy -f flv {}"


def cost(url: str, process: psutil.Process) -> tuple[float, float]:
    """Cores that one viewer more takes, and the packets a second that one is sent."""
    used = {count: _used(url, process, count) for count in (FEW, MANY)}
    slope = (used[MANY][0] - used[FEW][0]) / (MANY - FEW)
    return slope, used[MANY][1] / MANY


def _used(url: str, process: psutil.Process, count: int) -> tuple[float, float]:
    load = subprocess.Popen(
        [sys.executable, "-m", "tests.kit.whep_load", url, str(count), str(MEASURED_S + 1)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert load.stdout is not None
    assert load.stdout.readline().strip() == "watching"
    time.sleep(0.5)
    before, began = _cpu_s(process), time.monotonic()
    time.sleep(MEASURED_S)
    used = (_cpu_s(process) - before) / (time.monotonic() - began)
    packets = int(load.stdout.readline().split()[0]) / (MEASURED_S + 1)
    load.wait()
    return used, packets


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _of_tfarm(clip: Path) -> tuple[float, float]:
    with Farm(CONFIG) as farm:
        farm.wait_log("WebRTC listens")
        found = re.search(r"key=listen.http address=(\S+)", farm.log())
        assert found is not None
        publisher = subprocess.Popen(PUBLISH.format(clip, farm.url("cam")).split())
        try:
            farm.wait_log("publish started")
            url = f"http://{found[1]}/live/cam/source/whep"
            return cost(url, psutil.Process(farm.child("rtc")["pid"]))
        finally:
            publisher.terminate()
            publisher.wait()


def _of_aiortc(clip: Path) -> tuple[float, float]:
    stock = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.stock_aiortc", str(clip)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert stock.stdout is not None
        port = int(stock.stdout.readline())
        return cost(f"http://127.0.0.1:{port}/whep", psutil.Process(stock.pid))
    finally:
        stock.kill()
        stock.wait()


def run(bench: Bench) -> None:
    measure: dict[str, Callable[[Path], tuple[float, float]]] = {
        "tfarm": _of_tfarm,
        "stock aiortc": _of_aiortc,
    }
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.flv"
        subprocess.run([*CLIP.split(), str(clip)], check=True)
        found = {name: one(clip) for name, one in measure.items()}
    for name, (slope, packets) in found.items():
        bench.say(
            f"webrtc: {name}: {100 * slope:.2f} % of a core a viewer, {packets:.0f} packets/s"
        )
    ours, stock = found["tfarm"][0], found["stock aiortc"][0]
    percent = "% of a core"
    name = "WebRTC: CPU of one more viewer"
    bench.add(Figure(name, 100 * ours, percent, SHARE, "stock aiortc", 100 * stock))
