"""Encoder processes of GPUs without NVENC: one context a GPU, kills, what many streams leave.

Without a GPU it tries the bench, with software workers that share their pictures.
"""

import contextlib
import os
import signal
import time
from contextlib import ExitStack

import psutil

from tests.bench.gpu_fleet import Fleet, RunningFarm
from tests.bench.gpu_scene import Scene, Table, first_new_s, missing
from tests.bench.report import percentile
from tests.kit.process_facts import pools

KILLS = 20
OPENINGS = 200
AT_ONCE = 5  # openings: more make a host of 16 cores late, and the farm full
MIB = 1024**2


def encoders(scene: Scene, table: Table) -> None:
    before = contexts()
    log = scene.out / "farm-encoders.log"
    with ExitStack() as stack:
        farm = stack.enter_context(RunningFarm(_config(scene), log))
        farm.wait(lambda: len(_pids(farm)) >= 2, 20, "the encoder processes")
        table.add("encoder processes", ", ".join(_pids(farm)))
        keys = [f"s{number}" for number in range(scene.size.streams)]
        publishers = stack.enter_context(Fleet(scene.clip.tags, scene.clip.length_ms))
        players = stack.enter_context(Fleet())
        for key in keys:
            publishers.publish(farm.url(key), key)
            time.sleep(0.07)
        farm.wait_made(keys)
        for key in keys:
            for name, *_ in scene.size.renditions:
                players.play(farm.url(key, name), key, name)
        time.sleep(scene.size.settle_s)
        after = contexts()
        mine = {uuid: after[uuid] - before[uuid] for uuid in after}
        wanted = {uuid: int(uuid in scene.gpus) for uuid in after}
        table.check("contexts on each GPU, by NVML", str(list(mine.values())), mine == wanted)
        spread = list(farm.spread().values())
        table.check("streams a device", str(spread), max(spread) - min(spread) <= 1)
        _kill_one(scene, farm, table, publishers, players)
        _many_kills(farm, table)
        table.check("contexts then", str(list(contexts().values())), contexts() == after)
    table.check("the farm ends cleanly", str(farm.end_code), farm.end_code == 0)
    _openings(scene, table)
    _kill_all(scene, table)


def contexts() -> dict[str, int]:
    """Processes that NVML names on each GPU; their pids may be of another namespace."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return {}
    found = {}
    for index in range(pynvml.nvmlDeviceGetCount()):
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        processes = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
        found[str(pynvml.nvmlDeviceGetUUID(handle))] = len(processes)
    pynvml.nvmlShutdown()
    return found


def _memory_used() -> list[int]:
    """Bytes of each GPU."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    found = [
        int(pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(index)).used)
        for index in range(pynvml.nvmlDeviceGetCount())
    ]
    pynvml.nvmlShutdown()
    return found


def _config(scene: Scene) -> str:
    if scene.gpus:
        return scene.config(apps={"live": ("hybrid", "refuse")})
    return scene.config(
        software="workers = 2\nencoder_processes = true", apps={"live": ("software", "refuse")}
    )


def _pids(farm: RunningFarm) -> dict[str, int]:
    return {
        child["name"]: child["pid"]
        for child in farm.status()["children"]
        if child["kind"] == "encoder" and child["state"] == "ready"
    }


def _kill_one(
    scene: Scene, farm: RunningFarm, table: Table, publishers: Fleet, players: Fleet
) -> None:
    """One encoder process that has streams, while all are played."""
    count = len(_pids(farm))
    name, pid = max(_pids(farm).items(), key=lambda entry: pools(entry[1]))
    had = pools(pid)
    killed_s = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    # the farm sees it a moment later
    farm.wait(lambda: pid not in _pids(farm).values(), 10, "it is seen")
    farm.wait(lambda: len(_pids(farm)) == count, 20, "it is back")
    back_s = time.monotonic() - killed_s
    time.sleep(max(0.0, 4.0 - back_s))
    played, sent = players.collect(), publishers.collect()
    lost, gaps = [], []
    for player in played.played:
        lost.append(missing(player, sent.sent[player.key], killed_s - 1, killed_s + 3))
        gaps.append(first_new_s(player, killed_s)[1])
    hit = [number for number in lost if number]
    table.check(
        f"kill -9 {name}, which had {had} streams: pictures lost of each rendition",
        f"{max(lost)} at most, none of {len(lost) - len(hit)} in {len(lost)}",
        max(lost) <= 15 and len(hit) <= had * len(scene.size.renditions),
    )
    table.check(
        "longest gap at a player around it",
        f"{max(gaps) * 1000:.0f} ms, median {percentile(gaps, 0.5) * 1000:.0f} ms",
        max(gaps) <= 1.0,
    )
    cut = sum(player.losses for player in played.played)
    table.check("players disconnected", str(cut), cut == 0)
    table.add("it is ready again after", f"{back_s:.1f} s")


def _many_kills(farm: RunningFarm, table: Table) -> None:
    """Kills while streams run: what is mapped and open afterwards."""
    workers = [child["pid"] for child in farm.workers().values()]
    count = len(_pids(farm))
    before = _facts(workers)
    for _ in range(KILLS):
        pid = max(_pids(farm).values(), key=pools)
        os.kill(pid, signal.SIGKILL)
        # the farm sees it a moment later
        farm.wait(lambda pid=pid: pid not in _pids(farm).values(), 10, "it is seen")  # type: ignore[misc]
        farm.wait(lambda: len(_pids(farm)) == count, 20, "it is back")
    time.sleep(3.0)  # streams move back at their keyframes
    after = _facts(workers)
    table.check(
        f"{KILLS} kills of encoder processes: descriptors, pools of the workers",
        f"{before} → {after}",
        abs(after[0] - before[0]) <= 2 * len(workers) and after[1] == before[1],
    )
    mapped = [pools(pid) for pid in _pids(farm).values()]
    table.check("pools of each encoder process then", str(mapped), sum(mapped) == before[1])


def _facts(pids: list[int]) -> tuple[int, int]:
    """Descriptors and pools of processes, all together."""
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids), sum(map(pools, pids))


def _openings(scene: Scene, table: Table) -> None:
    """Many streams, one after the other, in a farm of their own that holds none of them."""
    config = _config(scene).replace('hold = "5s"', 'hold = "0s"')
    with RunningFarm(config, scene.out / "farm-openings.log") as farm:
        farm.wait(lambda: len(_pids(farm)) >= 2, 20, "the encoder processes")

        def rounds(count: int, name: str) -> None:
            for number in range(count):
                keys = [f"{name}{number}-{each}" for each in range(AT_ONCE)]
                with Fleet(scene.clip.tags, scene.clip.length_ms) as publishers:
                    for key in keys:
                        publishers.publish(farm.url(key), key)
                    farm.wait_made(keys)
                farm.wait(lambda: not farm.streams(), 30, "all streams ended")
            time.sleep(2.0)  # workers give memory back

        def facts() -> tuple[int, int, int, list[int], int]:
            pids = [
                child["pid"]
                for child in farm.status()["children"]
                if child["kind"] in ("worker", "encoder")
            ]
            descriptors, maps = _facts(pids)
            threads = sum(psutil.Process(pid).num_threads() for pid in pids)
            rss = sum(psutil.Process(pid).memory_info().rss for pid in pids)
            return descriptors, maps, threads, _memory_used(), rss

        rounds(2, "w")
        first = facts()
        begun_s = time.monotonic()
        rounds(OPENINGS // AT_ONCE, "r")
        last = facts()
        took_s = time.monotonic() - begun_s
    table.check(
        f"{OPENINGS} openings in {took_s:.0f} s: descriptors, pools, threads",
        f"{first[:3]} → {last[:3]}",
        last[0] <= first[0] + 3 and last[1] == 0 and last[2] <= first[2] + 2,
    )
    device = [after - before for before, after in zip(first[3], last[3], strict=True)]
    table.check(
        "device memory then",
        ", ".join(f"{bytes_ / MIB:+.1f} MiB" for bytes_ in device),
        all(bytes_ <= 4 * MIB for bytes_ in device),
    )
    grown = (last[4] - first[4]) / MIB
    table.check("host memory of workers and encoder processes", f"{grown:+.1f} MiB", grown < 40)


def _kill_all(scene: Scene, table: Table) -> None:
    """Everything killed at once while streams run: what is left, and a new start."""
    config, log = _config(scene), scene.out / "farm-kill.log"
    with RunningFarm(config, log) as farm, Fleet(scene.clip.tags, scene.clip.length_ms) as fleet:
        fleet.publish(farm.url("k"), "k")
        farm.wait_made(["k"])
        processes = farm.processes()
        for process in processes:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(processes, 10)
    left = sorted(name for name in os.listdir("/dev/shm") if "tfarm" in name)
    table.check("in /dev/shm after kill -9 of everything", str(left), not left)
    mapped = sum(pools(pid) > 0 for pid in psutil.pids())
    table.check("processes that map a pool then", str(mapped), not mapped)
    before = contexts()
    with RunningFarm(config, log) as farm, Fleet(scene.clip.tags, scene.clip.length_ms) as fleet:
        fleet.publish(farm.url("k"), "k")
        table.add("a stream after a new start, made within", f"{farm.wait_made(['k']):.1f} s")
        mine = {uuid: count - before[uuid] for uuid, count in contexts().items()}
        wanted = {uuid: int(uuid in scene.gpus) for uuid in mine}
        table.check("contexts then", str(list(mine.values())), mine == wanted)
