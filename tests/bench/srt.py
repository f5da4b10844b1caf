"""SRT: pictures over a line that loses packets, and what the child takes of a core.

ffmpeg calls over a proxy that loses 5 % of all datagrams both ways, with 120 ms of latency. A
player of the source sees which pictures came. Then 3 Mbit/s without losses: what the `srt` child
takes, with its library's threads and its demuxing.
"""

import contextlib
import itertools
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from common.srt import installed as libsrt
from tests.bench import footage, peers
from tests.bench.ladder import config
from tests.bench.report import Bench, Figure
from tests.kit.clients import Recording, record
from tests.kit.farm import Farm
from tests.kit.lossy_udp import Line, lossy
from tests.kit.waiting import until

LATENCY_MS = 120
LOSS = 0.05
CLIP = footage.HD.but(bitrate_bps=3_000_000)
SETTLE_S = 2.0  # the first second of a connection, in which its round trip is not known yet
LOSSY_S = 40.0
CPU_S = 20.0
MAX_SHARE = 2.0  # % of a core
CONFIG = config(()).replace("[devices]", 'srt = "127.0.0.1:0"\n[devices]', 1)


@contextlib.contextmanager
def publisher(clip: Path, port: int) -> Iterator[None]:
    """ffmpeg calls, and sends the clip again and again."""
    to = f"srt://127.0.0.1:{port}?latency={LATENCY_MS * 1000}&streamid=publish:live/cam"
    command = ["ffmpeg", "-nostdin", "-v", "error", "-re", "-stream_loop", "-1", "-i", clip]
    process = subprocess.Popen([*map(str, command), "-c", "copy", "-f", "mpegts", to])
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def run(bench: Bench) -> None:
    if not libsrt.is_there():
        bench.say("srt: left out, libsrt1.5-openssl is not installed")
        return
    with footage.workspace() as folder, Farm(CONFIG) as farm:
        clip = footage.numbered(folder, CLIP)
        port = int(farm.status()["listen"]["srt"][0].rpartition(":")[2])
        with lossy(port, Line(loss=LOSS)) as proxy, publisher(clip, proxy.address[1]):
            missing = _missing(farm, LOSSY_S)
            name = f"pictures lost in {LOSSY_S:g} s at {LOSS:.0%} loss, {LATENCY_MS} ms"
            bench.add(Figure(name, missing, "", 0.0))
            bench.say(f"srt: the line lost {proxy.lost} of {proxy.sent} datagrams")
        until(lambda: not farm.streams(), 30, "the first publisher has left")
        with publisher(clip, port):
            until(lambda: "cam" in farm.streams(), 20, "it is published")
            time.sleep(SETTLE_S)
            shares = [_share(farm) for _ in range(max(1, bench.runs // 2))]
        name = f"the srt child at {CLIP.bitrate_bps / 1e6:g} Mbit/s, with demuxing"
        bench.add(Figure(name, statistics.median(shares), "%", MAX_SHARE))


def _missing(farm: Farm, seconds: float) -> int:
    """How many pictures do not come, from when the connection has settled on."""
    until(lambda: "cam" in farm.streams(), 20, "it is published")
    time.sleep(SETTLE_S)

    def enough(recording: Recording) -> bool:
        return len(recording.video) >= seconds * CLIP.fps

    recording = record(farm.url("cam", "source"), enough=enough, seconds=seconds + 30)
    numbers = [shown.number for shown in recording.shown]
    known = [number for number in numbers if number is not None]
    assert len(known) > seconds, "the pictures carry their numbers"
    return sum((after - before) % CLIP.frames - 1 for before, after in itertools.pairwise(known))


def _share(farm: Farm) -> float:
    """What the child takes of a core, in percent."""
    child = psutil.Process(farm.child("srt")["pid"])
    before, began_s = peers.cpu_seconds([child]), time.monotonic()
    time.sleep(CPU_S)
    return (peers.cpu_seconds([child]) - before) / (time.monotonic() - began_s) * 100
