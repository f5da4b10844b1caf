"""How a printed command is spelled, so that it can be copied."""

from pathlib import Path

import pytest

from supervisor.commands.line.invocation import command_for


@pytest.fixture
def script(tmp_path: Path) -> Path:
    made = tmp_path / "check out" / ".venv" / "bin" / "tfarm"
    made.parent.mkdir(parents=True)
    made.touch()
    return made


def test_a_tfarm_that_is_not_on_the_path_is_named_from_here(script: Path) -> None:
    checkout = script.parents[2]
    assert command_for(script, None, checkout) == ".venv/bin/tfarm"
    assert command_for(script, None, Path("/")) == f"'{str(script)[1:]}'"
    assert command_for(script, None, checkout / "docs") == f"'{script}'"


def test_one_that_the_shell_finds_is_called_by_its_name(script: Path, tmp_path: Path) -> None:
    link = tmp_path / "tfarm"
    link.symlink_to(script)
    assert command_for(script, str(script), tmp_path) == "tfarm"
    assert command_for(script, str(link), tmp_path) == "tfarm"


def test_another_tfarm_on_the_path_is_not_this_one(script: Path, tmp_path: Path) -> None:
    other = tmp_path / "tfarm"
    other.touch()
    assert command_for(script, str(other), script.parents[2]) == ".venv/bin/tfarm"


def test_a_checkout_that_is_not_installed_has_no_script(tmp_path: Path) -> None:
    assert command_for(tmp_path / "tfarm", None, tmp_path) == "tfarm"
