"""`tfarm replay`: publish a capture again (IO)."""

from pathlib import Path
from typing import Annotated

import typer

from supervisor.commands.line.command import CommandSpec
from supervisor.commands.line.options import RunDir, fail, farm_dir


def run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A capture of `tfarm capture`.")],
    url: Annotated[
        str | None,
        typer.Argument(
            metavar="URL",
            help="Where to, as rtmp://HOST[:PORT]/APP/KEY. Default: the running farm, the app of "
            "the capture, a key of its own.",
        ),
    ] = None,
    speed: Annotated[
        float, typer.Option(min=0.1, max=100.0, help="How many times as fast as it came.")
    ] = 1.0,
    run_dir: RunDir = None,
) -> None:
    """Publish a capture again, and say what became of it.

    Each message is sent when it came. At another speed than 1 its timestamps stay, so it looks
    like a publisher whose clock is wrong.
    """
    from supervisor.commands.replay.publisher import ReplayFailed, replay

    try:
        ended_well = replay(file, url, speed, farm_dir(run_dir), typer.echo)
    except ReplayFailed as error:
        fail(error)
    raise typer.Exit(0 if ended_well else 1)


COMMAND = CommandSpec("replay", run, example="tfarm replay cam1.tfcap rtmp://127.0.0.1/live/test")
