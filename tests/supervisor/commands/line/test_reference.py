"""docs/commands.md has every command with its options; `make docs` writes them."""

import re
from pathlib import Path

from supervisor.commands.line.reference import with_commands
from supervisor.commands.table import COMMANDS

PAGE = (Path(__file__).parents[4] / "docs" / "commands.md").read_text()


def test_the_reference_is_that_of_the_commands() -> None:
    assert with_commands(PAGE) == PAGE


def test_every_command_has_a_section_and_says_what_for() -> None:
    assert set(re.findall(r"^## tfarm (\w+)$", PAGE, re.MULTILINE)) == set(COMMANDS)
    overview = PAGE.partition("## ")[0]
    assert set(re.findall(r"\[`tfarm (\w+)`\]", overview)) == set(COMMANDS)
    rows = [line for line in overview.splitlines() if line.startswith("| [")]
    assert {name for row in rows for name in re.findall(r"\(#tfarm-(\w+)\)", row)} == set(COMMANDS)


def test_options_stand_with_what_they_take() -> None:
    assert "| `-w, --watch` | " in PAGE
    assert "| `--run-dir DIR` | " in PAGE
    assert "| `ADDRESS\\|NETWORK\\|APP/KEY` | " in PAGE
