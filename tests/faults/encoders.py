"""Faults of encoder processes, with software workers that hand their pictures over to them."""

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import psutil

from tests.faults.load import FRAME_MS
from tests.faults.processes import await_pictures, usual_wait_s
from tests.faults.scene import GOP_MS, KEYS, OTHER_SIZE, Result, Scene, vitals
from tests.kit.process_facts import pools
from tests.kit.waiting import until

MORE = "encoder_processes = true"
COUNT = 2  # of two cores
LOST = 15  # pictures, of a stream that an encoder process had
HANG_S = 2.0  # until one that hangs is ended
OPENINGS, AT_ONCE, KILLS = 200, 4, 20
GIVEN_BACK_S = 2.5  # what codecs freed
MIB = 1 << 20


def kill_encoder() -> Result:
    return _lose("kill -9 an encoder process", lambda process: process.kill(), 0.5, LOST)


def stop_encoder() -> Result:
    # what a worker's queue does not hold meanwhile is dropped, up to a keyframe
    lost = LOST + round((HANG_S + GOP_MS / 1000) * 1000 / FRAME_MS)
    return _lose("SIGSTOP an encoder process", lambda process: process.suspend(), HANG_S, lost)


def _lose(fault: str, do: Callable[[psutil.Process], None], seen_s: float, most: int) -> Result:
    """Take away the encoder process that has the most streams; its streams go on with another."""
    with Scene(more=MORE) as scene:
        until(lambda: len(_encoders(scene)) == COUNT, 20, "the encoder processes")
        workers = set(_workers(scene))
        pid = max(_encoders(scene), key=pools)
        had, process = pools(pid), psutil.Process(pid)
        at = time.monotonic()
        do(process)
        until(lambda: not process.is_running(), 8, "it has ended", every=0.01)
        found_s = time.monotonic() - at
        await_pictures(scene, [*KEYS], at)
        row = scene.judge(fault, KEYS, at)
        wait_s = max(seen.longest_wait_s for seen in scene.seen(KEYS, at))
        usual_s = usual_wait_s(scene, [*KEYS], at)
        hit = {seen.player.key for seen in scene.seen(KEYS, at) if seen.lost}
        is_same = set(_workers(scene)) == workers
        until(lambda: len(_encoders(scene)) == COUNT, 20, "it is back")
    row.affected, row.first_frame_s = had, None
    row.limit = (
        f"ended ≤ {seen_s:g} s, then no wait > 1.0 s; of its streams alone ≤ {most} pictures lost; "
        "the worker stays, 0 disconnected, 0 repeated"
    )
    row.note = (
        f"ended after {found_s:.2f} s; longest wait of a player {wait_s:.2f} s, usually "
        f"{usual_s:.2f} s; {len(hit)} streams lost pictures"
    )
    row.ok = (
        found_s <= seen_s
        and wait_s <= found_s + 1.0
        and (row.lost or 0) <= most
        and len(hit) <= had
        and is_same
        and not row.disconnected
        and not row.repeated
    )
    return row


def encoders_come_and_go() -> Result:
    """Two hundred openings and closings, then twenty kills: nothing is left of any."""
    with Scene(more=MORE, hold="0s", keys=KEYS[:1], players_a_stream=4) as scene:
        until(lambda: len(_encoders(scene)) == COUNT, 20, "the encoder processes")
        at = time.monotonic()
        _openings(scene, 5 * AT_ONCE, "w")
        before, mapped = vitals(scene.farm), _pools(scene)
        _openings(scene, OPENINGS, "r")
        opened = vitals(scene.farm)
        row = scene.judge(f"{OPENINGS} openings, {KILLS} kills of encoder processes", KEYS[:1], at)
        for _ in range(KILLS):
            victim = max(_encoders(scene), key=pools)
            os.kill(victim, signal.SIGKILL)
            until(lambda pid=victim: _are_back(scene, pid), 20, "it is back")  # type: ignore[misc]
        await_pictures(scene, [*KEYS[:1]], time.monotonic())
        time.sleep(GIVEN_BACK_S)
        killed, mapped_then = vitals(scene.farm), _pools(scene)
        shm = [name for name in os.listdir("/dev/shm") if "tfarm" in name]

    def grown(after: dict[str, dict[str, int]], what: str) -> int:
        """By how much, in the process where it is most; encoder processes are new after kills."""
        return max(
            facts[what] - before[name][what]
            for name, facts in after.items()
            if name in before and (after is opened or not name.startswith("encoder"))
        )

    memory = [grown(after, "memory") / MIB for after in (opened, killed)]
    descriptors = [grown(after, "descriptors") for after in (opened, killed)]
    threads = [grown(after, "threads") for after in (opened, killed)]
    row.affected, row.lost, row.first_frame_s = 0, None, None
    row.limit = (
        "descriptors, threads, pools flat, memory within 12 MiB, nothing in /dev/shm, "
        "0 disconnected"
    )
    row.note = (
        f"descriptors {descriptors[0]:+d}, then {descriptors[1]:+d}, threads {threads[0]:+d} and "
        f"{threads[1]:+d}, memory {memory[0]:+.1f} and {memory[1]:+.1f} MiB in the one that "
        f"grew most; pools {mapped}, then {mapped_then}"
    )
    row.ok = (
        max(*descriptors, *threads) <= OPENINGS // 50  # a leak has one of each opening
        and max(memory) < 12
        and mapped == mapped_then
        and not shm
        and not row.disconnected
    )
    if not row.ok:
        print(before, opened, killed, shm, sep="\n")
    return row


def _openings(scene: Scene, count: int, name: str) -> None:
    """Publishers come, each until there are pictures of it, and go."""
    script = scene.script(OTHER_SIZE)  # less work than the scene's own stream
    for first in range(0, count, AT_ONCE):
        keys = [f"{name}{number}" for number in range(first, first + AT_ONCE)]
        for key in keys:
            scene.load.publish(scene.farm.url(key), key, script)
        scene.farm.wait_stream(*keys, timeout=30)
        for key in keys:
            scene.load.ask(scene.publisher(key).leave)
        until(lambda: len(scene.farm.streams()) == 1, 30, "they have ended", every=0.1)
    time.sleep(GIVEN_BACK_S)


def _children(scene: Scene, kind: str) -> list[dict[str, Any]]:
    children: list[dict[str, Any]] = scene.farm.status()["children"]
    return [child for child in children if child["kind"] == kind and child["state"] == "ready"]


def _encoders(scene: Scene) -> list[int]:
    return [child["pid"] for child in _children(scene, "encoder")]


def _workers(scene: Scene) -> list[int]:
    return [child["pid"] for child in _children(scene, "worker")]


def _are_back(scene: Scene, killed: int) -> bool:
    running = _encoders(scene)
    return len(running) == COUNT and killed not in running


def _pools(scene: Scene) -> int:
    """Of workers and of encoder processes together."""
    return sum(map(pools, [*_workers(scene), *_encoders(scene)]))
