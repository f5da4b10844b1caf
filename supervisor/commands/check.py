"""`tfarm check`: the faults of a configuration file (IO)."""

from pathlib import Path
from typing import Annotated

import typer

from common.errors import ConfigError
from common.words import counted
from supervisor.commands.line.command import CommandSpec
from supervisor.commands.line.options import bad_config


def run(config: Annotated[Path, typer.Argument(help="TOML file.")]) -> None:
    """Check a configuration file. Every fault is named by its key's path.

    It warns about GPUs and templates that do not exist, about weak keys, and about the files of a
    cluster's host. For a good file it
    prints what a stream of each app costs, and how many fit this host.
    """
    import os
    import stat
    import time

    from common.access.exposure import exposure, has_secrets
    from common.config.load import load_with_warnings
    from supervisor.commands.banner import configured_addresses
    from supervisor.commands.doctor.room import PlannedGpu, check_lines
    from supervisor.hardware.gpus import Driver, chosen, look_up_driver, unused_names
    from supervisor.placement.calibration import without_template

    try:
        settings, weak = load_with_warnings(config)
    except ConfigError as error:
        bad_config(error)
    driver = look_up_driver() if settings.devices.use_gpus else Driver()
    unused = without_template(settings)
    if settings.devices.capacity or settings.devices.exclude:
        unused += unused_names(settings.devices, look_up_driver().gpus)
    exposed = exposure(settings, configured_addresses(settings))
    readable = ""
    if has_secrets(settings) and config.stat().st_mode & stat.S_IROTH:
        readable = f"everybody on this host can read {config}, which has secrets: chmod o= it"
    cluster: list[str] = []
    if settings.cluster.is_enabled:
        from supervisor.commands.doctor.cluster import file_problems

        cluster = [f"cluster: {one}" for one in file_problems(settings.cluster, time.time())]
    for fault in filter(None, [*map(str, weak), *unused, exposed, readable, *cluster]):
        typer.echo(f"warning: {fault}", err=True)
    apps = ", ".join(
        f"{template.name} ({counted(len(template.renditions), 'rendition')})"
        for template in settings.templates
    )
    typer.echo(f"OK: {config}: {apps}")
    gpus = [
        PlannedGpu(gpu.uuid, gpu.pci_id, gpu.name, gpu.memory_bytes)
        for gpu in chosen(driver.gpus, settings.devices)
    ]
    for line in check_lines(settings, len(os.sched_getaffinity(0)), gpus):
        typer.echo(line)


COMMAND = CommandSpec("check", run, example="tfarm check farm.toml")
