"""Commands in documents, found and compared."""

import pytest

from tests.repository.shell_lines import commands, make_targets, shell_lines, unknown_commands

KNOWN = {"status": {"--json", "-w"}, "drain": {"--all"}}


def test_every_command_has_its_options() -> None:
    found = commands()
    assert {"--watch", "-w", "--run-dir", "--help"} <= found["status"]


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("`tfarm status --json`", []),
        ("`.venv/bin/tfarm status -w` and `tfarm drain cpu:0 --all`", []),
        ("```sh\nfoo | tfarm status --json  # --more\n```", []),
        ("`tfarm statsu`", ["tfarm statsu"]),
        ("`tfarm status --jsno`", ["tfarm status --jsno"]),
        ("```sh\nsudo tfarm drain -x\n```", ["tfarm drain -x"]),
        ("the tfarm farm, and `tfarm: not running`", []),
        ("```toml\n# tfarm statsu\n```", []),
    ],
)
def test_what_there_is_not(text: str, unknown: list[str]) -> None:
    assert unknown_commands(text, KNOWN) == unknown


def test_targets_of_make() -> None:
    text = "`make run`, `make demo ARGS=x`\n\n```sh\nmake lint test\nmake ARGS=-x bench  # it\n```"
    assert make_targets(text) == {"run", "demo", "lint", "test", "bench"}
    assert list(shell_lines("words make no command")) == []
