"""The GPU of the tests: opened once a process, and only where there is one."""

import importlib.util
import os
from pathlib import Path

import pytest

from worker.devices.gpu.device import GpuBackend


def _has_gpu() -> bool:
    return Path("/dev/nvidiactl").exists() and importlib.util.find_spec("cupy") is not None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not _has_gpu():
        reason = "no NVIDIA GPU, or no tfarm[gpu12] or tfarm[gpu13], as the driver's CUDA is"
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def sim_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the NVENC simulator writes, if it is what stands in for the driver."""
    path = tmp_path_factory.mktemp("sim") / "log.jsonl"
    os.environ["NVENC_SIM_LOG"] = str(path)
    path.touch()
    return path


@pytest.fixture(scope="session")
def device(sim_log: Path) -> GpuBackend:
    """The GPU as a boot finds it."""
    return GpuBackend("")


@pytest.fixture(scope="session")
def hybrid(device: GpuBackend) -> GpuBackend:
    """The same GPU with its encoder, real or simulated, left out."""
    return GpuBackend("", allow_nvenc=False)
