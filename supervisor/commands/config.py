"""`tfarm config`: what a configuration file may hold (IO)."""

from typing import Annotated

import typer

from supervisor.commands.line.command import CommandSpec


def run(
    schema: Annotated[
        bool, typer.Option("--schema", help="A JSON Schema for editors, in place of the sample.")
    ] = False,
) -> None:
    """Print a sample configuration file, with every key in it."""
    import json

    from common.config.reference import json_schema, sample

    if schema:
        typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
    else:
        typer.echo(sample(), nl=False)


COMMAND = CommandSpec("config", run, example="tfarm config > farm.toml")
