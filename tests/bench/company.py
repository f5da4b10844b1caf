"""Delay of a ladder that is played, beside others of the same farm: alone, unplayed, played.

What nobody plays is read and encoded in bundles, which must not be felt by those who play another
stream. Ladders of 360p30; the farm keeps two cores some 70 % busy with five of them.
"""

import statistics
import time
from collections.abc import Sequence

from tests.bench import footage, peers
from tests.bench.delay import Run, measure
from tests.bench.ladder import SMALL, SMALL_LADDER, config
from tests.bench.report import Bench, Figure, percentile
from tests.kit.clients import FlvTag
from tests.kit.farm import Farm

OTHERS = 4
EARLIER_S = 0.8  # the others start so long before
TOP = SMALL_LADDER[0][0]


def company_run(tags: Sequence[FlvTag], others: int, *, are_played: bool) -> Run:
    seconds = footage.seconds_of(tags)
    with Farm(config(SMALL_LADDER), standbys=True) as farm, peers.pool(2 * others + 1) as pool:
        peers.start_all(pool, 2 * others)
        start_s = time.monotonic() + 2.0
        names = [f"other{number}" for number in range(others)]
        until_s = start_s + seconds - EARLIER_S
        sent = [
            pool.submit(peers.publish, farm.url(name), tags, start_s - EARLIER_S + 0.011 * number)
            for number, name in enumerate(names)
        ]
        played = [
            pool.submit(peers.watch, farm.url(name, TOP), 1, start_s + 1, until_s)
            for name in names
            if are_played
        ]
        processes = list(farm.processes())
        urls = {name: farm.url("cam", name) for name, *_ in SMALL_LADDER}
        found = measure(urls, farm.url("cam"), tags, lambda: peers.cpu_seconds(processes))
        for publisher in sent:
            publisher.result(30)
        for player in played:
            player.result(30)
        return found


def run(bench: Bench) -> None:
    with footage.workspace() as folder:
        tags = footage.tags_of(footage.numbered(folder, SMALL))
        sides = {
            "alone": (0, False),
            f"beside {OTHERS} that nobody plays": (OTHERS, False),
            f"beside {OTHERS} that are played": (OTHERS, True),
        }
        runs: dict[str, list[Run]] = {side: [] for side in sides}
        for number in range(bench.runs):
            bench.say(f"company: run {number + 1} of {bench.runs}")
            for side, (others, are_played) in sides.items():
                runs[side].append(company_run(tags, others, are_played=are_played))
        for side, found in runs.items():
            for what, part in (("median", 0.5), ("p95", 0.95), ("p99", 0.99)):
                value = statistics.median(percentile(run.delays_ms[TOP], part) for run in found)
                bench.add(Figure(f"{TOP} {side}, {what}", value, "ms"))
            lost = sum(run.lost for run in found)
            bench.add(Figure(f"{TOP} {side}, pictures lost", lost, "", 0.0))
            spent = statistics.median(run.cpu_s for run in found)
            bench.add(Figure(f"{side}: CPU of the farm", spent, "s"))
