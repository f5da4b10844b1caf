"""`tfarm undrain`: let a drained device, or the farm, take streams again (IO)."""

from typing import Annotated

import typer

from supervisor.commands.line.command import Arguments, CommandSpec, Reply, RunningFarm
from supervisor.commands.line.options import Device, RunDir, ask_and_print


def run(
    device: Device = None,
    every: Annotated[bool, typer.Option("--all", help="All devices, and the farm.")] = False,
    run_dir: RunDir = None,
) -> None:
    """Let a drained device, or the whole farm, take streams again."""
    if every == (device is not None):
        raise typer.BadParameter("give either a device or --all", param_hint="DEVICE")
    ask_and_print(run_dir, "undrain", **({"device": device} if device is not None else {}))


def answer(farm: RunningFarm, arguments: Arguments) -> Reply:
    device = arguments.get("device", "")
    if not device:
        return Reply(True, farm.operations.undrain_all())
    return Reply(*farm.operations.undrain(device))


COMMAND = CommandSpec("undrain", run, answer, example="tfarm undrain cpu:0")
