"""What measuring the quality of renditions costs.

One stream of 720p30 of the built-in ladder is published to a farm that measures as often as it may.
What that took of a core stands in the workers' counters, beside what the workers took in the same
time. `--clip` names another FLV.
"""

import time
from pathlib import Path

import psutil

from tests.bench import footage, peers
from tests.bench.ladder import HD_LADDER, config
from tests.bench.report import Bench, Figure
from tests.kit.clients import Publisher
from tests.kit.farm import Farm
from tests.kit.waiting import until

EVERY = 'quality_every = "1s"\n'
SETTLE_S = 4.0
MEASURED_S = 40.0
MOST_SHARE = 0.01


def measuring(farm: Farm) -> tuple[int, int, float]:
    """Measurements, their ms of a core, and the workers' seconds of cores."""
    children = farm.status()["children"]
    workers = [child for child in children if child["kind"] in ("worker", "encoder")]
    counts = [child["counters"] for child in workers]
    done = sum(count.get("measurements", 0) for count in counts)
    spent_ms = sum(count.get("measuring_ms", 0) for count in counts)
    return done, spent_ms, peers.cpu_seconds([psutil.Process(child["pid"]) for child in workers])


def cost(farm: Farm, clip: Path) -> tuple[float, float, float]:
    """ms of a measurement, measurements a second, and their share of the workers' time."""
    with Publisher(farm.url("cam"), clip, loop=True):
        until(lambda: bool(farm.streams()), 30, "it is published")
        time.sleep(SETTLE_S)
        before, began = measuring(farm), time.monotonic()
        time.sleep(MEASURED_S)
        after, lasted_s = measuring(farm), time.monotonic() - began
    done, spent_ms, all_s = (now - then for now, then in zip(after, before, strict=True))
    return spent_ms / max(1, done), done / lasted_s, spent_ms / 1000 / all_s


def run(bench: Bench) -> None:
    text = config(HD_LADDER).replace("[templates.live]\n", f"[templates.live]\n{EVERY}")
    with footage.workspace() as folder:
        clip = bench.clip or footage.numbered(folder, footage.HD)
        with Farm(text, standbys=True) as farm:
            each_ms, rate, share = cost(farm, clip)
    note = f"{rate:.2f} measurements a second"
    bench.add(Figure("a measurement", each_ms, "ms of a core"))
    bench.add(Figure("measuring", share, "of the workers' time", MOST_SHARE, note=note))
