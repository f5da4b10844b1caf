"""What renditions on demand save, what their first player waits for, and a herd of players.

`STREAMS` streams of 720p30 of the built-in ladder that nobody plays, against one whose renditions
are always made, CPU of the whole farm without what it takes idle, in one run. One with a single
rendition watched, against one that has no other rendition. Then players who come to cold renditions
one after the other, from the connect to the first keyframe's last byte; and `HERD` at once to
`COLD` cold renditions of small streams, while one plays on. With five runs, as usual, it takes
three to four minutes, the making of its clips included. `--clip` names another one for all but the
herd, of 1280x720 at least, so that the whole ladder is made.
"""

import itertools
import statistics
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from common.errors import TfarmError
from common.rtmp.blocking_client import RtmpPlayer
from common.rtmp.events import VideoReceived
from tests.bench import footage, peers
from tests.bench.ladder import HD_LADDER, SMALL, SMALL_LADDER, Ladder, config
from tests.bench.report import Bench, Figure
from tests.kit.clients import Publisher
from tests.kit.farm import Farm
from tests.kit.waiting import until

STREAMS = 20
JOINS = 4  # in each run
SETTLE_S = 4.0  # publishers are read at once for their first seconds
MEASURED_S = 6.0
MOST_SHARE = 0.02
MOST_BESIDE = 1.05  # of what a rendition and its decoding cost
LINGER = 'renditions_when = "watched"\nlinger = "500ms"\n'
WATCHED = "360p"  # the one rendition
HERD, COLD = 50, 20  # players at once, and renditions
RUNNING = "144p"  # which is watched while the herd comes
MOST_LATE_MS = 1_000.0  # between two pictures of that


def both_ways() -> str:
    """Apps `live`, on demand, `always`, and `alone`, with one rendition that is always made."""
    text = config(HD_LADDER)
    always = text[text.index("[templates.live]") :].replace("templates.live", "templates.always")
    one = config([entry for entry in HD_LADDER if entry[0] == WATCHED])
    alone = one[one.index("[templates.live]") :].replace("templates.live", "templates.alone")
    return on_demand(text) + always + alone


def on_demand(text: str) -> str:
    return text.replace("[templates.live]\n", f"[templates.live]\n{LINGER}")


def spent_s(farm: Farm, urls: Sequence[str], clip: Path, watched: str = "") -> float:
    """CPU a second of the whole farm while a clip is published by these.

    `watched`: what is played of the first one.
    """
    with ExitStack() as stack:
        for url in urls:
            stack.enter_context(Publisher(url, clip, loop=True))
        until(lambda: len(farm.streams()) == len(urls), 30, "all are published")
        if watched:
            stack.enter_context(Watching(f"{urls[0]}/{watched}"))
        time.sleep(SETTLE_S)
        began, before = time.monotonic(), peers.cpu_seconds([*farm.processes()])
        time.sleep(MEASURED_S)
        after, ended = peers.cpu_seconds([*farm.processes()]), time.monotonic()
    until(lambda: not farm.streams(), 30, "they have ended")
    return (after - before) / (ended - began)


class Watching:
    """A player in a thread, which notes when pictures came and what their times are."""

    def __init__(self, url: str) -> None:
        self.came_s: list[float] = []
        self.times_ms: list[int] = []
        self._url = url
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Watching":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(15)

    def _run(self) -> None:
        with RtmpPlayer(self._url, 15) as player:
            for event in player:
                if isinstance(event, VideoReceived) and event.payload[1:2] == b"\x01":
                    self.came_s.append(time.monotonic())
                    self.times_ms.append(event.timestamp)
                if self._is_over.is_set():
                    return


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


def p95(ordered: Sequence[float]) -> float:
    return ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]


def one_by_one(bench: Bench, folder: Path) -> None:
    """What is not watched, one that is, and players one after the other."""
    clip = bench.clip or footage.numbered(folder, footage.HD)
    with Farm(both_ways(), standbys=True) as farm:
        time.sleep(SETTLE_S)
        idle_s = spent_s(farm, (), clip)
        always = [farm.url("cam", app="always")]
        one_s = spent_s(farm, always, clip) - idle_s
        herd = [farm.url(f"cam{index}") for index in range(STREAMS)]
        cold_s = (spent_s(farm, herd, clip) - idle_s) / STREAMS
        alone_s = spent_s(farm, [farm.url("cam", app="alone")], clip, WATCHED) - idle_s
        watched_s = spent_s(farm, [farm.url("cam")], clip, WATCHED) - idle_s
        joins = sorted(join_times_ms(farm, clip, JOINS * bench.runs))
    bench.add(Figure("CPU of an always-on stream", one_s, "s/s"))
    note = f"{STREAMS} streams; {cold_s * 1000:.2f} ms/s each"
    bench.add(Figure("a stream that nobody plays", cold_s / one_s, "of it", MOST_SHARE, note=note))
    peer = f"with no rendition but {WATCHED}"
    bench.add(Figure(f"only {WATCHED} is watched", watched_s, "s/s", MOST_BESIDE, peer, alone_s))
    bench.add(Figure("cold rendition, median", statistics.median(joins), "ms", 300.0))
    bench.add(Figure("cold rendition, p95", p95(joins), "ms", 600.0))


def herd(bench: Bench, folder: Path) -> None:
    """Players who come at once to cold renditions, while one plays on."""
    clip = footage.numbered(folder, SMALL)
    names: Ladder = [entry for entry in SMALL_LADDER if entry[0] in ("240p", RUNNING)]
    keys = [f"cam{index}" for index in range(COLD // len(names))]
    cold = [(key, name) for key in keys for name, *_ in names]
    with Farm(on_demand(config(names)), standbys=True) as farm, ExitStack() as stack:
        for key in ("running", *keys):
            stack.enter_context(Publisher(farm.url(key), clip, loop=True))
        until(lambda: len(farm.streams()) == len(keys) + 1, 30, "all are published")
        until(lambda: all(states(farm, k)["240p"] == "cold" for k in keys), 30, "all are cold")
        running = stack.enter_context(Watching(farm.url("running", RUNNING)))
        time.sleep(SETTLE_S)
        urls = [farm.url(*cold[index % len(cold)]) for index in range(HERD)]
        pool = stack.enter_context(ThreadPoolExecutor(HERD))
        began_s = time.monotonic()
        taken = sorted(found for found in pool.map(_first_or_none, urls) if found is not None)
        time.sleep(1.0)
        steps = list(itertools.pairwise(running.times_ms))
        since = [at for at, came_s in enumerate(running.came_s) if came_s > began_s - 0.5]
        gaps = itertools.pairwise(running.came_s[at] for at in since)
        late_ms = 1000 * max(after - before for before, after in gaps)
    missing = HERD - len(taken)
    bench.add(Figure(f"herd: of {HERD} players, not served", missing, "players", 0.0))
    note = f"{COLD} cold renditions at once; slowest {max(taken, default=0.0):.0f} ms"
    bench.add(Figure("herd: first picture, median", statistics.median(taken), "ms", note=note))
    bench.add(Figure("herd: first picture, p95", p95(taken), "ms"))
    usual_ms = statistics.median(after - before for before, after in steps)
    lost = sum(max(0, round((after - before) / usual_ms) - 1) for before, after in steps)
    bench.add(Figure("herd: pictures lost of one that runs", lost, "pictures", 0.0))
    bench.add(Figure("herd: longest wait of its player", late_ms, "ms", MOST_LATE_MS))


def _first_or_none(url: str) -> float | None:
    try:
        return first_picture_ms(url)
    except (AssertionError, OSError, TfarmError):
        return None


def run(bench: Bench) -> None:
    with footage.workspace() as folder:
        one_by_one(bench, folder)
        herd(bench, folder)
