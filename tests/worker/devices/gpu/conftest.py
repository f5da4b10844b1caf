"""The GPU of the tests: opened once a process, and only where there is one."""

import importlib.util
import os
from pathlib import Path

import pytest

from tests.kit.gpu_choice import gpus_for_tests
from worker.devices.gpu.device import GpuBackend


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this host has no GPU for, or too few."""
    has_packages = importlib.util.find_spec("cupy") is not None
    count = len(gpus_for_tests()) if has_packages else 0
    for item in items:
        marker = item.get_closest_marker("gpu")
        if marker is None:
            continue
        wanted = int(marker.kwargs.get("count", 1))
        if not count:
            reason = "no NVIDIA GPU, or not the packages for its driver (docs/gpu.md)"
            item.add_marker(pytest.mark.skip(reason=reason))
        elif count < wanted:
            reason = f"needs {wanted} GPUs, {count} may be used here"
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
