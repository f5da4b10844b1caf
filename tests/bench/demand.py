"""What renditions on demand save, and what their first player waits for.

`STREAMS` streams of 720p30 of the built-in ladder that nobody plays, against one whose renditions
are always made, CPU of the whole farm without what it takes idle, in one run. Then players who
come to cold renditions one after the other, from the connect to the first keyframe's last byte.
With five runs, as usual, it takes about two minutes, the making of its clip included. `--clip`
names another one, of 1280x720 at least, so that the whole ladder is made.
"""

import itertools
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from common.rtmp.blocking_client import RtmpPlayer
from common.rtmp.events import VideoReceived
from tests.bench import footage, peers
from tests.bench.ladder import HD_LADDER, config
from tests.bench.report import Bench, Figure
from tests.kit.clients import Publisher
from tests.kit.farm import Farm
from tests.kit.waiting import until

STREAMS = 20
JOINS = 4  # in each run
SETTLE_S = 4.0  # publishers are read at once for their first seconds
MEASURED_S = 6.0
MOST_SHARE = 0.02
LINGER = 'renditions_when = "watched"\nlinger = "500ms"\n'


def both_ways() -> str:
    """Apps `live`, on demand, and `always`."""
    text = config(HD_LADDER)
    always = text[text.index("[templates.live]") :].replace("templates.live", "templates.always")
    return text.replace("[templates.live]\n", f"[templates.live]\n{LINGER}") + always


def spent_s(farm: Farm, urls: Sequence[str], clip: Path) -> float:
    """CPU a second of the whole farm while a clip is published by these."""
    with ExitStack() as stack:
        for url in urls:
            stack.enter_context(Publisher(url, clip, loop=True))
        until(lambda: len(farm.streams()) == len(urls), 30, "all are published")
        time.sleep(SETTLE_S)
        began, before = time.monotonic(), peers.cpu_seconds([*farm.processes()])
        time.sleep(MEASURED_S)
        after, ended = peers.cpu_seconds([*farm.processes()]), time.monotonic()
    until(lambda: not farm.streams(), 30, "they have ended")
    return (after - before) / (ended - began)


def first_picture_ms(url: str) -> float:
    began = time.monotonic()
    with RtmpPlayer(url, 15) as player:
        for event in player:
            if isinstance(event, VideoReceived) and event.payload[:2] == b"\x17\x01":
                return (time.monotonic() - began) * 1000
    raise AssertionError("it ended without a picture")


def states(farm: Farm, key: str) -> dict[str, str]:
    return {one["name"]: one["state"] for one in farm.streams()[key]["renditions"]}


def _is_cold(farm: Farm, name: str) -> bool:
    return states(farm, "cam")[name] == "cold"


def join_times_ms(farm: Farm, clip: Path, count: int) -> list[float]:
    names = itertools.cycle(name for name, *_ in HD_LADDER)
    taken = []
    with Publisher(farm.url("cam"), clip, loop=True):
        until(lambda: bool(farm.streams()), 30, "it is published")
        time.sleep(SETTLE_S)
        for name in itertools.islice(names, count):
            until(partial(_is_cold, farm, name), 30, f"{name} is cold")
            taken.append(first_picture_ms(farm.url("cam", name)))
    return taken


def run(bench: Bench) -> None:
    with footage.workspace() as folder:
        clip = bench.clip or footage.numbered(folder, footage.HD)
        with Farm(both_ways(), standbys=True) as farm:
            time.sleep(SETTLE_S)
            idle_s = spent_s(farm, (), clip)
            always = [farm.url("cam").replace("/live/", "/always/")]
            one_s = spent_s(farm, always, clip) - idle_s
            herd = [farm.url(f"cam{index}") for index in range(STREAMS)]
            cold_s = (spent_s(farm, herd, clip) - idle_s) / STREAMS
            joins = sorted(join_times_ms(farm, clip, JOINS * bench.runs))
    bench.add(Figure("CPU of an always-on stream", one_s, "s/s"))
    note = f"{STREAMS} streams; {cold_s * 1000:.2f} ms/s each"
    bench.add(Figure("a stream that nobody plays", cold_s / one_s, "of it", MOST_SHARE, note=note))
    bench.add(Figure("cold rendition, median", statistics.median(joins), "ms", 300.0))
    p95 = joins[min(len(joins) - 1, round(0.95 * len(joins)))]
    bench.add(Figure("cold rendition, p95", p95, "ms", 600.0))
