"""Memory of the whole farm (PSS): idle with its built-in settings, a stream, fifty rounds."""

import statistics
from itertools import pairwise
from pathlib import Path

from tests.bench import footage
from tests.bench.report import Bench, Figure
from tests.kit.clients import Publisher, TagPublisher
from tests.kit.clips import ClipSpec
from tests.kit.farm import Farm
from tests.kit.waiting import until

MIB = 1024**2
BUILT_IN = '[listen]\nrtmp = "127.0.0.1:0"\n[devices]\nuse_gpus = false\n'
LIVE = '[templates.live]\nhold = "0s"\n'
ROUNDS = 50
SHORT = ClipSpec(seconds=2.0, width=640, height=360, gop_frames=30, bitrate_bps=600_000)


def run(bench: Bench) -> None:
    with footage.workspace() as folder:
        clip = footage.numbered(folder, footage.HD)
        idle = statistics.median(_idle() for _ in range(bench.runs))
        bench.add(Figure("farm idle", idle / MIB, "MiB PSS", 350.0))
        added = statistics.median(_added(clip) for _ in range(bench.runs))
        bench.add(Figure("a 720p stream on the built-in ladder", added / MIB, "MiB PSS", 120.0))
        grown = statistics.median(_grown(footage.numbered(folder, SHORT), bench.runs))
        title = f"{ROUNDS} publish and unpublish rounds add"
        bench.add(Figure(title, grown / MIB, "MiB PSS", 10.0))


def _idle() -> int:
    with Farm(BUILT_IN, standbys=True) as farm:
        return farm.memory_bytes()


def _added(clip: Path) -> int:
    """By one stream, under way."""
    with Farm(BUILT_IN + LIVE, standbys=True) as farm:
        before = farm.memory_bytes()
        with Publisher(farm.url("cam"), clip, loop=True):
            farm.wait_stream("cam")
            until(lambda: _frames(farm) > 200, 30, "the stream is under way", every=0.5)
            return farm.memory_bytes() - before


def _frames(farm: Farm) -> int:
    stream = farm.streams().get("cam")
    return min((r["frames"] for r in stream["renditions"]), default=0) if stream else 0


def _grown(clip: Path, times: int) -> list[int]:
    """By so many rounds, again and again on one farm."""
    tags = [tag for tag in footage.tags_of(clip) if tag.dts_ms < 800]
    with Farm(BUILT_IN + LIVE, standbys=True) as farm:

        def publish_once(number: int) -> None:
            with TagPublisher(farm.url(f"cam{number % 3}"), tags) as publisher:
                publisher.join(20)
                assert publisher.error is None
            farm.wait_gone(f"cam{number % 3}")

        for number in range(10):
            publish_once(number)
        told = [farm.memory_bytes()]
        for _ in range(times):
            for number in range(ROUNDS):
                publish_once(number)
            told.append(farm.memory_bytes())
    return [after - before for before, after in pairwise(told)]
