"""The player's pure modules, tested by Node: tests/egress/web/player/*.test.mjs."""

import subprocess
from pathlib import Path

import pytest

from tests.kit.needs import needs_program

TESTS = sorted((Path(__file__).parent / "player").glob("*.test.mjs"))


@needs_program("node", "nodejs")
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name.partition(".")[0])
def test_a_module_of_the_player(path: Path) -> None:
    command = ["node", "--test", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
