"""`tfarm config` as a person meets it."""

import json
from pathlib import Path

import pytest

from tests.supervisor.commands.line.test_cli import tfarm

pytestmark = pytest.mark.e2e


def test_the_sample_can_be_written_to_a_file_and_checked(tmp_path: Path) -> None:
    answer = tfarm("config")
    assert (answer.returncode, answer.stderr) == (0, "")
    sample = tmp_path / "farm.toml"
    sample.write_text(answer.stdout)
    checked = tfarm("check", sample)
    assert checked.stdout.startswith(f"OK: {sample}: live (3 renditions)\n")


def test_the_schema_is_json() -> None:
    answer = tfarm("config", "--schema")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert json.loads(answer.stdout)["$schema"].endswith("2020-12/schema")
