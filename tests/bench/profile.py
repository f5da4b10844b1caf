"""Where the CPU time of the media processes goes, by `perf`: one text a process.

    python -m tests.bench.profile OUT-FOLDER [--players 100]

A farm with the 720p ladder and one publisher; players of 360p take what egress sends. Kept in
docs/profiles. Debian: apt-get install linux-perf.
"""

import argparse
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import psutil

from tests.bench import footage, peers
from tests.bench.ladder import HD_LADDER, config
from tests.helpers_farm import Farm

WARM_UP_S = 4.0
SECONDS = 10
LINES = 40


def report(data: Path, sort: str) -> str:
    done = subprocess.run(
        ["perf", "report", "-i", data, "--stdio", "--no-children", "-g", "none", "--sort", sort],
        capture_output=True,
        text=True,
        check=True,
    )
    kept = [line.rstrip() for line in done.stdout.splitlines() if line and line[0] != "#"]
    return "\n".join(line for line in kept if line)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.profile")
    parser.add_argument("out", type=Path)
    parser.add_argument("--players", type=int, default=100)
    arguments = parser.parse_args()
    if shutil.which("perf") is None:
        parser.error("perf is not installed: apt-get install linux-perf")
    arguments.out.mkdir(parents=True, exist_ok=True)
    with footage.workspace() as folder, ExitStack() as stack:
        tags = footage.tags_of(footage.numbered(folder, footage.HD))
        farm = stack.enter_context(Farm(config(HD_LADDER)))
        pool = stack.enter_context(peers.pool(2))
        start_s = time.monotonic() + 1.0
        sent = pool.submit(peers.publish, farm.url("cam"), tags, start_s)
        until_s = start_s + WARM_UP_S + SECONDS + 1
        played = pool.submit(
            peers.watch, farm.url("cam", "360p"), arguments.players, start_s + 1, until_s
        )
        time.sleep(1 + WARM_UP_S)
        recording = {
            name: subprocess.Popen(
                [
                    *("perf", "record", "-q", "-F", "999", "-g", "-p", str(process.pid)),
                    *("-o", folder / f"{name}.perf", "--", "sleep", str(SECONDS)),
                ],
                stdin=subprocess.DEVNULL,
            )
            for name, process in _children(farm).items()
        }
        for process in recording.values():
            assert process.wait(SECONDS + 30) == 0
        played.result(30)
        sent.result(60)
        for name in recording:
            data = folder / f"{name}.perf"
            symbols = report(data, "dso,symbol").splitlines()[:LINES]
            text = "\n".join(
                [
                    f"{name}: one 720p30 stream on three rungs, {arguments.players} players of "
                    f"360p, {SECONDS} s, perf record -F 999",
                    "",
                    report(data, "dso"),
                    "",
                    *symbols,
                    "",
                ]
            )
            (arguments.out / f"{name}.txt").write_text(text)
    return 0


def _children(farm: Farm) -> dict[str, psutil.Process]:
    """The media processes by what they are."""
    found = {}
    for process in farm.processes():
        command = process.cmdline()
        if "-m" in command and (name := command[command.index("-m") + 1]) != "supervisor":
            found[name] = process
    return found


if __name__ == "__main__":
    sys.exit(main())
