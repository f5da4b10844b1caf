"""`tfarm status`: what a running farm does (IO)."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.ipc.figures import AS, FIGURES
from supervisor.commands.line.command import Arguments, CommandSpec, Reply, RunningFarm
from supervisor.commands.line.options import RunDir, fail, farm_dir

if TYPE_CHECKING:
    from supervisor.commands.status.stream_selection import Selection


def run(  # one parameter each: typer reads them
    stream: Annotated[
        str | None,
        typer.Argument(
            metavar="STREAM",
            help="The page of one stream: APP/KEY. Or those that have this in their name, or a "
            "glob: 'live/cam*'.",
        ),
    ] = None,
    run_dir: RunDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Anew every second.")] = False,
    renditions: Annotated[
        bool, typer.Option("--renditions", "-v", help="Streams with renditions and details.")
    ] = False,
    latency: Annotated[
        bool, typer.Option("--latency", help="Where the milliseconds of a frame go.")
    ] = False,
    app: Annotated[str, typer.Option(help="The streams of one app.", show_default=False)] = "",
    problems: Annotated[
        bool, typer.Option("--problems", help="The streams with something wrong.")
    ] = False,
    sort: Annotated[
        str, typer.Option(metavar="BY", help="name, players, bitrate, dropped or state.")
    ] = "name",
) -> None:
    """Show devices, streams and processes, and who was refused."""
    import json

    from supervisor.commands.line.client import CommandFailed, NotRunning
    from supervisor.commands.line.client import status as ask_status
    from supervisor.commands.status.stream_page import NoSuchStream, named, part_of
    from supervisor.commands.status.stream_selection import SORTS, Selection
    from supervisor.commands.terminal.screen import abandon_output

    if sort not in SORTS:
        raise typer.BadParameter(f"must be one of {', '.join(SORTS)}", param_hint="--sort")
    selection = Selection(app, stream or "", problems, sort)
    where = farm_dir(run_dir)
    try:
        if watch:
            from supervisor.commands.status.view import View
            from supervisor.commands.status.watch import watch as watch_farm

            view = View(selection, renditions or None, has_latency=latency)
            watch_farm(where, view, as_json=as_json)
        elif as_json:
            document = ask_status(where)
            found = named(document, selection.pattern)
            typer.echo(
                json.dumps(document if found is None else part_of(document, found), indent=2)
            )
        else:
            _show(where, selection, renditions or None, latency=latency)
    except (NotRunning, CommandFailed, NoSuchStream) as error:
        fail(error)
    except BrokenPipeError:
        abandon_output()
    except KeyboardInterrupt:
        return


def _show(where: Path, selection: "Selection", renditions: bool | None, *, latency: bool) -> None:
    from supervisor.commands.line.client import for_terminal
    from supervisor.commands.line.client import status as ask_status
    from supervisor.commands.status.latency_table import latency_lines
    from supervisor.commands.status.stream_page import named
    from supervisor.commands.status.table import Shown, page
    from supervisor.commands.terminal.screen import look, show

    document = for_terminal(ask_status(where))
    screen = look()
    if latency:
        show(latency_lines(document, screen.width, selection), screen)
    else:
        named(document, selection.pattern)  # one that nobody has is a failure
        shown = Shown(selection, renditions, screen.height)
        show(page(document, time.time(), screen.width, shown).lines, screen)


def answer(farm: RunningFarm, arguments: Arguments) -> Reply:
    if arguments.get(AS) == FIGURES:
        return Reply(True, document=farm.report.figures())
    return Reply(True, document=farm.report.status())


COMMAND = CommandSpec("status", run, answer, example="tfarm status --watch 'live/cam*'")
