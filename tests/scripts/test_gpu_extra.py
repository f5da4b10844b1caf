"""Which GPU packages `make run` installs."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.kit.needs import needs_program

SCRIPT = Path(__file__).parents[2] / "scripts" / "gpu_extra.py"

# A driver with one GPU, as far as the script asks.
DRIVER = """
int cuInit(unsigned flags) { return INIT; }
int cuDeviceGetCount(int *count) { *count = COUNT; return 0; }
int cuDriverGetVersion(int *version) { *version = VERSION; return 0; }
"""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_extra", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("cuda", "extra"),
    [(0, ""), (11080, ""), (12000, "gpu12"), (12090, "gpu12"), (13000, "gpu13"), (14010, "gpu13")],
)
def test_the_drivers_cuda_decides(script: ModuleType, cuda: int, extra: str) -> None:
    assert script.choose({}, cuda) == extra


def test_a_person_may_decide(script: ModuleType) -> None:
    assert script.choose({"TFARM_GPU_EXTRA": "gpu12"}, 13000) == "gpu12"
    assert script.choose({"TFARM_GPU_EXTRA": "none"}, 13000) == ""
    with pytest.raises(ValueError, match="gpu12, gpu13 or none"):
        script.choose({"TFARM_GPU_EXTRA": "gpu"}, 0)


def test_a_host_without_a_driver_gets_none(script: ModuleType) -> None:
    assert script.driver_cuda("libno-such-driver.so.1") == 0
    assert script.driver_cuda("libm.so.6") == 0  # no driver either


@needs_program("gcc")
@pytest.mark.parametrize(
    ("init", "count", "version", "cuda"), [(0, 1, 12080, 12080), (0, 0, 13000, 0), (100, 1, 1, 0)]
)
def test_a_driver_is_asked_for_gpus_and_version(
    script: ModuleType, tmp_path: Path, init: int, count: int, version: int, cuda: int
) -> None:
    source = tmp_path / "driver.c"
    source.write_text(DRIVER)
    library = tmp_path / f"libdriver-{init}-{count}-{version}.so"
    values = [f"-DINIT={init}", f"-DCOUNT={count}", f"-DVERSION={version}"]
    subprocess.run(["gcc", "-shared", "-fPIC", *values, source, "-o", library], check=True)
    assert script.driver_cuda(str(library)) == cuda


def test_it_runs_as_a_script() -> None:
    answer = subprocess.run(
        [sys.executable, "-I", SCRIPT], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() in ("", "gpu12", "gpu13")
