"""The whole farm on GPUs: two of them balanced, hybrid end to end, NVENC through a simulator.

    python -m tests.bench.gpu_farm [SCENE …] --out FOLDER [--clip FOOTAGE.mp4] [--nvenc-sim BUILD]

Scenes, each with a time limit of its own; one that fails leaves the others alone:

balance  two GPUs: equal streams spread evenly, one worker killed, its return
hybrid   one GPU, half the cores or all (--together): streams in real time, libx264 alone beside it
nvenc    one GPU and the driver simulator: every picture, IDRs, PSNR, parameters, session cap
faults   two GPUs and the simulator: an encoder that crashes, one that fails, one that hangs
memory   200 openings and closings on the second GPU (beside `hybrid`)

Prints a table last. FOLDER gets the farms' logs and `results.json`.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import psutil

from supervisor.hardware.gpus import look_up_driver
from tests.bench import gpu_farm_hybrid, gpu_farm_nvenc
from tests.bench.gpu_clip import Clip, make_clip
from tests.bench.gpu_fleet import Collected, Fleet, RunningFarm, deadline
from tests.bench.gpu_scene import FULL, SHORT, TINY, Scene, Table, first_new_s, missing
from tests.bench.report import percentile

LIMITS_S = {"balance": 100.0, "hybrid": 300.0, "nvenc": 75.0, "faults": 80.0}


def balance(scene: Scene, table: Table) -> None:
    """Equal streams on two GPUs; one worker killed and back."""
    first, second = scene.gpus[:2]
    size = scene.size
    count = size.streams
    log = scene.out / "farm-balance.log"
    renditions = [name for name, *_ in size.renditions]
    with ExitStack() as stack:
        # one each: what is looked at is how two devices share, and one of them lost
        config = replace(scene, hybrid_workers=1).config()
        farm = stack.enter_context(RunningFarm(config, log))
        table.add("farm ready after", f"{farm.ready_s:.1f} s")
        for device in farm.status()["devices"]:
            notes = "; ".join(device["notes"])
            table.add(f"device {device['name'][:12]}", f"{device['path']}: {notes}"[:150])
        for name, child in farm.workers().items():
            shown = psutil.Process(child["pid"]).environ().get("CUDA_VISIBLE_DEVICES")
            table.check(f"worker {name[:12]} sees only its GPU", str(shown)[:12], shown == name)
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
        before, before_s = farm.cpu_seconds(), time.monotonic()
        time.sleep(size.settle_s / 2)
        after, elapsed_s = farm.cpu_seconds(), time.monotonic() - before_s
        spent = {kind: (after[kind] - before.get(kind, 0.0)) / elapsed_s for kind in after}
        table.add("cores used", ", ".join(f"{kind} {part:.2f}" for kind, part in spent.items()))
        spread = farm.spread()
        even = sorted(spread.values()) == [count // 2, count // 2]
        table.check(f"{count} streams on two GPUs", _spread(spread), even)
        table.add("GPU memory used", _memory_used())
        lost = {
            key for key, stream in farm.streams().items() if str(stream["worker"]).endswith(first)
        }
        pid = farm.workers()[first]["pid"]
        killed_s = time.monotonic()
        psutil.Process(pid).kill()
        time.sleep(1.0)
        spread = farm.spread()
        table.check(
            "all on the other 1 s after kill -9",
            _spread(spread),
            spread.get(second) == count and not spread.get(first),
        )
        time.sleep(3.0)
        back = farm.wait(
            lambda: (
                farm.workers()[first]["state"] == "ready" and farm.workers()[first]["pid"] != pid
            ),
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
        time.sleep(1.0)
        played, sent = players.collect(), publishers.collect()
        for status in farm.status()["devices"]:
            table.add(f"at the end, {status['name'][:12]}", f"{status['fps_in']} frames/s in")
    table.check("the farm ends cleanly", str(farm.end_code), farm.end_code == 0)
    _keep_takeover(scene, played, sent, lost, killed_s)
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
        f"first new picture of {len(lost)} streams x {len(renditions)} renditions after the kill",
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


@dataclass
class Memory:
    """The bench of device memory, in a process of its own beside another scene."""

    scene: Scene
    process: "subprocess.Popen[bytes] | None" = None
    path: Path = field(init=False)

    def start(self, rounds: int) -> None:
        self.path = self.scene.out / "memory.txt"
        environ = {**os.environ, "CUDA_VISIBLE_DEVICES": self.scene.gpus[1]}
        environ |= self.scene.simulator({})
        with self.path.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.bench.gpu_memory", "--rounds", str(rounds)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environ,
            )
        os.sched_setaffinity(self.process.pid, self.scene.cores[-4:])

    def finish(self, table: Table, seconds: float) -> None:
        if self.process is None:
            return
        try:
            code = self.process.wait(seconds)
            table.check("gpu_memory ended with", str(code), code == 0)
        except subprocess.TimeoutExpired:
            table.check("gpu_memory", f"still running after {seconds:.0f} s more", False)
            self.process.kill()
            self.process.wait()
        for line in self.path.read_text().splitlines()[-4:]:
            table.add("memory", line)


SCENES: dict[str, Callable[[Scene, Table], None]] = {
    "balance": balance,
    "hybrid": gpu_farm_hybrid.hybrid,
    "nvenc": gpu_farm_nvenc.nvenc,
    "faults": gpu_farm_nvenc.faults,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenes", nargs="*", metavar="SCENE")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clip", type=Path, help="footage; waves without it")
    parser.add_argument("--nvenc-sim", type=Path, help="folder of libnvidia-encode.so.1")
    parser.add_argument("--rounds", type=int, default=200, help="of the memory bench")
    parser.add_argument("--tiny", action="store_true", help="few small streams: tries the bench")
    parser.add_argument("--short", action="store_true", help="fewer loads, shorter")
    parser.add_argument("--streams", help="12,13: of hybrid, in place of shares of the ceiling")
    parser.add_argument("--hybrid-workers", type=int, help="of the GPU in hybrid; automatic")
    parser.add_argument(
        "--together", action="store_true", help="hybrid: farm and clients on all cores"
    )
    parser.add_argument("--limit", type=float, default=440.0, help="seconds in all")
    arguments = parser.parse_args()
    begun_s = time.monotonic()
    out: Path = arguments.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    size = TINY if arguments.tiny else SHORT if arguments.short else FULL
    driver = look_up_driver()
    print(f"driver {driver.version} {driver.problem}", *driver.gpus, sep="\n  ", flush=True)
    clip: Clip = make_clip(out / "clip.flv", arguments.clip, *size.source)
    size_mib = (out / "clip.flv").stat().st_size >> 10
    (out / "clip.flv").unlink()
    print(f"clip of {clip.frames} pictures, {size_mib} KiB: {time.monotonic() - begun_s:.1f} s")
    simulator = arguments.nvenc_sim.absolute() if arguments.nvenc_sim else None
    gpus = tuple(gpu.uuid for gpu in driver.gpus)
    cores = tuple(sorted(os.sched_getaffinity(0)))
    streams = tuple(map(int, (arguments.streams or "").split(","))) if arguments.streams else ()
    workers = arguments.hybrid_workers
    together = arguments.together
    scene = Scene(gpus, cores, clip, size, out, simulator, streams, workers, together)
    tables: dict[str, Table] = {}
    wanted: Sequence[str] = arguments.scenes or [*SCENES, "memory"]
    memory = Memory(scene)
    for name in [name for name in wanted if name in SCENES]:
        table = tables[name] = Table()
        if name == "hybrid" and "memory" in wanted:
            try:
                memory.start(arguments.rounds)
            except (OSError, RuntimeError, IndexError) as error:
                table.check("gpu_memory", f"did not start: {error}", False)
        _run(name, scene, table, begun_s + arguments.limit)
        if name == "hybrid" and "memory" in wanted:
            tables["memory"] = Table()
            left_s = begun_s + arguments.limit - time.monotonic()
            is_last = not {"nvenc", "faults"} & set(wanted)
            memory.finish(tables["memory"], max(1.0, left_s) if is_last else 1.0)
    rows = {name: [asdict(row) for row in table.rows] for name, table in tables.items()}
    (out / "results.json").write_text(json.dumps(rows, indent=1))
    print(f"\n==== {time.monotonic() - begun_s:.0f} s ====")
    for name, table in tables.items():
        print(f"-- {name}")
        for row in table.rows:
            print(row.line())
    failed = sum(row.holds is False for table in tables.values() for row in table.rows)
    print(f"{failed} did not hold")
    return 1 if failed else 0


def _run(name: str, scene: Scene, table: Table, end_s: float) -> None:
    begun_s = time.monotonic()
    left_s = min(LIMITS_S[name], end_s - begun_s)
    print(f"## {name}, at most {left_s:.0f} s", flush=True)
    if left_s < 15:
        table.check(name, "not run: no time left", False)
        return
    try:
        with deadline(left_s):
            SCENES[name](replace(scene, until_s=begun_s + left_s - 6), table)
    except Exception as error:
        traceback.print_exc()
        table.check(
            name, f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}", False
        )
    for row in table.rows:
        print(row.line(), flush=True)
    print(f"## {name}: {time.monotonic() - begun_s:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
