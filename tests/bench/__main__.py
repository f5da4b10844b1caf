"""`python -m tests.bench [NAME …] [--runs N]`: runs the benches and prints a line a figure.

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
NO_BENCHES |= {"stock_aiortc"}


def main() -> int:
    names = sorted({path.stem for path in Path(__file__).parent.glob("*.py")} - NO_BENCHES)
    runnable = [name for name in names if not name.startswith("gpu_")]
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    parser.add_argument("--runs", type=int, default=5, help="runs a figure; medians are given")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(names)
    if unknown:
        parser.error(f"no such bench: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    bench = Bench(runs=arguments.runs)
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
    missed = [figure for figure in bench.figures if figure.holds is False]
    for figure in missed:
        print(f"MISSED  {figure.line()}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
