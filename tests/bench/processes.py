"""CPU seconds of each of the farm's processes for the ladder bench's streams, nobody playing.

    python -m tests.bench.processes hd|small [--runs N] [--encoder-threads 2]

`hd` is one 720p30 stream, `small` three of 360p30, as in `ladder`; no peer runs beside it.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench import footage, peers
from tests.bench.ladder import HD_LADDER, SMALL, SMALL_LADDER, Ladder, config
from tests.kit.clients import FlvTag
from tests.kit.clips import ClipSpec
from tests.kit.farm import Farm

SHAPES: dict[str, tuple[ClipSpec, Ladder, int]] = {
    "hd": (footage.HD, HD_LADDER, 1),
    "small": (SMALL, SMALL_LADDER, 3),
}


def spent(tags: Sequence[FlvTag], ladder: Ladder, streams: int, threads: int) -> dict[str, float]:
    """User and system time of every process while the streams run."""
    with Farm(config(ladder, threads=threads), standbys=True) as farm, peers.pool(streams) as pool:
        names = {child["pid"]: child["name"] for child in farm.status()["children"]}
        processes = {names.get(p.pid, "supervisor"): p for p in farm.processes()}
        before = {name: peers.cpu_seconds([p]) for name, p in processes.items()}
        start_s = time.monotonic() + 1.5
        sent = [
            pool.submit(peers.publish, farm.url(f"cam{n}"), tags, start_s) for n in range(streams)
        ]
        for future in sent:
            future.result(60)
        time.sleep(1.0)
        return {name: peers.cpu_seconds([p]) - before[name] for name, p in processes.items()}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.processes")
    parser.add_argument("shape", choices=sorted(SHAPES))
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--encoder-threads", type=int, default=1)
    arguments = parser.parse_args()
    spec, ladder, streams = SHAPES[arguments.shape]
    with footage.workspace() as folder:
        clip: Path = footage.numbered(folder, spec)
        tags = footage.tags_of(clip)
        for _ in range(arguments.runs):
            found = spent(tags, ladder, streams, arguments.encoder_threads)
            print("  ".join(f"{name} {seconds:.2f} s" for name, seconds in found.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
