"""What all commands have in common: which farm is meant, and how a failure is told (IO).

Every command is a start of its own: nothing is imported here that `tfarm --help` has no use for.
"""

import os
from pathlib import Path
from typing import NoReturn

import typer

from common.errors import ConfigError, ExitCode


def farm_dir(given: Path | None) -> Path:
    """The run directory of the farm that is meant, absolute."""
    from supervisor.processes.run_dir import find_run_dir

    return Path(os.path.abspath(given or find_run_dir(os.environ, os.geteuid())))


def fail(problem: object) -> NoReturn:
    """End with the reason."""
    typer.echo(f"tfarm: {problem}", err=True)
    raise typer.Exit(ExitCode.FAILED)


def bad_config(error: ConfigError) -> NoReturn:
    """End with every fault."""
    for fault in error.faults:
        typer.echo(str(fault), err=True)
    raise typer.Exit(ExitCode.USAGE)
