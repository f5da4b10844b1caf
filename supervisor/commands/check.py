"""`tfarm check`: the faults of a configuration file (IO)."""

from pathlib import Path
from typing import Annotated

import typer

from common.errors import ConfigError
from common.words import counted
from supervisor.commands.command import CommandSpec
from supervisor.commands.options import bad_config


def run(config: Annotated[Path, typer.Argument(help="TOML file.")]) -> None:
    """Check a configuration file. Every fault is named by its key's path.

    GPUs and templates that are not there are warnings.
    """
    from common.config.load import load
    from supervisor.hardware.gpus import look_up_driver, unused_names
    from supervisor.placement.calibration import without_template

    try:
        settings = load(config)
    except ConfigError as error:
        bad_config(error)
    unused = without_template(settings)
    if settings.devices.capacity or settings.devices.exclude:
        unused += unused_names(settings.devices, look_up_driver().gpus)
    for fault in unused:
        typer.echo(f"warning: {fault}", err=True)
    apps = ", ".join(
        f"{template.name} ({counted(len(template.renditions), 'rendition')})"
        for template in settings.templates
    )
    typer.echo(f"OK: {config}: {apps}")


COMMAND = CommandSpec("check", run, example="tfarm check farm.toml")
