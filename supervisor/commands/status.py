"""`tfarm status`: what a running farm does (IO)."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from supervisor.commands.command import Arguments, CommandSpec, Reply, RunningFarm
from supervisor.commands.options import RunDir, fail, farm_dir


def run(
    run_dir: RunDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Again every second.")] = False,
    latency: Annotated[
        bool, typer.Option("--latency", help="Where the milliseconds of a frame go.")
    ] = False,
) -> None:
    """Show devices, streams and processes."""
    import json

    from supervisor.commands.client import CommandFailed, NotRunning
    from supervisor.commands.client import status as ask_status

    where = farm_dir(run_dir)
    try:
        if as_json:
            while True:
                typer.echo(json.dumps(ask_status(where), indent=None if watch else 2))
                if not watch:
                    return
                time.sleep(1)
        _show_tables(where, watch, latency)
    except (NotRunning, CommandFailed) as error:
        fail(error)
    except KeyboardInterrupt:
        return


def _show_tables(where: Path, watch: bool, latency: bool) -> None:
    from rich.live import Live

    from supervisor.commands.client import status as ask_status
    from supervisor.commands.status_table import latency_tables, tables
    from supervisor.commands.terminal import terminal

    console = terminal()

    def picture() -> Any:
        document = ask_status(where)
        return latency_tables(document) if latency else tables(document, time.time())

    if not watch:
        console.print(picture())
        return
    with Live(picture(), console=console, screen=True) as live:
        while True:
            time.sleep(1)
            live.update(picture(), refresh=True)


def answer(farm: RunningFarm, arguments: Arguments) -> Reply:
    return Reply(True, document=farm.status())


COMMAND = CommandSpec("status", run, answer, example="tfarm status --watch")
