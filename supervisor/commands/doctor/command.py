"""`tfarm doctor`: try every device of this host (IO)."""

from pathlib import Path
from typing import Annotated

import typer

from common.errors import ConfigError, ExitCode
from supervisor.commands.line.command import CommandSpec
from supervisor.commands.line.options import ConfigFile, RunDir, bad_config, farm_dir


def run(
    config: ConfigFile = None,
    run_dir: RunDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
    seconds: Annotated[
        float, typer.Option(min=0.1, max=60, help="How long each device is tried.")
    ] = 2.0,
) -> None:
    """Try every device of this host, and say what it is good for.

    It says how each device will be used and why, and what is missing. The exit code is 0 if tfarm
    can run here, even on the host's cores alone; else 1.
    """
    import json

    from supervisor.commands.doctor.diagnosis import document, text
    from supervisor.commands.doctor.examination import examine, load_settings

    try:
        settings = load_settings(config)
    except ConfigError as error:
        bad_config(error)
    found = examine(settings, seconds=seconds, is_farm_running=_is_farm_running(run_dir))
    typer.echo(json.dumps(document(found), indent=2) if as_json else text(found))
    if not found.is_usable:
        raise typer.Exit(ExitCode.FAILED)


def _is_farm_running(run_dir: Path | None) -> bool:
    from supervisor.processes.run_dir import is_served

    return is_served(farm_dir(run_dir))


COMMAND = CommandSpec("doctor", run, example="tfarm doctor farm.toml")
