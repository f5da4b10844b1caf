"""`tfarm help`, and how all help looks (IO).

One notation: what you fill in is in capitals, what you may leave out is in brackets.
"""

from typing import Annotated, Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperOption

from supervisor.commands.line.command import CommandSpec


class ExplainedCommand(TyperCommand):
    """A command whose help has an example; typer's own has four notations for arguments."""

    example = ""  # set by `explained`

    def __init__(self, *arguments: Any, **fields: Any) -> None:
        super().__init__(*arguments, **fields)
        for parameter in self.params:
            if isinstance(parameter, TyperOption) and not parameter.is_flag:
                parameter.metavar = parameter.metavar or parameter.opts[0].strip("-").upper()

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        pieces = ["[OPTIONS]"]
        for parameter in self.params:
            if isinstance(parameter, TyperArgument):
                name = parameter.display_name_raw.upper()
                pieces.append(name if parameter.required else f"[{name}]")
        return pieces

    def format_options(self, ctx: Any, formatter: Any) -> None:
        arguments, options = [], []
        for parameter in self.get_params(ctx):
            if isinstance(parameter, TyperArgument):
                arguments.append((parameter.display_name_raw.upper(), parameter.help or ""))
            elif (record := parameter.get_help_record(ctx)) is not None:
                options.append(record)
        for title, rows in (("Arguments", arguments), ("Options", options)):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        if self.example:
            with formatter.section("Example"):
                formatter.write_text(self.example)


def explained(example: str) -> type[ExplainedCommand]:
    """The class of one command, with its example."""
    return type("ExplainedCommand", (ExplainedCommand,), {"example": example})


def run(
    context: typer.Context,
    command: Annotated[
        str | None, typer.Argument(metavar="COMMAND", help="Without one: all commands.")
    ] = None,
) -> None:
    """Show what tfarm can do, or what one command does."""
    top: Any = context.find_root()
    if command is None:
        typer.echo(top.get_help())
        return
    name, found, _ = top.command.resolve_command(top, [command])
    typer.echo(found.get_help(type(top)(found, info_name=name, parent=top)))


COMMAND = CommandSpec("help", run, example="tfarm help drain")
