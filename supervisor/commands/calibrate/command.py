"""`tfarm calibrate`: measure how many streams each device keeps in real time (IO)."""

import itertools
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.errors import ConfigError
from supervisor.commands.line.command import CommandSpec
from supervisor.commands.line.options import ConfigFile, RunDir, bad_config, fail, farm_dir

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from common.config.ladder import Template
    from supervisor.placement.calibration import Calibrated, Measured


def run(
    config: ConfigFile = None,
    run_dir: RunDir = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, or a GPU's UUID or PCI id; all by default.")
    ] = None,
    template: Annotated[str | None, typer.Option(help="An app; all by default.")] = None,
    seconds: Annotated[
        float, typer.Option(min=1, max=3600, help="Of the trial that confirms the result.")
    ] = 60.0,
    clip: Annotated[
        Path | None, typer.Option(help="A file with H.264, in place of a generated picture.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("calibration.toml"),
) -> None:
    """Measure how many streams each device keeps in real time.

    Writes capacities and costs, by device and template, to a file that a configuration includes.
    Takes some minutes a device and template; refuses while streams run there.
    """
    from supervisor.commands.calibrate import measuring
    from supervisor.commands.doctor.examination import load_settings
    from supervisor.commands.line.client import CommandFailed, NotRunning

    def say(line: str) -> None:
        typer.echo(line, err=True)

    try:
        settings = load_settings(config)
        with _value_of("--out"):
            measuring.read_old(out)
        if clip is not None:
            with _value_of("--clip"):
                measuring.check_clip(clip)
        devices = measuring.devices_for(settings, device)
        templates = measuring.templates_for(settings, template)
        measuring.refuse_if_busy(farm_dir(run_dir), devices)
        workers = {name: measuring.workers_for(settings, name) for name in devices}
        measured = []
        for name, chosen in itertools.product(devices, templates):
            say(f"{name}: {chosen.name}")
            trial = partial(measuring.measure, name, chosen, workers=workers[name])
            measured.append(trial(seconds=seconds, config=config, clip=clip, say=say))
        _show_table(measured, templates)
        with _value_of("--out"):
            old = measuring.read_old(out)  # other runs may have written it meanwhile
        found = measuring.merge(measured, templates, settings, old)
    except ConfigError as error:
        bad_config(error)
    except (measuring.CannotCalibrate, NotRunning, CommandFailed) as error:
        fail(error)
    if not any(item.streams for item in measured):
        fail("nothing was calibrated; no file is written")
    _write(found, out)


def _write(found: "Calibrated", out: Path) -> None:
    from supervisor.commands.calibrate import measuring

    try:
        measuring.write(found, out)
    except OSError as error:
        fail(f"cannot write {out}: {error.strerror or error}")
    typer.echo(f'{out} is written; a configuration beside it takes it in: include = ["{out.name}"]')


@contextmanager
def _value_of(option: str) -> "Iterator[None]":
    """A ValueError is a bad command line: this option's value."""
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def _show_table(measured: "Sequence[Measured]", templates: "Sequence[Template]") -> None:
    from rich.table import Table

    from supervisor.commands.terminal.console import terminal
    from supervisor.placement.calibration import COLUMNS, rows

    table = Table(box=None, pad_edge=False)
    for column in COLUMNS:
        is_number = column.startswith(">")
        table.add_column(column.removeprefix(">"), justify="right" if is_number else "left")
    for row in rows(measured, {template.name: template for template in templates}):
        table.add_row(*row)
    terminal().print(table)


COMMAND = CommandSpec("calibrate", run, example="tfarm calibrate farm.toml --out calibration.toml")
