"""Viewers in processes of their own, and what one more of them costs the process that serves them.

A process of viewers says "ready" when all of them watch. At each word on its stdin it says, as one
line of JSON, what they have got since the word before; it ends with its stdin (`answer_words`).
"""

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import psutil

from tests.bench.peers import cpu_seconds
from tests.bench.report import Bench, Row

FULL = 0.95  # of what a viewer is sent where there are few: it is served in full
Counts = dict[str, int]


@dataclass(frozen=True)
class Step:
    """One measurement."""

    viewers: int
    cores: float  # of the processes that serve them
    load_cores: float  # of those that watch
    rate: float  # what one viewer got, a second
    counts: Counts  # what all got


def sizes(viewers: int, most: int) -> list[int]:
    """How many each process of viewers has, `most` at most, about as many as the others."""
    processes = -(-viewers // most)
    return [viewers // processes + (n < viewers % processes) for n in range(processes)]


def step(
    serving: Sequence[psutil.Process],
    command: Callable[[int], Sequence[str]],
    counted: str,
    viewers: int,
    *,
    most: int,
    settle_s: float,
    seconds: float,
) -> Step:
    """Have so many viewers, and measure.

    `command` is of a process with so many viewers, `most` at most; `counted` names what they get.
    """
    with ExitStack() as stack:
        load = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, *command(count)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for count in sizes(viewers, most)
        ]
        stack.callback(_end, load)
        for process in load:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", "viewers that do not watch"
        time.sleep(settle_s)
        watching = [psutil.Process(process.pid) for process in load]
        _ask(load)
        began, before, by_load = time.monotonic(), cpu_seconds(serving), cpu_seconds(watching)
        time.sleep(seconds)
        found = _ask(load)
        took_s = time.monotonic() - began
        used, by_load = cpu_seconds(serving) - before, cpu_seconds(watching) - by_load
    counts = {name: sum(one[name] for one in found) for name in found[0]}
    rate = counts[counted] / took_s / viewers
    return Step(viewers, used / took_s, by_load / took_s, rate, counts)


def slope(steps: Sequence[Step]) -> float:
    """Cores that one viewer more takes, by all steps whose viewers are served in full."""
    full = [one for one in steps if is_full(one, steps)]
    points = full if len(full) > 1 else steps
    by_viewers = [one.viewers for one in points], [one.cores for one in points]
    return statistics.linear_regression(*by_viewers).slope


def is_full(one: Step, steps: Sequence[Step]) -> bool:
    """Tell if its viewers got about as much as those of the other steps."""
    return one.rate >= FULL * max(other.rate for other in steps)


def show(bench: Bench, title: str, counted: str, steps: Sequence[Step]) -> None:
    """Print the last of the steps at once, and keep it for `--json`."""
    one = steps[-1]
    row: Row = {
        "viewers": one.viewers,
        "cores": round(one.cores, 4),
        f"{counted} a second and viewer": round(one.rate, 1),
        "served in full": "yes" if is_full(one, steps) else "no",
        "cores of the load": round(one.load_cores, 3),
    }
    bench.row(title, row)


async def answer_words(counts: Callable[[], Counts]) -> None:
    """Say "ready", and at each word on stdin what `counts` has more than at the word before."""
    print("ready", flush=True)
    before = counts()
    while await asyncio.to_thread(sys.stdin.readline):
        now = counts()
        print(json.dumps({name: now[name] - before[name] for name in now}), flush=True)
        before = now


def _ask(load: Sequence["subprocess.Popen[str]"]) -> list[Any]:
    for process in load:
        assert process.stdin is not None
        print("go", file=process.stdin, flush=True)
    return [json.loads(process.stdout.readline()) for process in load if process.stdout is not None]


def _end(load: Sequence["subprocess.Popen[str]"]) -> None:
    for process in load:
        if process.stdin is not None:
            process.stdin.close()
    for process in load:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
