"""What another host costs: a picture's delay at a second farm against that at the stream's own.

Two farms on this host, with TLS between their relays, and a player at each: both get the same
pictures at the same time. Then what it adds that a publisher came to the other host, the time to a
first picture of a stream that is not there yet, and what the relays take of a core.
"""

import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.bench import footage, peers
from tests.bench.delay import measure
from tests.bench.join import join_times_ms
from tests.bench.ladder import config
from tests.bench.report import Bench, Figure, percentile
from tests.kit.certificates import Authority
from tests.kit.clients import FlvTag, Publisher
from tests.kit.farm import Farm
from tests.kit.registry.run import TABLE, write
from tests.kit.waiting import until

ENTRY = Path(__file__).parents[1] / "kit" / "registry_farm.py"
MAX_ADDED_MS = 1.0
MAX_FIRST_MS = 500.0
KEEP_S = 4.0
STREAMS = tuple(f"cam{number}" for number in range(8))
LARGE = footage.HD.but(seconds=12.0, bitrate_bps=12_000_000)


def cluster(directory: Path, host: str) -> str:
    """A farm's configuration, as one host of a cluster."""
    return config(()) + (
        f'\n[cluster]\nname = "bench"\nhost = "{host}"\nsecret_file = "{directory}/secret"\n'
        f'etcd = ["http://127.0.0.1:1"]\nrelay = "127.0.0.1:0"\nkeep = "{KEEP_S:g}s"\n'
        f'cert = "{directory}/{host}.pem"\nkey = "{directory}/{host}.key"\n'
        f'ca = "{directory}/ca.pem"\n'
    )


@contextmanager
def farms(directory: Path, keys: Sequence[str] = ("cam",)) -> Iterator[tuple[Farm, Farm]]:
    """The host where these streams are made, and another one."""
    authority = Authority(directory)
    (directory / "secret").write_text("a secret of benches")
    table = directory / "table.json"
    write(table, {})
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv(TABLE, str(table))
        patch.setenv("PYTHONPATH", str(ENTRY.parents[2]))
        made = []
        for host in ("host-a", "host-b"):
            authority.issue(host)
            farm = Farm(cluster(directory, host), supervisor=(sys.executable, str(ENTRY)))
            made.append(stack.enter_context(farm))
        (relay,) = made[0].status()["listen"]["relay"]
        write(table, {f"live/{key}": ("host-a", relay, 7) for key in keys})
        yield made[0], made[1]


def relay_cpu_s(*of: Farm) -> float:
    """CPU that the relays of these farms have used."""
    return peers.cpu_seconds([psutil.Process(farm.child("relay")["pid"]) for farm in of])


def run(bench: Bench) -> None:
    with footage.workspace() as folder:
        tags = footage.tags_of(footage.numbered(folder, footage.HD))
        direct: list[float] = []
        remote: list[float] = []
        firsts: list[float] = []
        with farms(folder) as (here, there):
            for number in range(bench.runs):
                bench.say(f"relay: run {number + 1} of {bench.runs}")
                urls = {"direct": here.url("cam", "source"), "remote": there.url("cam", "source")}
                found = measure(urls, here.url("cam"), tags, lambda: 0.0)
                direct += found.delays_ms["direct"]
                remote += found.delays_ms["remote"]
                bench.add(Figure("pictures lost", found.lost, "", 0.0))
                firsts.append(_first_ms(here, there, folder))
            _add_forwarded(bench, here, there, tags)
        added = percentile(remote, 0.5) - percentile(direct, 0.5)
        bench.add(Figure("a remote play adds, median", added, "ms", MAX_ADDED_MS))
        for what, part in (("median", 0.5), ("p99", 0.99)):
            bench.add(Figure(f"direct, {what}", percentile(direct, part), "ms"))
            bench.add(Figure(f"remote, {what}", percentile(remote, part), "ms"))
        first = statistics.median(firsts)
        bench.add(Figure("first picture of a stream that is elsewhere", first, "ms", MAX_FIRST_MS))
    with footage.workspace() as folder, farms(folder, STREAMS) as (here, there):
        _add_cpu(bench, folder, here, there)


def _add_forwarded(bench: Bench, here: Farm, there: Farm, tags: Sequence[FlvTag]) -> None:
    """What it adds that a publisher came to the other host; its player is at the stream's own."""
    delays: dict[str, list[float]] = {"at its own host": [], "forwarded": []}
    for number in range(bench.runs):
        bench.say(f"relay: a forwarded publisher, run {number + 1} of {bench.runs}")
        for (name, known), at in zip(delays.items(), (here, there), strict=True):
            url = {name: here.url("cam", "source")}
            found = measure(url, at.url("cam"), tags, lambda: 0.0)
            known += found.delays_ms[name]
            bench.add(Figure("pictures lost", found.lost, "", 0.0))
    own, forwarded = delays.values()
    added = percentile(forwarded, 0.5) - percentile(own, 0.5)
    bench.add(Figure("a forwarded publisher adds, median", added, "ms", MAX_ADDED_MS))
    for name, known in delays.items():
        for what, part in (("median", 0.5), ("p99", 0.99)):
            bench.add(Figure(f"{name}, {what}", percentile(known, part), "ms"))


def _first_ms(here: Farm, there: Farm, folder: Path) -> float:
    """From the connect to the first keyframe, of a stream that nobody pulls yet."""
    until(lambda: pulled(there) == 0, 4 * KEEP_S, "nothing is pulled", every=0.2)
    with Publisher(here.url("cam"), footage.numbered(folder, footage.HD), loop=True):
        until(lambda: "cam" in here.streams(), 10, "it is published")
        time.sleep(3)  # a GOP is there
        return join_times_ms(there.url("cam", "source"), players=1)[0]


def pulled(farm: Farm) -> int:
    """How many streams of other hosts a farm has, as it reported last."""
    return int(farm.child("relay")["counters"].get("relay pulled streams", 0))


def _add_cpu(bench: Bench, folder: Path, here: Farm, there: Farm) -> None:
    """What both relays take of a core, for some streams of much, put to 300 Mbit/s."""
    tags = footage.tags_of(footage.numbered(folder, LARGE))
    seconds = footage.seconds_of(tags)
    with peers.pool(len(STREAMS) + 1) as pool:
        peers.start_all(pool, len(STREAMS) + 1)
        start_s = time.monotonic() + 2.0
        sent = [pool.submit(peers.publish, here.url(key), tags, start_s) for key in STREAMS]
        urls = [there.url(key, "source") for key in STREAMS]
        came = pool.submit(watch_all, urls, start_s, start_s + seconds)
        time.sleep(max(0.0, start_s + seconds * 0.3 - time.monotonic()))
        before = [relay_cpu_s(farm) for farm in (here, there)]
        began_s = time.monotonic()
        time.sleep(seconds * 0.6)
        spent = [relay_cpu_s(farm) for farm in (here, there)]
        took_s = time.monotonic() - began_s
        for each in sent:
            each.result(seconds + 60)
        mbps = came.result(60) * 8 / 1e6 / seconds
    for name, first, last in zip(("owner", "edge"), before, spent, strict=True):
        share = (last - first) / took_s * 100 * 300 / mbps
        note = f"measured at {mbps:.0f} Mbit/s, {len(STREAMS)} streams"
        figure = Figure(f"relay of the {name}, of a core, at 300 Mbit/s", share, "%", 25.0)
        bench.add(replace(figure, note=note))


def watch_all(urls: Sequence[str], from_s: float, until_s: float) -> int:
    """One player of each, who only takes what comes; how many bytes that was."""
    with ThreadPoolExecutor(len(urls)) as pool:
        return sum(pool.map(lambda url: peers.watch(url, 1, from_s, until_s), urls))
