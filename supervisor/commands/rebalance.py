"""`tfarm rebalance`: even out the load of the devices (IO)."""

from supervisor.commands.line.command import Arguments, CommandSpec, Reply, RunningFarm
from supervisor.commands.line.options import RunDir, ask_and_print


def run(run_dir: RunDir = None) -> None:
    """Even out the load of the devices by moving streams. Players notice nothing."""
    ask_and_print(run_dir, "rebalance")


def answer(farm: RunningFarm, arguments: Arguments) -> Reply:
    return Reply(True, farm.operations.rebalance())


COMMAND = CommandSpec("rebalance", run, answer, example="tfarm rebalance")
