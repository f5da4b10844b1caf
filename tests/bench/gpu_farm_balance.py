"""Equal streams on two GPUs: how they spread, and what one worker's death costs the players."""

import json
import subprocess
import time
from collections.abc import Container, Mapping, Set
from contextlib import ExitStack

import psutil

from tests.bench.gpu_fleet import Collected, Fleet, RunningFarm
from tests.bench.gpu_scene import Scene, Table, first_new_s, missing
from tests.bench.report import percentile


def balance(scene: Scene, table: Table) -> None:
    """Equal streams on two GPUs; one worker killed and back."""
    first = scene.gpus[0]
    size = scene.size
    count = size.streams
    log = scene.out / "farm-balance.log"
    renditions = [name for name, *_ in size.renditions]
    with ExitStack() as stack:
        farm = stack.enter_context(RunningFarm(scene.config(), log))
        _check_devices(farm, table)
        publishers = stack.enter_context(Fleet(scene.clip.tags, scene.clip.length_ms))
        players = stack.enter_context(Fleet())
        keys = [f"s{number}" for number in range(count)]
        for key in keys:
            publishers.publish(farm.url(key), key)
            time.sleep(0.07)
        table.add(f"{count} streams made after", f"{farm.wait_made(keys):.1f} s")
        for key in keys:
            for rendition in renditions:
                players.play(farm.url(key, rendition), key, rendition)
        time.sleep(size.settle_s / 2)
        _add_cores_used(farm, table, size.settle_s / 2)
        spread = farm.spread()
        even = sorted(spread.values()) == [count // 2, count // 2]
        table.check(f"{count} streams on two GPUs", _spread(spread), even)
        table.add("GPU memory used", _memory_used())
        lost = {
            key for key, stream in farm.streams().items() if str(stream["worker"]).endswith(first)
        }
        killed_s = _lose_a_worker(scene, farm, table, publishers)
        time.sleep(1.0)
        played, sent = players.collect(), publishers.collect()
        for status in farm.status()["devices"]:
            table.add(f"at the end, {status['name'][:12]}", f"{status['fps_in']} frames/s in")
    table.check("the farm ends cleanly", str(farm.end_code), farm.end_code == 0)
    _keep_takeover(scene, played, sent, lost, killed_s)
    _check_pictures(scene, table, played, sent, lost, killed_s)


def _check_devices(farm: RunningFarm, table: Table) -> None:
    """Each worker has a GPU of its own."""
    table.add("farm ready after", f"{farm.ready_s:.1f} s")
    for device in farm.status()["devices"]:
        notes = "; ".join(device["notes"])
        table.add(f"device {device['name'][:12]}", f"{device['path']}: {notes}"[:150])
    for name, child in farm.workers().items():
        shown = psutil.Process(child["pid"]).environ().get("CUDA_VISIBLE_DEVICES")
        table.check(f"worker {name[:12]} sees only its GPU", str(shown)[:12], shown == name)


def _add_cores_used(farm: RunningFarm, table: Table, window_s: float) -> None:
    before, before_s = farm.cpu_seconds(), time.monotonic()
    time.sleep(window_s)
    after, elapsed_s = farm.cpu_seconds(), time.monotonic() - before_s
    spent = {kind: (after[kind] - before.get(kind, 0.0)) / elapsed_s for kind in after}
    table.add("cores used", ", ".join(f"{kind} {part:.2f}" for kind, part in spent.items()))


def _lose_a_worker(scene: Scene, farm: RunningFarm, table: Table, publishers: Fleet) -> float:
    """Kill the first GPU's worker and wait for the next one; returns when it was killed."""
    first, second = scene.gpus[:2]
    pid = farm.workers()[first]["pid"]
    killed_s = time.monotonic()
    psutil.Process(pid).kill()
    time.sleep(1.0)
    spread = farm.spread()
    table.check(
        "all on the other 1 s after kill -9",
        _spread(spread),
        spread.get(second) == scene.size.streams and not spread.get(first),
    )
    time.sleep(3.0)
    back = farm.wait(
        lambda: farm.workers()[first]["state"] == "ready" and farm.workers()[first]["pid"] != pid,
        40,
        "the killed worker is back",
    )
    table.add("killed worker ready again after", f"{back + 4.0:.1f} s (seen from 4.0 s on)")
    newer = ["n0", "n1"]
    for key in newer:
        publishers.publish(farm.url(key), key)
    farm.wait_made(newer)
    where = [farm.streams()[key]["worker"].partition(":")[2] for key in newer]
    table.check("new streams go there", str([w[:8] for w in where]), where == [first] * 2)
    return killed_s


def _check_pictures(
    scene: Scene,
    table: Table,
    played: Collected,
    sent: Collected,
    lost: Set[str],
    killed_s: float,
) -> None:
    """What the players of the lost streams, and of the others, saw of the worker's death."""
    firsts, gaps, lost_pictures, others = [], [], 0, 0
    for player in played.played:
        after_s, gap_s = first_new_s(player, killed_s)
        lost_here = missing(player, sent.sent[player.key], killed_s - 3, killed_s + 4)
        if player.key in lost:
            firsts.append(after_s)
            gaps.append(gap_s)
            lost_pictures = max(lost_pictures, lost_here)
        else:
            others = max(others, lost_here)
    table.check(
        f"first new picture of {len(lost)} streams x {len(scene.size.renditions)} renditions "
        "after the kill",
        f"median {percentile(firsts, 0.5):.2f} s, last {max(firsts):.2f} s",
        max(firsts) <= 2.0,
    )
    table.add("longest gap between two pictures there", f"{max(gaps):.2f} s")
    table.add("pictures lost, worst rendition", f"{lost_pictures} there, {others} elsewhere")
    losses = sum(player.losses for player in played.played)
    table.check("players disconnected", str(losses), losses == 0)
    table.add("publishers late by at most", f"{sent.late_s * 1000:.0f} ms")


def _keep_takeover(
    scene: Scene, played: Collected, sent: Collected, lost: Container[str], killed_s: float
) -> None:
    """For later: each picture of the lost streams, when it was sent and came after the kill."""
    told = []
    for player in played.played:
        if player.key in lost:
            came = {picture.dts_ms: picture.came_s for picture in player.pictures}
            pictures = [
                (at_ms, round(left_s - killed_s, 3), round(came.get(at_ms, 0.0) - killed_s, 3))
                for at_ms, left_s in sent.sent[player.key].left_s.items()
                if -2 <= left_s - killed_s <= 5
            ]
            told.append({"key": player.key, "rendition": player.rendition, "pictures": pictures})
    (scene.out / "takeover.json").write_text(json.dumps(told))


def _spread(spread: Mapping[str, int]) -> str:
    return ", ".join(f"{name[:12]}: {count}" for name, count in spread.items())


def _memory_used() -> str:
    try:
        return " / ".join(
            subprocess.run(
                ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader"],
                capture_output=True,
                text=True,
                timeout=10,
                check=True,
            ).stdout.split("\n")
        ).strip(" /")
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
