"""The commands of `tfarm` that look at devices rather than at a running farm: `doctor`.

`cli.py` adds them; heavy imports stand inside the commands here too.
"""

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from common.errors import ConfigError, ExitCode

Config = Annotated[
    Path | None,
    typer.Argument(metavar="[CONFIG]", help="TOML file. Without one: the built-in farm."),
]
RunDir = Annotated[
    Path | None,
    typer.Option("--run-dir", help="The farm's run directory.", show_default=False),
]


def add_to(app: typer.Typer) -> None:
    """Make the commands part of `tfarm`."""
    app.command()(doctor)


def doctor(
    config: Config = None,
    run_dir: RunDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
    seconds: Annotated[
        float, typer.Option(min=0.1, max=60, help="How long each device is tried.")
    ] = 2.0,
) -> None:
    """Try every device of this host: what it does, what it will be used as, what is missing.

    Exit code 0 when tfarm can run here, on the host's cores alone too; else 1.
    """
    import json

    from supervisor.diagnosis import document, text
    from supervisor.doctor import examine, load_settings

    try:
        settings = load_settings(config)
    except ConfigError as error:
        _bad_config(error)
    found = examine(settings, seconds=seconds, is_farm_running=_is_farm_running(run_dir))
    typer.echo(json.dumps(document(found), indent=2) if as_json else text(found))
    if not found.is_usable:
        raise typer.Exit(ExitCode.FAILED)


def _is_farm_running(run_dir: Path | None) -> bool:
    import os

    from supervisor.run_dir import default_run_dir, is_served

    return is_served(run_dir or default_run_dir(os.environ, os.geteuid()))


def _bad_config(error: ConfigError) -> NoReturn:
    for fault in error.faults:
        typer.echo(str(fault), err=True)
    raise typer.Exit(ExitCode.USAGE)
