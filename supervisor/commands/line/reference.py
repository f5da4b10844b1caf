"""The reference of the command line, for docs/commands.md; `make docs` writes it."""

import re
from collections.abc import Iterator
from inspect import cleandoc
from typing import Any

import typer

from supervisor.commands.line.cli import app

_BLOCK = re.compile(r"(?<=<!-- commands -->\n).*?(?=<!-- end -->)", re.DOTALL)


def with_commands(text: str) -> str:
    """The document with what each command takes written anew."""
    top: Any = typer.main.get_command(app)
    context = top.make_context("tfarm", [], resilient_parsing=True)
    parts = [
        part
        for name in top.list_commands(context)
        for part in _command(name, top.get_command(context, name))
    ]
    written = "\n".join(parts) + "\n"
    return _BLOCK.sub(lambda _: written, text)


def _command(name: str, command: Any) -> Iterator[str]:
    context = command.context_class(command, info_name=name)
    usage = " ".join(["tfarm", name, *command.collect_usage_pieces(context)])
    # typer keeps an indented docstring as it stands
    yield f"## tfarm {name}\n\n{cleandoc(command.help or '')}\n"
    yield f"```text\n{usage}\n```\n"
    rows = [
        row
        for parameter in command.get_params(context)
        if "--help" not in parameter.opts and (row := _row(parameter, context)) is not None
    ]
    if rows:
        yield "| argument or option | does |\n|---|---|"
        yield from (f"| `{_cell(names)}` | {_cell(words)} |" for names, words in rows)
        yield ""
    if command.example:
        yield f"```sh\n{command.example}\n```\n"


def _row(parameter: Any, context: Any) -> tuple[str, str] | None:
    if parameter.param_type_name == "argument":
        return parameter.display_name_raw.upper(), parameter.help or ""
    record: tuple[str, str] | None = parameter.get_help_record(context)
    return record


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
