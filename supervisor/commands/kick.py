"""`tfarm kick`: end a stream and keep it out for a while, or let it in again (IO)."""

from typing import Annotated

import typer

from common.access.bans import MAX_KICK_S
from supervisor.commands.line.command import Arguments, CommandSpec, Reply, RunningFarm
from supervisor.commands.line.durations import seconds_of
from supervisor.commands.line.options import RunDir, ask_and_print
from supervisor.farm.operators.kicks import DEFAULT_S


def run(
    stream: Annotated[str, typer.Argument(metavar="APP/KEY", help="The stream, as in status.")],
    how_long: Annotated[
        str, typer.Option("--for", metavar="DURATION", help="How long it stays out, up to 24h.")
    ] = f"{DEFAULT_S:g}s",
    undo: Annotated[bool, typer.Option("--undo", help="Let it in again.")] = False,
    run_dir: RunDir = None,
) -> None:
    """End a stream and keep it out for a while, or let it in again.

    A kick also lets in a stream that is refused because it took workers down.
    """
    app_name, slash, key = stream.partition("/")
    if not (slash and app_name and key):
        raise typer.BadParameter("must be APP/KEY", param_hint="APP/KEY")
    if undo:
        ask_and_print(run_dir, "kick", app=app_name, key=key, undo="yes")
        return
    seconds = seconds_of(how_long) or 0
    if not 0 < seconds <= MAX_KICK_S:
        raise typer.BadParameter("must be a duration such as 30s, 10m or 2h", param_hint="--for")
    ask_and_print(run_dir, "kick", **{"app": app_name, "key": key, "for_s": str(seconds)})


def answer(farm: RunningFarm, arguments: Arguments) -> Reply:
    app, key = arguments.get("app", ""), arguments.get("key", "")
    if arguments.get("undo"):
        done = farm.operations.unkick(app, key)
        return Reply(True, done) if done else Reply(False, f"{app}/{key} is not kept out")
    for_s = arguments.get("for_s", f"{DEFAULT_S:g}")
    if not for_s.isdecimal() or not 0 < int(for_s[:9]) <= MAX_KICK_S:
        return Reply(False, "the time is no number of seconds up to a day")
    done = farm.operations.kick(app, key, float(for_s))
    return Reply(True, done) if done else Reply(False, f"no such stream: {app}/{key}")


COMMAND = CommandSpec("kick", run, answer, example="tfarm kick live/cam1 --for 10m")
