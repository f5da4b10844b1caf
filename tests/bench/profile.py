"""Where the CPU time of the media processes goes, by `perf` and `py-spy`: one text a process.

    python -m tests.bench.profile OUT-FOLDER [--players 100]

A farm with the 720p ladder and one publisher; players of 360p take what egress sends. `perf` tells
of libraries and the kernel, `py-spy`, in a second farm, of Python's functions. Kept in
docs/profiles. Debian: apt-get install linux-perf.
"""

import argparse
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psutil

from tests.bench import footage, peers
from tests.bench.ladder import HD_LADDER, config
from tests.bench.report import machine
from tests.kit.farm import Farm

WARM_UP_S = 4.0
SECONDS = 10
LINES = 40
PY_SPY = Path(sys.executable).parent / "py-spy"


def report(data: Path, sort: str) -> str:
    done = subprocess.run(
        ["perf", "report", "-i", data, "--stdio", "--no-children", "-g", "none", "--sort", sort],
        capture_output=True,
        text=True,
        check=True,
    )
    kept = [line.rstrip() for line in done.stdout.splitlines() if line and line[0] != "#"]
    return "\n".join(line for line in kept if line)


def functions(stacks: Path) -> list[str]:
    """Python's functions, by the samples that have them on the stack (of collapsed stacks)."""
    inside: Counter[str] = Counter()
    own: Counter[str] = Counter()
    total = 0
    for line in stacks.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [re.sub(r":\d+\)", ")", frame) for frame in stack.split(";")]
        total += int(count)
        own[frames[-1]] += int(count)
        for frame in set(frames):
            inside[frame] += int(count)
    return [
        f"{count / total:7.1%} {own[frame] / total:7.1%}   {frame}"
        for frame, count in inside.most_common(LINES)
    ]


def perf(name: str, pid: int, folder: Path) -> list[str | Path]:
    return [
        *("perf", "record", "-q", "-F", "999", "-g", "-p", str(pid)),
        *("-o", folder / f"{name}.perf", "--", "sleep", str(SECONDS)),
    ]


def py_spy(name: str, pid: int, folder: Path) -> list[str | Path]:
    return [
        *(PY_SPY, "record", "--nonblocking", "--format", "raw", "--rate", "500"),
        *("--duration", str(SECONDS), "--pid", str(pid), "--output", folder / f"{name}.stacks"),
    ]


def record(
    folder: Path, players: int, command: Callable[[str, int, Path], list[str | Path]]
) -> list[str]:
    """Run a farm under load with this program on each media process; their names."""
    with ExitStack() as stack:
        tags = footage.tags_of(footage.numbered(folder, footage.HD))
        farm = stack.enter_context(Farm(config(HD_LADDER), standbys=True))
        pool = stack.enter_context(peers.pool(2))
        start_s = time.monotonic() + 1.0
        sent = pool.submit(peers.publish, farm.url("cam"), tags, start_s)
        until_s = start_s + WARM_UP_S + SECONDS + 1
        played = pool.submit(peers.watch, farm.url("cam", "360p"), players, start_s + 1, until_s)
        time.sleep(1 + WARM_UP_S)
        recording = {
            name: subprocess.Popen(
                command(name, process.pid, folder),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for name, process in _children(farm).items()
        }
        for name, process in recording.items():
            code = process.wait(SECONDS + 30)
            assert code == 0, f"{command.__name__} of {name} ended with {code}"
        played.result(30)
        sent.result(60)
        return list(recording)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.profile")
    parser.add_argument("out", type=Path)
    parser.add_argument("--players", type=int, default=100)
    arguments = parser.parse_args()
    if shutil.which("perf") is None:
        parser.error("perf is not installed: apt-get install linux-perf")
    arguments.out.mkdir(parents=True, exist_ok=True)
    with footage.workspace() as folder:
        names = record(folder, arguments.players, perf)
        record(folder, arguments.players, py_spy)
        for name in names:
            data = folder / f"{name}.perf"
            text = "\n".join(
                [
                    f"{name}: one 720p30 stream, three renditions, {arguments.players} players of "
                    f"360p, {SECONDS} s each",
                    f"{machine()}, {time.strftime('%Y-%m-%d', time.gmtime())}",
                    "",
                    "perf record -F 999: libraries, then symbols",
                    "",
                    report(data, "dso"),
                    "",
                    *report(data, "dso,symbol").splitlines()[:LINES],
                    "",
                    "py-spy record --rate 500: samples with the function on the stack, and on top",
                    "",
                    *functions(folder / f"{name}.stacks"),
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
