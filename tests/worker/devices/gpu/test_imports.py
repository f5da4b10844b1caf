"""The GPU path must be importable, and silent, where there is no GPU."""

import subprocess
import sys
from pathlib import Path

import worker.devices.gpu

MODULES = sorted(
    f"worker.devices.gpu.{path.stem}"
    for path in Path(worker.devices.gpu.__path__[0]).glob("*.py")
    if path.stem != "__init__"
)


def test_importing_the_gpu_path_loads_no_cuda() -> None:
    assert "worker.devices.gpu.device" in MODULES
    code = (
        f"import importlib, sys; [importlib.import_module(name) for name in {MODULES}];"
        "gpu = ('cupy', 'cuda', 'PyNvVideoCodec', 'pynvml');"
        "print([name for name in gpu if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[4],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == "[]"
