"""The commands that documents tell a reader to type: of `tfarm`, and targets of `make`."""

import re
from collections.abc import Iterator
from typing import Any

import typer

from supervisor.commands.line.cli import app

_BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_TFARM = re.compile(r"(?:^|[\s/(;&|])tfarm ((?!-)[a-z]\S*)([^|;&)#]*)")
_MAKE = re.compile(r"^(?:bash -c \")?make ((?:[A-Z]+=\S+ )*)([a-z][a-z-]*(?: [a-z-]+)*)")


def shell_lines(text: str) -> Iterator[str]:
    """Each line of a block for a shell, and each span that begins with a command."""
    for language, block in _BLOCK.findall(text):
        if language in ("sh", "text"):
            yield from (line.strip() for line in block.splitlines())
    for span in _SPAN.findall(_BLOCK.sub("", text)):
        if re.match(r"(?:\.venv/bin/|/opt/tfarm/bin/)?(?:tfarm|make) ", span):
            yield span


def commands() -> dict[str, set[str]]:
    """Every command of `tfarm` with its options."""
    top: Any = typer.main.get_command(app)
    context = top.make_context("tfarm", [], resilient_parsing=True)
    return {
        name: {
            option
            for parameter in top.get_command(context, name).get_params(context)
            for option in parameter.opts
            if option.startswith("-")
        }
        for name in top.list_commands(context)
    }


def unknown_commands(text: str, known: dict[str, set[str]]) -> list[str]:
    """What a document writes of `tfarm` that there is not: commands and options."""
    found = []
    for line in shell_lines(text):
        if line.startswith("tfarm:"):  # what it prints
            continue
        for name, rest in _TFARM.findall(line):
            if not re.fullmatch(r"[a-z]+", name):
                continue
            if name not in known:
                found.append(f"tfarm {name}")
                continue
            options = re.findall(r"(?<=\s)(--?[a-z][a-z-]*)", f" {rest}")
            found += [f"tfarm {name} {option}" for option in options if option not in known[name]]
    return found


def make_targets(text: str) -> set[str]:
    """The targets of `make` that a document names."""
    return {
        target
        for line in shell_lines(text)
        if (found := _MAKE.match(line))
        for target in found[2].split()
    }
