"""`tfarm unban`: let in again who was banned (IO)."""

from typing import Annotated

import typer

from supervisor.commands.ban import TARGET
from supervisor.commands.line.command import Arguments, CommandSpec, Reply, RunningFarm
from supervisor.commands.line.options import RunDir, ask_and_print


def run(
    target: Annotated[str, typer.Argument(metavar=TARGET, help="As in `tfarm ban --list`.")],
    run_dir: RunDir = None,
) -> None:
    """Let an address, a network or a stream in again."""
    ask_and_print(run_dir, "unban", target=target)


def answer(farm: RunningFarm, arguments: Arguments) -> Reply:
    return Reply(*farm.operations.unban(arguments.get("target", "")))


COMMAND = CommandSpec("unban", run, answer, example="tfarm unban 203.0.113.7")
