"""`tfarm label`: what logs and status call a stream, in place of its key."""

from typing import Annotated

import typer

from supervisor.commands.line.command import CommandSpec


def run(
    stream: Annotated[
        str, typer.Argument(metavar="APP/KEY", help="A stream, or an app that is not there.")
    ],
) -> None:
    """Print what the log calls a stream, in place of its key."""
    from common.process.log import key_hash, stream_label

    typer.echo(stream_label(stream) if "/" in stream else key_hash(stream))


COMMAND = CommandSpec("label", run, example="tfarm label live/cam1")
