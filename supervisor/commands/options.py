"""What commands have in common: options, which farm is meant, how a failure is reported (IO).

Every command is a start of its own: nothing is imported here that `tfarm --help` has no use for.
"""

import os
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from common.errors import ConfigError, ExitCode

RunDir = Annotated[
    Path | None,
    typer.Option(
        "--run-dir",
        metavar="DIR",
        help="The farm's run directory, where it is another than usual.",
        show_default=False,
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Argument(metavar="CONFIG", help="TOML file. Without one: the built-in farm."),
]
Device = Annotated[
    str | None,
    typer.Argument(metavar="DEVICE", help="cpu:N, or a GPU's UUID or PCI id, as in status."),
]


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


def ask_for(run_dir: Path | None, name: str, **arguments: str) -> dict[str, Any]:
    """Ask the running farm; the answer's document."""
    import json

    from supervisor.commands.client import CommandFailed, NotRunning, ask

    try:
        document: dict[str, Any] = json.loads(ask(farm_dir(run_dir), name, arguments).json)
    except (NotRunning, CommandFailed) as error:
        fail(error)
    return document


def ask_and_print(run_dir: Path | None, name: str, **arguments: str) -> None:
    """Ask the running farm; print the answer's words."""
    from supervisor.commands.client import CommandFailed, NotRunning, ask

    try:
        typer.echo(ask(farm_dir(run_dir), name, arguments).text)
    except (NotRunning, CommandFailed) as error:
        fail(error)
