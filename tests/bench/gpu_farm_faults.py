"""Faults of encoders, through the driver simulator: a crash, a failing encoder, a hang.

Who played the streams of that worker sees a gap; the other streams lose nothing.
"""

import json
import math
import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from tests.bench.gpu_fleet import PYTHON_PATH, ROOT, Collected, Fleet, RunningFarm, read_log
from tests.bench.gpu_scene import Scene, Table, first_new_s, missing

# Python runs this at its start: the first processes of a device get one fault each. A variable of
# the farm's own environment would strike every worker anew.
SITE = """
import json, os, sys
def _arm():
    arguments = sys.orig_argv
    if "--device" not in arguments:
        return
    device = arguments[arguments.index("--device") + 1]
    folder = os.environ["GPU_FARM_FAULTS"]
    for number, (name, value) in enumerate(json.load(open(f"{folder}/plan.json")).get(device, [])):
        try:
            os.close(os.open(f"{folder}/{device}-{number}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        if name:
            os.environ[name] = value
        return
_arm()
"""


def faults(scene: Scene, table: Table) -> None:
    """Four streams on two GPUs: a crash and later a failing encoder on one, a hang on the other."""
    first, second = scene.gpus[:2]
    log_path = scene.out / "nvenc-sim-faults.jsonl"
    environ = _plan_faults(scene, log_path)
    config = scene.config(apps={"live": ("gpu-only", "refuse")}, is_simulated=True)
    renditions = [name for name, *_ in scene.size.renditions]
    keys = ["s0", "s1", "s2", "s3"]
    history: list[tuple[float, str, dict[str, str]]] = []

    def note(what: str) -> None:
        where = {
            key: str(stream["worker"]).partition(":")[2][:12]
            for key, stream in farm.streams().items()
        }
        history.append((time.monotonic(), what, where))

    with ExitStack() as stack:
        log = scene.out / "farm-faults.log"
        farm = stack.enter_context(RunningFarm(config, log, environ=environ))
        paths = {device["path"] for device in farm.status()["devices"]}
        table.check("devices", ", ".join(paths), paths == {"gpu-only"})
        publishers = stack.enter_context(Fleet(scene.clip.tags, scene.clip.length_ms))
        players = stack.enter_context(Fleet())
        begun_s = time.monotonic()
        for key in keys:
            publishers.publish(farm.url(key), key)
            time.sleep(0.1)
        farm.wait_made(keys)
        for key in keys:
            for fitted in renditions:
                players.play(farm.url(key, fitted), key, fitted)
        note("begun")
        _await_faults(scene, farm, publishers, players, note)
        texts = list(dict.fromkeys(n["text"] for n in farm.status()["decisions"]))
        played, sent = players.collect(), publishers.collect()
    table.check("the farm ends cleanly", str(farm.end_code), farm.end_code == 0)
    for at_s, what, where in history:
        table.add(f"{what} at {at_s - begun_s:.1f} s", str(where))
    struck = {row["kind"]: row["t"] for row in read_log(log_path) if row["call"] == "FAULT"}
    table.check("faults struck", ", ".join(struck), set(struck) == {"crash", "hang", "fail"})
    _tell_fault(table, "crash", struck, history[0][2], first, played, sent)
    _tell_fault(table, "hang", struck, history[2][2], second, played, sent)
    if "fail" in struck:
        _tell_failed(table, struck["fail"], played, sent)
    losses = sum(player.losses for player in played.played)
    table.check("players disconnected", str(losses), losses == 0)
    reasons = [text for text in texts if not text.startswith("placed")]
    table.add("decisions", " | ".join(reasons)[:400])


def _plan_faults(scene: Scene, log_path: Path) -> dict[str, str]:
    """Write down which process of a device gets which fault; returns the farm's environment."""
    first, second = scene.gpus[:2]
    folder = scene.out / "faults"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(SITE)
    # the first session of a process is the test encode of its boot
    plan = {
        first: [
            ("NVENC_SIM_CRASH_AT", "session:3,frame:150"),
            ("NVENC_SIM_FAIL_AT", "session:3,frame:60"),
        ],
        second: [("NVENC_SIM_HANG_AT", "session:3,frame:780")],
    }
    (folder / "plan.json").write_text(json.dumps(plan))
    return scene.simulator(
        {
            "NVENC_SIM_LOG": str(log_path),
            "NVENC_SIM_LOG_CRC": "0",
            "GPU_FARM_FAULTS": str(folder),
            "PYTHONPATH": os.pathsep.join([str(folder), *PYTHON_PATH, str(ROOT)]),
        }
    )


def _await_faults(
    scene: Scene, farm: RunningFarm, publishers: Fleet, players: Fleet, note: Callable[[str], None]
) -> None:
    """Wait for the crash, put a stream where the next encoder fails, and wait for the hang."""
    first, second = scene.gpus[:2]
    pids = {name: child["pid"] for name, child in farm.workers().items()}

    def is_anew(device: str) -> bool:
        child = farm.workers()[device]
        return bool(child["state"] == "ready" and child["pid"] != pids[device])

    farm.wait(lambda: farm.workers()[first]["pid"] != pids[first], 15, "the crash")
    time.sleep(1.5)
    note("crashed")
    farm.wait(lambda: is_anew(first), 25, "the crashed worker is back")
    publishers.publish(farm.url("new"), "new")
    farm.wait_made(["new"])
    for fitted, *_ in scene.size.renditions:
        players.play(farm.url("new", fitted), "new", fitted)
    note("back")
    farm.wait(lambda: farm.workers()[second]["pid"] != pids[second], 30, "the hang is seen")
    time.sleep(3.0)
    note("hung")
    farm.wait(lambda: is_anew(second), 20, "the hung worker is back")
    time.sleep(1.0)


def _tell_fault(
    table: Table,
    kind: str,
    struck: Mapping[str, float],
    where: Mapping[str, str],
    device: str,
    played: Collected,
    sent: Collected,
) -> None:
    """Streams on the device come back; the others lose nothing.

    Of a rendition that ended before (its encoder failed) nothing after its last picture counts.
    """
    at_s = struck.get(kind)
    if at_s is None:
        return
    gaps, most, others, other_gap = [0.0], 0, 0, 0.0
    for player in played.played:
        _, gap_s = first_new_s(player, at_s)
        lost = missing(player, sent.sent[player.key], at_s - 1, at_s + 5)
        if where.get(player.key) == device[:12]:
            gaps.append(gap_s)
            most = max(most, lost)
        elif player.key in where and player.pictures and player.pictures[0].came_s < at_s - 1:
            others = max(others, lost)
            other_gap = max(other_gap, gap_s if math.isfinite(gap_s) else 0.0)
    table.check(
        f"{kind}: longest gap of the {len(gaps) - 1} renditions on that worker",
        f"{max(gaps):.2f} s, {most} pictures lost",
        0 < max(gaps) <= (4.0 if kind == "hang" else 2.0),
    )
    table.check(
        f"{kind}: the other streams",
        f"{others} pictures lost, longest gap {other_gap:.2f} s",
        others == 0,
    )


def _tell_failed(table: Table, at_s: float, played: Collected, sent: Collected) -> None:
    """One encoder fails: its rendition stops until it is opened anew; the others go on whole."""
    stopped, whole = [], []
    for player in played.played:
        if player.key != "new":
            continue
        last_s = max((p.came_s for p in player.pictures), default=0.0)
        if not missing(player, sent.sent["new"], at_s - 1, at_s + 3):
            whole.append(player.rendition)
        elif last_s > at_s + 3:
            stopped.append(player.rendition)
    table.check(
        "a failing encoder stops its own rendition alone, and is opened anew",
        f"stopped {stopped}, whole {whole}",
        len(stopped) == 1 and len(whole) == 2,
    )
