"""Who in the worker may know a codec, and who may call FFmpeg."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from common.ipc.kinds import KINDS, ChildKind

ROOT = Path(__file__).parents[2]
MODULES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "worker").rglob("*.py"))

# Devices parse what they decode and encode; captions are SEI of H.264, and go into its units.
# The bench makes streams of its own; the audio and the sound process decode in a module each.
KNOW_CODECS = (
    "worker/devices/",
    "worker/bench/",
    "worker/frames/waiting_captions.py",
    "worker/sound/coder.py",
)
# worker/output/mux.py writes a rendition's parameter sets into its sequence header.
WRITE_HEADERS = ("worker/output/mux.py",)
CALL_FFMPEG = (
    "worker/devices/",
    "worker/bench/",
    "worker/audio/decode.py",
    "worker/sound/coder.py",
)


def imported(module: str) -> set[str]:
    """All modules that this one imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / module).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize(
    "module", [name for name in MODULES if not name.startswith(KNOW_CODECS + WRITE_HEADERS)]
)
def test_sessions_know_no_codec(module: str) -> None:
    codecs = {name for name in imported(module) if name.startswith("common.codecs.")}
    known = ("common.codecs.table", "common.codecs.captions")
    assert {name for name in codecs if not name.startswith(known)} == set()


@pytest.mark.parametrize("module", [name for name in MODULES if not name.startswith(CALL_FFMPEG)])
def test_only_devices_call_ffmpeg(module: str) -> None:
    assert {name for name in imported(module) if name.split(".")[0] == "av"} == set()


@pytest.mark.parametrize("module", MODULES)
def test_devices_know_nothing_of_sessions(module: str) -> None:
    if module.startswith(("worker/devices/", "worker/frames/", "worker/output/")):
        assert {name for name in imported(module) if name.startswith("worker.session")} == set()


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS.values() if kind.is_sandboxed], ids=lambda kind: kind.name
)
def test_a_child_starts_no_thread_before_its_sandbox(kind: ChildKind) -> None:
    """The kernel restricts the thread that asks alone: one of numpy's would keep all rights."""
    look = f"import {kind.module}.__main__, os; print(len(os.listdir('/proc/self/task')))"
    environ = {"OPENBLAS_NUM_THREADS": "4", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", look], cwd=ROOT, env=environ, capture_output=True, text=True
    )
    assert done.stdout == "1\n", done.stderr
