"""`tfarm stop`: end a running farm (IO)."""

import os

import typer

from supervisor.commands.line.command import Arguments, CommandSpec, Reply, RunningFarm
from supervisor.commands.line.options import RunDir, ask_for, fail

STOP_TIMEOUT_S = 30.0


def run(run_dir: RunDir = None) -> None:
    """End the farm, and wait until it has ended."""
    from supervisor.processes.run_dir import wait_gone

    pid = int(ask_for(run_dir, "stop")["pid"])
    if pid <= 0:
        raise ValueError(f"process {pid}")
    if not wait_gone(pid, STOP_TIMEOUT_S):
        fail(f"the farm has not ended within {STOP_TIMEOUT_S:g} s (supervisor pid {pid})")
    typer.echo("stopped")


def answer(farm: RunningFarm, arguments: Arguments) -> Reply:
    return Reply(True, "stopping", {"pid": os.getpid()})


def end(farm: RunningFarm) -> None:
    farm.stop()


# answered first: afterwards nobody may be there to do it
COMMAND = CommandSpec("stop", run, answer, end, example="tfarm stop --run-dir /run/tfarm")
