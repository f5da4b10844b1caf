"""`tfarm ban`: keep an address, a network or a stream out, or list who is kept out (IO)."""

from typing import Annotated

import typer

from common.access.bans import MAX_BAN_S, MAX_REASON_CHARS
from supervisor.commands.line.command import Arguments, CommandSpec, Reply, RunningFarm
from supervisor.commands.line.durations import seconds_of
from supervisor.commands.line.options import RunDir, ask_and_print, ask_for

TARGET = "ADDRESS|NETWORK|APP/KEY"


def run(
    target: Annotated[
        str | None, typer.Argument(metavar=TARGET, help="203.0.113.7, 2001:db8::/48, live/cam1")
    ] = None,
    how_long: Annotated[
        str,
        typer.Option("--for", metavar="DURATION", help="30s, 10m, 2h, 7d. Without: for good."),
    ] = "",
    reason: Annotated[str, typer.Option(metavar="TEXT", help="For log and list alone.")] = "",
    list_all: Annotated[bool, typer.Option("--list", help="Print who is banned.")] = False,
    run_dir: RunDir = None,
) -> None:
    """Keep an address, a network or a stream out, and cut it off.

    It holds over restarts, until its time is over or until `tfarm unban`.
    """
    if list_all == (target is not None):
        raise typer.BadParameter("give either a target or --list", param_hint=TARGET)
    if target is None:
        _print_list(run_dir)
        return
    seconds = seconds_of(how_long) if how_long else 0
    if seconds is None or not 0 <= seconds <= MAX_BAN_S or (how_long and not seconds):
        raise typer.BadParameter(
            "must be a duration such as 30s, 10m, 2h or 7d", param_hint="--for"
        )
    if len(reason) > MAX_REASON_CHARS:
        raise typer.BadParameter(
            f"has at most {MAX_REASON_CHARS} characters", param_hint="--reason"
        )
    ask_and_print(run_dir, "ban", target=target, for_s=str(seconds), reason=reason)


def _print_list(run_dir: RunDir) -> None:
    import time

    from supervisor.commands.line.client import for_terminal
    from supervisor.commands.status.table import ban_words

    bans = ask_for(run_dir, "ban", list="yes")["bans"]
    for ban in for_terminal(bans):
        typer.echo(ban_words(ban, time.time()))
    if not bans:
        typer.echo("nobody is banned")


def answer(farm: RunningFarm, arguments: Arguments) -> Reply:
    if arguments.get("list"):
        return Reply(True, "", {"bans": farm.operations.bans()})
    for_s = arguments.get("for_s", "0")
    if not for_s.isdecimal() or not int(for_s[:12]) <= MAX_BAN_S:
        return Reply(False, "the time is no number of seconds up to ten years")
    reason = arguments.get("reason", "")[:MAX_REASON_CHARS]
    return Reply(*farm.operations.ban(arguments.get("target", ""), float(for_s), reason))


COMMAND = CommandSpec("ban", run, answer, example="tfarm ban 203.0.113.7 --for 1h --reason flood")
