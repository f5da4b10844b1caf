"""`tfarm drain`: move all streams off a device, or let the farm run empty (IO)."""

import time
from pathlib import Path
from typing import Annotated

import typer

from common.words import counted
from supervisor.commands.line.command import Arguments, CommandSpec, Reply, RunningFarm
from supervisor.commands.line.invocation import tfarm_command
from supervisor.commands.line.options import Device, RunDir, ask_for, fail

DRAIN_TIMEOUT_S = 60.0  # a move takes as long as the next keyframe and a second
POLL_S = 0.25


def run(
    device: Device = None,
    every: Annotated[bool, typer.Option("--all", help="Take no new streams at all.")] = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            metavar="SECONDS",
            help="DEVICE: wait this long for room. --all: end what still runs then.",
        ),
    ] = None,
    run_dir: RunDir = None,
) -> None:
    """Move all streams off a device, or let the farm run empty. `undrain` ends that.

    Exit code 1 when streams are left on the device, with the reason.
    """
    if every == (device is not None):
        raise typer.BadParameter("give either a device or --all", param_hint="DEVICE")
    if device is not None:
        _drain_device(run_dir, device, timeout)
    else:
        _drain_all(run_dir, timeout)


def _drain_device(run_dir: Path | None, device: str, timeout: float | None) -> None:
    began = time.monotonic()
    printed: set[tuple[str, str]] = set()
    while True:
        left = ask_for(run_dir, "drain", device=device)
        stuck = 0
        for entry in left["streams"]:
            stream, reason = entry["stream"], entry["reason"]
            stuck += bool(reason) and not entry["moves_later"]
            if reason and (stream, reason) not in printed:
                what = f"{stream} waits" if entry["moves_later"] else f"no room for {stream}"
                typer.echo(f"{what}: {reason}")
                printed.add((stream, reason))
        if not left["streams"] and not left["sessions"]:
            undrain = f"{tfarm_command()} undrain {device}"
            typer.echo(f"{device} is drained; `{undrain}` makes it take streams again")
            return
        is_stuck = stuck == len(left["streams"]) == left["sessions"]
        waited = time.monotonic() - began
        if waited >= (DRAIN_TIMEOUT_S if timeout is None else timeout) or (
            is_stuck and timeout is None
        ):
            on_it = counted(left["sessions"], "stream", "is left on it")
            fail(f"{device} takes no new streams, and {on_it}")
        time.sleep(POLL_S)


def _drain_all(run_dir: Path | None, timeout: float | None) -> None:
    arguments = {} if timeout is None else {"timeout": str(timeout)}
    printed = -1
    while True:
        count = ask_for(run_dir, "drain", **arguments)["streams"]
        arguments = {}  # the supervisor keeps the time, whatever becomes of this process
        if count == 0:
            undrain = f"{tfarm_command()} undrain --all"
            typer.echo(f"no stream is left; `{undrain}` makes the farm take streams again")
            return
        if count != printed:
            typer.echo(counted(count, "stream", "is left"))
            printed = count
        time.sleep(POLL_S)


def answer(farm: RunningFarm, arguments: Arguments) -> Reply:
    """Begin a drain, or go on with it; the document says what is left."""
    device = arguments.get("device", "")
    if device:
        return Reply(*farm.operations.drain(device))
    timeout = arguments.get("timeout", "")
    try:
        timeout_s = float(timeout) if timeout else None
    except ValueError:
        return Reply(False, "the timeout is no number of seconds")
    return Reply(True, document=farm.operations.drain_all(timeout_s))


COMMAND = CommandSpec("drain", run, answer, example="tfarm drain cpu:0 --timeout 60")
