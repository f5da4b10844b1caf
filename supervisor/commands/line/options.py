"""What commands have in common: options, which farm is meant, how a failure is reported (IO).

Every command is a start of its own: nothing is imported here that `tfarm --help` has no use for.
"""

import functools
import os
from collections.abc import Callable
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
    """The run directory of the farm that is meant, absolute; ends where it is another user's."""
    from supervisor.processes.run_dir import find_run_dir, why_untrusted

    uid = os.geteuid()
    found = Path(os.path.abspath(given or find_run_dir(os.environ, uid)))
    if why := why_untrusted(found, uid, is_named=given is not None):
        fail(why)
    return found


def fail(problem: object) -> NoReturn:
    """End with the reason, which may have a farm's or a peer's words in it."""
    from common.words import printable

    typer.echo(f"tfarm: {printable(str(problem))}", err=True)
    raise typer.Exit(ExitCode.FAILED)


def asks_the_farm(run: Callable[..., None]) -> Callable[..., None]:
    """Make an end with a reason of whatever a farm's answer is, in place of a traceback."""

    @functools.wraps(run)
    def guarded(*arguments: Any, **options: Any) -> None:
        from supervisor.commands.line import client

        try:
            with client.understanding():
                run(*arguments, **options)
        except (client.NotRunning, client.CommandFailed) as error:
            fail(error)

    return guarded


def bad_config(error: ConfigError) -> NoReturn:
    """End with every fault."""
    for fault in error.faults:
        typer.echo(str(fault), err=True)
    raise typer.Exit(ExitCode.USAGE)


def ask_for(run_dir: Path | None, name: str, **arguments: str) -> dict[str, Any]:
    """Ask the running farm; the answer's document. Raises as `client.ask`."""
    from supervisor.commands.line.client import ask_document, for_terminal

    document: dict[str, Any] = for_terminal(ask_document(farm_dir(run_dir), name, arguments))
    return document


def ask_and_print(run_dir: Path | None, name: str, **arguments: str) -> None:
    """Ask the running farm; print the answer's words. Raises as `client.ask`."""
    from supervisor.commands.line.client import ask

    typer.echo(ask(farm_dir(run_dir), name, arguments).text)
