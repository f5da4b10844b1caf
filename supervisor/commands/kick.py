"""`tfarm kick`: end a stream, or let it in again (IO)."""

from typing import Annotated

import typer

from supervisor.commands.command import Arguments, CommandSpec, Reply, RunningFarm
from supervisor.commands.options import RunDir, ask_and_print


def run(
    stream: Annotated[str, typer.Argument(metavar="APP/KEY", help="The stream, as in status.")],
    run_dir: RunDir = None,
) -> None:
    """End a stream, or let in again one that is refused.

    One that is ended stays out for 30 s; one that took workers down is refused for some minutes.
    """
    app_name, slash, key = stream.partition("/")
    if not (slash and app_name and key):
        raise typer.BadParameter("must be APP/KEY", param_hint="APP/KEY")
    ask_and_print(run_dir, "kick", app=app_name, key=key)


def answer(farm: RunningFarm, arguments: Arguments) -> Reply:
    app, key = arguments.get("app", ""), arguments.get("key", "")
    done = farm.operations.kick(app, key)
    return Reply(True, done) if done else Reply(False, f"no such stream: {app}/{key}")


COMMAND = CommandSpec("kick", run, answer, example="tfarm kick live/cam1")
