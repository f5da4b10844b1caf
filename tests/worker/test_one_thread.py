"""What is imported before the sandbox starts no thread: one that runs would stay outside."""

import subprocess
import sys
from pathlib import Path

import pytest

from common.ipc.kinds import KINDS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS.values() if kind.is_sandboxed])
def test_a_sandboxed_process_has_one_thread_when_its_modules_are_imported(kind: str) -> None:
    """OpenBLAS has a thread for each further core, where nobody says otherwise before numpy."""
    script = f"import {KINDS[kind].module}.__main__, os; print(len(os.listdir('/proc/self/task')))"
    environ = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", script]
    answer = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert answer.stdout == "1\n"
