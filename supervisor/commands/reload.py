"""`tfarm reload`: the running farm reads its configuration again (IO: the file)."""

from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import ConfigError, TfarmError
from supervisor.commands.line.command import Arguments, CommandSpec, Reply, RunningFarm
from supervisor.commands.line.options import RunDir, ask_and_print

if TYPE_CHECKING:
    from common.config.settings import Settings
    from supervisor.farm.operators.reloading import Reloaded


class ReloadRefused(TfarmError):
    """The configuration stays as it was; with the reason."""


def read_again(
    path: Path | None, before: "Settings", cores: int, templates: str = ""
) -> "Reloaded":
    """Read the configuration of a farm that runs, with the templates that all hosts share.

    Raises:
        ReloadRefused: there is no file, or it has faults.
    """
    from common.config.load import load
    from supervisor.farm.operators.reloading import reloaded

    if path is None:
        raise ReloadRefused("the farm runs without a configuration file: nothing to reload")
    try:
        loaded = load(path, templates)
    except ConfigError as error:
        lines = [f"{path}: nothing was changed", *map(str, error.faults)]
        raise ReloadRefused("\n".join(lines)) from error
    return reloaded(before, loaded, cores)


def run(run_dir: RunDir = None) -> None:
    """Read the configuration again; say which keys changed."""
    ask_and_print(run_dir, "reload")


def answer(farm: RunningFarm, arguments: Arguments) -> Reply:
    return Reply(*farm.configuration.reload())


COMMAND = CommandSpec("reload", run, answer, example="tfarm reload")
