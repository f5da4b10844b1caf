"""The supervisor as a process, with toy workers on toy GPUs: how many each has."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from supervisor.commands import client
from tests.kit.toy_supervisor import CONFIG, ToyFarm

pytestmark = pytest.mark.e2e

HYBRID, NVENC = "GPU-hybrid", "GPU-nvenc"
WORKERS = {f"worker:{HYBRID}", f"worker:{HYBRID}:1", f"worker:{HYBRID}:2", f"worker:{NVENC}"}
USED = CONFIG.replace("use_gpus = false", "use_gpus = true")
SETTINGS = USED + "hybrid_workers = {}\n[software]\nworkers = 0\n"


class GpuFarm(ToyFarm):
    """Its host has two toy GPUs."""

    def use(self, workers: int) -> None:
        self.config.write_text(SETTINGS.format(workers))

    def workers(self) -> dict[str, int]:
        """The ready ones' pids."""
        return {
            name: child["pid"]
            for name, child in self.children().items()
            if child["kind"] == "worker" and child["state"] == "ready"
        }

    def is_ready(self) -> bool:
        return set(self.workers()) == WORKERS


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


def test_a_hybrid_gpu_gets_its_further_workers_and_a_new_supervisor_adopts_them(
    farm: GpuFarm,
) -> None:
    farm.start()
    before = farm.workers()
    (boot,) = farm.boots(f"worker:{HYBRID}:2")
    assert f"--index 2 --device {HYBRID} " in boot
    farm.until(lambda: f"device    {HYBRID}: toy (hybrid, 3 workers)\n" in farm.log.read_text())
    farm.end(signal.SIGKILL)
    os.kill(before[f"worker:{HYBRID}:1"], signal.SIGKILL)
    farm.start()
    after = farm.workers()
    assert {name for name in WORKERS if before[name] != after[name]} == {f"worker:{HYBRID}:1"}
    document = client.status(farm.run_dir)
    assert {d["name"] for d in document["devices"] if d["device"] == HYBRID} == {
        name.removeprefix("worker:") for name in WORKERS if HYBRID in name
    }
    assert farm.end() == 0


def test_a_reload_starts_more_at_once_and_says_that_fewer_wait(farm: GpuFarm) -> None:
    farm.use(2)
    farm.start(wait=False)
    farm.until(lambda: set(farm.workers()) == WORKERS - {f"worker:{HYBRID}:2"})
    farm.use(3)
    assert "restart" not in client.ask(farm.run_dir, "reload").text
    farm.until(farm.is_ready)
    farm.use(1)
    told = client.ask(farm.run_dir, "reload").text
    assert "after a restart: devices.hybrid_workers" in told
    assert farm.is_ready()
    assert farm.end() == 0
