"""`tfarm switch`: which of a stream's two publishers players see (IO)."""

from typing import Annotated

import typer

from supervisor.commands.line.command import Arguments, CommandSpec, Reply, RunningFarm
from supervisor.commands.line.options import RunDir, ask_and_print

ROLES = ("main", "backup", "auto")


def run(
    stream: Annotated[str, typer.Argument(metavar="APP/KEY", help="The stream, as in status.")],
    to: Annotated[
        str, typer.Argument(metavar="main|backup|auto", help="Which one; `auto`: by the rules.")
    ],
    run_dir: RunDir = None,
) -> None:
    """Choose a stream's main or backup publisher.

    The stream goes over at the next keyframe of that one, if it is there, and stays so; `auto` lets
    the rules choose again.
    """
    app_name, slash, key = stream.partition("/")
    if not (slash and app_name and key):
        raise typer.BadParameter("must be APP/KEY", param_hint="APP/KEY")
    if to not in ROLES:
        raise typer.BadParameter(f"must be one of {', '.join(ROLES)}", param_hint="main|backup")
    ask_and_print(run_dir, "switch", app=app_name, key=key, to=to)


def answer(farm: RunningFarm, arguments: Arguments) -> Reply:
    to = arguments.get("to", "")
    if to not in ROLES:
        return Reply(False, f"must be one of {', '.join(ROLES)}")
    return Reply(*farm.operations.switch(arguments.get("app", ""), arguments.get("key", ""), to))


COMMAND = CommandSpec("switch", run, answer, example="tfarm switch live/cam1 backup")
