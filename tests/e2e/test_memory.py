"""Streams leave nothing behind: not in memory, not in open files, not in threads.

A few rounds here; `make bench` does fifty.
"""

import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from common.rtmp.blocking_client import RtmpPublisher
from tests.kit.clients import flv_tags, send_tag
from tests.kit.clips import ClipSpec
from tests.kit.farm import Farm

pytestmark = pytest.mark.e2e

Held = dict[int, tuple[int, int, int]]  # by pid: open files, threads, bytes
ROUNDS = 10
MIB = 1024**2


def limit(command: list[str]) -> int:
    """In bytes. A worker's pages that glibc keeps of what codecs freed go up and down by 8 MiB.

    tests/worker/session/test_leaks.py counts the bytes in use there, and five hundred rounds of
    `make faults` hold the slope.
    """
    return (12 if "worker" in command else 4) * MIB


def test_rounds_of_publishing_add_nothing_that_stays(
    farm: Farm, clip: Callable[[ClipSpec], Path]
) -> None:
    tags = [tag for tag in flv_tags(clip(ClipSpec(seconds=2.0))) if tag.dts_ms <= 700]

    def publish_once() -> None:
        with RtmpPublisher(farm.url("round"), 30) as publisher:
            for tag in tags:
                send_tag(publisher, tag)
            farm.wait_stream("round")
        farm.wait_gone("round")

    for _ in range(5):  # pools, caches and code pages fill
        publish_once()
    for _ in range(4):  # more sessions at once than before, on a busy machine, take more once
        before = _settled(farm)
        for _ in range(ROUNDS):
            publish_once()
        stayed = _stayed(before, _settled(farm))
        if not stayed:
            break
    assert stayed == [], "again and again"


def test_the_idle_farm_is_small(farm: Farm) -> None:
    """350 MiB are the limit for the built-in farm, which has one worker more."""
    assert farm.memory_bytes() < 350 * MIB


def _settled(farm: Farm) -> dict[int, tuple[int, int, int]]:
    """What the processes hold once it no longer changes: freed memory goes back with a delay."""
    last = _held(farm)
    for _ in range(20):
        time.sleep(0.5)  # sleep: between two looks at what is given back late
        now = _held(farm)
        if all(abs(now[pid][2] - last[pid][2]) < MIB // 4 for pid in now):
            return now
        last = now
    return last


def _stayed(before: Held, after: Held) -> list[str]:
    """What there is more of."""
    found = []
    for pid, (files, threads, unique) in after.items():
        command = psutil.Process(pid).cmdline()
        grown = unique - before[pid][2]
        if files > before[pid][0] + 1 or threads > before[pid][1] or grown >= limit(command):
            more = f"{files - before[pid][0]} files, {threads - before[pid][1]} threads"
            found.append(f"{command}: {more}, {grown / MIB:.1f} MiB")
    return found


def _held(farm: Farm) -> dict[int, tuple[int, int, int]]:
    found = {}
    for process in farm.processes():
        with process.oneshot():
            unique = int(process.memory_full_info().uss)
            found[process.pid] = (process.num_fds(), process.num_threads(), unique)
    return found
