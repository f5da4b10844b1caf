"""`python -m tests.bench [NAME …] [--runs N]`: runs the benches and prints a line a figure.

Benches of viewers (`webrtc`, `hls`) print a table of their steps too; `--viewers 10,50` names other
steps than theirs. All that was measured goes to the file of `--json` as well.

A bench is a module beside this one with `run(bench: Bench) -> None`. Peers that are not installed
are said and left out. Exit code 1 when a figure missed its limit.
"""

import argparse
import importlib
import sys
import time
from pathlib import Path

from tests.bench.report import Bench, machine

NO_BENCHES = {"__main__", "report", "footage", "peers", "fanout_stream", "fanout_viewers"}
NO_BENCHES |= {"stock_aiortc", "viewers", "hls_viewers"}


def steps(text: str) -> tuple[int, ...]:
    """Numbers of viewers, the smallest first. Raises ValueError."""
    found = tuple(sorted({int(number) for number in text.split(",")}))
    if len(found) < 2 or found[0] < 1:
        raise ValueError(text)
    return found


def main() -> int:
    names = sorted({path.stem for path in Path(__file__).parent.glob("*.py")} - NO_BENCHES)
    runnable = [name for name in names if not name.startswith("gpu_")]
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    parser.add_argument("--runs", type=int, default=5, help="runs a figure; medians are given")
    parser.add_argument("--viewers", type=steps, default=(), metavar="N,N…", help="two or more")
    parser.add_argument("--seconds", type=float, default=0.0, help="that a number of viewers takes")
    parser.add_argument("--processes", type=int, default=1, help="that serve them, of `hls`")
    parser.add_argument("--clip", type=Path, help="FLV of H.264 without B-frames, to be published")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there, too")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(names)
    if unknown:
        parser.error(f"no such bench: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    bench = Bench(
        arguments.runs, arguments.viewers, arguments.seconds, arguments.processes, arguments.clip
    )
    print(f"# {machine()}")
    for name in arguments.names or runnable:
        began = time.monotonic()
        module = importlib.import_module(f"tests.bench.{name}")
        if not hasattr(module, "run"):
            bench.say(f"{name}: a program of its own, python -m tests.bench.{name}")
            continue
        print(f"## {name}", flush=True)
        module.run(bench)
        bench.say(f"{name}: {time.monotonic() - began:.0f} s")
    if arguments.json is not None:
        arguments.json.write_text(bench.document())
    missed = [figure for figure in bench.figures if figure.holds is False]
    for figure in missed:
        print(f"MISSED  {figure.line()}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
