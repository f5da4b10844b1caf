"""The commands of `tfarm` that look at devices rather than at a running farm.

`cli.py` adds them; heavy imports stand inside the commands here too.
"""

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.errors import ConfigError, ExitCode
from supervisor.commands.cli_farm import bad_config, fail, farm_dir

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from common.config.ladder import Template
    from supervisor.placement.calibration import Measured

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
    app.command()(calibrate)


def doctor(
    config: Config = None,
    run_dir: RunDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
    seconds: Annotated[
        float, typer.Option(min=0.1, max=60, help="How long each device is tried.")
    ] = 2.0,
) -> None:
    """Try every device of this host, and say what it is good for.

    What it does, what it will be used as and why, what is missing. Exit code 0 when tfarm can
    run here, on the host's cores alone too; else 1.
    """
    import json

    from supervisor.commands.diagnosis import document, text
    from supervisor.commands.doctor import examine, load_settings

    try:
        settings = load_settings(config)
    except ConfigError as error:
        bad_config(error)
    found = examine(settings, seconds=seconds, is_farm_running=_is_farm_running(run_dir))
    typer.echo(json.dumps(document(found), indent=2) if as_json else text(found))
    if not found.is_usable:
        raise typer.Exit(ExitCode.FAILED)


def calibrate(
    config: Config = None,
    run_dir: RunDir = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, or a GPU's UUID or PCI id; all by default.")
    ] = None,
    template: Annotated[str | None, typer.Option(help="An app; all by default.")] = None,
    seconds: Annotated[
        float, typer.Option(min=1, max=3600, help="Of the trial that confirms a number.")
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
    from supervisor.commands import calibrate as calibrating
    from supervisor.commands.client import CommandFailed, NotRunning
    from supervisor.commands.doctor import load_settings

    def say(line: str) -> None:
        typer.echo(line, err=True)

    try:
        settings = load_settings(config)
        with _value_of("--out"):
            calibrating.read_old(out)
        if clip is not None:
            with _value_of("--clip"):
                calibrating.check_clip(clip)
        devices = calibrating.devices_for(settings, device)
        templates = calibrating.templates_for(settings, template)
        calibrating.refuse_if_busy(farm_dir(run_dir), devices)
        measured = []
        for name in devices:
            workers = calibrating.workers_for(settings, name)
            for chosen in templates:
                say(f"{name}: {chosen.name}")
                measured.append(
                    calibrating.measure(
                        name,
                        chosen,
                        workers=workers,
                        seconds=seconds,
                        config=config,
                        clip=clip,
                        say=say,
                    )
                )
        _show_table(measured, templates)
        with _value_of("--out"):
            old = calibrating.read_old(out)  # other runs may have written it meanwhile
        found = calibrating.merge(measured, templates, settings, old)
    except ConfigError as error:
        bad_config(error)
    except (calibrating.CannotCalibrate, NotRunning, CommandFailed) as error:
        fail(error)
    if not any(item.streams for item in measured):
        fail("nothing was calibrated; no file is written")
    try:
        calibrating.write(found, out)
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

    from supervisor.commands.terminal import terminal
    from supervisor.placement.calibration import COLUMNS, rows

    table = Table(box=None, pad_edge=False)
    for column in COLUMNS:
        is_number = column.startswith(">")
        table.add_column(column.removeprefix(">"), justify="right" if is_number else "left")
    for row in rows(measured, {template.name: template for template in templates}):
        table.add_row(*row)
    terminal().print(table)


def _is_farm_running(run_dir: Path | None) -> bool:
    from supervisor.processes.run_dir import is_served

    return is_served(farm_dir(run_dir))
