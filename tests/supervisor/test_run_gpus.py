"""The supervisor as a process, toy workers on toy GPUs, and the encoder processes they want."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from supervisor.commands.line import client
from tests.kit.toy_supervisor import CONFIG, ToyFarm

pytestmark = pytest.mark.e2e

HYBRID, NVENC = "GPU-hybrid", "GPU-nvenc"
WORKERS = {f"worker:{HYBRID}", f"worker:{NVENC}"}
ALL = WORKERS | {"encoder:0", "encoder:1", "encoder:2"}
USED = CONFIG.replace("use_gpus = false", "use_gpus = true\nencoder_processes = {}")
SETTINGS = USED + "[software]\nworkers = 0\n"


class GpuFarm(ToyFarm):
    """Its host has two toy GPUs."""

    def use(self, processes: int) -> None:
        self.config.write_text(SETTINGS.format(processes))

    def workers(self) -> dict[str, int]:
        """The ready ones' pids."""
        return {
            name: child["pid"]
            for name, child in self.children().items()
            if child["kind"] in ("worker", "encoder") and child["state"] == "ready"
        }

    def is_ready(self) -> bool:
        return set(self.workers()) == ALL


@pytest.fixture
def farm(monkeypatch: pytest.MonkeyPatch) -> Iterator[GpuFarm]:
    monkeypatch.setenv("TOY_GPUS", f"{HYBRID},{NVENC}")
    with TemporaryDirectory(prefix="tf-", dir="/tmp") as name:
        farm = GpuFarm(Path(name))
        farm.mode("nvenc", f"worker:{NVENC}")
        farm.use(3)
        try:
            yield farm
        finally:
            farm.clean_up()


def test_a_hybrid_gpu_brings_encoder_processes_and_a_new_supervisor_adopts_them(
    farm: GpuFarm,
) -> None:
    farm.start()
    before = farm.workers()
    (boot,) = farm.boots("encoder:2")
    assert "--index 2 --run-dir" in boot
    assert boot.endswith("--threads 1 --share 3")
    (boot,) = farm.boots(f"worker:{HYBRID}")
    assert boot.endswith("--pictures shared")
    farm.until(lambda: f"device    {HYBRID}: toy (hybrid)\n" in farm.log.read_text())
    farm.end(signal.SIGKILL)
    os.kill(before["encoder:1"], signal.SIGKILL)
    farm.start()
    after = farm.workers()
    assert {name for name in ALL if before[name] != after[name]} == {"encoder:1"}
    document = client.status(farm.run_dir)
    assert {d["name"] for d in document["devices"]} == {HYBRID, NVENC}
    assert farm.end() == 0


def test_a_reload_starts_more_at_once_and_says_that_fewer_wait(farm: GpuFarm) -> None:
    farm.use(2)
    farm.start(wait=False)
    farm.until(lambda: set(farm.workers()) == ALL - {"encoder:2"})
    farm.use(3)
    assert "restart" not in client.ask(farm.run_dir, "reload").text
    farm.until(farm.is_ready)
    farm.use(1)
    told = client.ask(farm.run_dir, "reload").text
    assert "after a restart: devices.encoder_processes" in told
    assert farm.is_ready()
    assert farm.end() == 0
