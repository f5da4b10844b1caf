"""`tfarm upgrade`: have a running farm go over to this version (IO)."""

import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from common.words import counted
from supervisor.commands.line.command import Arguments, CommandSpec, Reply, RunningFarm
from supervisor.commands.line.durations import seconds_of
from supervisor.commands.line.options import RunDir, ask_for, fail, farm_dir

AWAY_S = 30.0  # without a supervisor: it is a second while it becomes another program
POLL_S = 0.2
MAX_S = 30 * 86_400
AGAIN = "; `tfarm upgrade` of a version that starts goes on from here"


def run(
    deadline: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="End connections that are left in the old version after 30s, 10m, 2h or 7d.",
            show_default=False,
        ),
    ] = "",
    run_dir: RunDir = None,
) -> None:
    """Have the running farm go over to this version of tfarm.

    Run the `tfarm` of the new version. Publishers and players that are connected keep the old
    version's processes until they leave; all else is of the new version when this ends.
    """
    seconds = seconds_of(deadline) if deadline else 0
    if seconds is None or seconds > MAX_S:
        words = "must be a duration such as 10m, 2h or 7d"
        raise typer.BadParameter(words, param_hint="--deadline")
    version = {"executable": sys.executable, "path": os.environ.get("PYTHONPATH", "")}
    ask_for(run_dir, "upgrade", **version, deadline=str(seconds))
    _follow(farm_dir(run_dir))


def _follow(run_dir: Path) -> None:
    """Print what is being done until it is over."""
    printed = ""
    while True:
        found = _look(run_dir)
        state, doing = str(found["state"]), str(found["doing"])
        if doing and doing != printed:
            typer.echo(doing)
            printed = doing
        if state == "refused":
            fail(f"{found['problem']}; nothing was changed")
        if state == "stopped":
            fail(f"{found['problem']}; who served before serves on{AGAIN}")
        if state == "none":
            fail(f"the supervisor was started anew meanwhile (tfarm {found['version']}){AGAIN}")
        if state == "done":
            break
        time.sleep(POLL_S)
    typer.echo(f"the farm runs tfarm {found['version']}")
    for name in found["skipped"]:
        typer.echo(f"{name} is of a version that cannot hand its place on: end it at a quiet hour")
    for entry in found["retiring"]:
        left = counted(int(entry["left"]), "connection")
        typer.echo(f"{entry['child']} of the old version serves {left} until they end")


def _look(run_dir: Path) -> dict[str, Any]:
    """How far it is; waits for a supervisor that is being replaced."""
    from supervisor.commands.line.client import NotRunning

    until_s = time.monotonic() + AWAY_S
    while True:
        try:
            return ask_for(run_dir, "upgrade")
        except NotRunning:
            if time.monotonic() >= until_s:
                raise
            time.sleep(POLL_S)


def answer(farm: RunningFarm, arguments: Arguments) -> Reply:
    """Begin one, or say how far it is."""
    executable = arguments.get("executable", "")
    if not executable:
        return Reply(True, document=farm.upgrade.document())
    deadline = arguments.get("deadline", "0")
    if not deadline.isdecimal() or int(deadline[:9]) > MAX_S:
        return Reply(False, "the deadline is no number of seconds up to 30 days")
    has_begun, problem = farm.upgrade.request(
        executable, arguments.get("path", ""), float(deadline)
    )
    return Reply(has_begun, problem, farm.upgrade.document() if has_begun else None)


COMMAND = CommandSpec("upgrade", run, answer, example="tfarm upgrade --deadline 2h")
