"""The whole farm on GPUs: two of them balanced, hybrid end to end, NVENC through a simulator.

    python -m tests.bench.gpu_farm [SCENE …] --out FOLDER [--clip FOOTAGE.mp4] [--nvenc-sim BUILD]

Scenes, each with a time limit of its own; one that fails leaves the others alone:

balance  two GPUs: equal streams spread evenly, one worker killed, its return
encoders any GPUs without NVENC: contexts, encoder processes killed, many openings, kill -9 of all
hybrid   one GPU, half the cores or all (--together): streams in real time, libx264 alone beside it
nvenc    one GPU and the driver simulator: every picture, IDRs, PSNR, parameters, session cap
faults   two GPUs and the simulator: an encoder that crashes, one that fails, one that hangs
demand   one GPU: streams in real time where nothing, a tenth, all of it is watched
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
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from supervisor.hardware.gpus import look_up_driver
from tests.bench import (
    gpu_farm_balance,
    gpu_farm_demand,
    gpu_farm_encoders,
    gpu_farm_faults,
    gpu_farm_hybrid,
    gpu_farm_nvenc,
)
from tests.bench.gpu_clip import Clip, make_clip
from tests.bench.gpu_fleet import deadline
from tests.bench.gpu_scene import FULL, SHORT, TINY, Scene, Table

LIMITS_S = {
    "balance": 100.0,
    "encoders": 280.0,
    "hybrid": 300.0,
    "nvenc": 75.0,
    "faults": 80.0,
    "demand": 420.0,
}


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
    "balance": gpu_farm_balance.balance,
    "encoders": gpu_farm_encoders.encoders,
    "hybrid": gpu_farm_hybrid.hybrid,
    "nvenc": gpu_farm_nvenc.nvenc,
    "faults": gpu_farm_faults.faults,
    "demand": gpu_farm_demand.demand,
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
    parser.add_argument("--encoder-processes", type=int, help="in hybrid; automatic")
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
    workers = arguments.encoder_processes
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
