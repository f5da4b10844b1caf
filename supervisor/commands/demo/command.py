"""`tfarm demo`: publish a generated picture (IO)."""

from typing import Annotated

import typer

from supervisor.commands.line.command import CommandSpec
from supervisor.commands.line.options import RunDir, farm_dir


def run(
    run_dir: RunDir = None,
    key: Annotated[
        str, typer.Option(help="The stream key; 'KEY?key=…' where publishing needs one.")
    ] = "demo",
    template: Annotated[
        str | None, typer.Option("--app", help="The app; the farm's first one by default.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="End by itself after this long.")
    ] = None,
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT of the picture.")] = "1280x720",
    fps: Annotated[int, typer.Option(min=1, max=120, help="Pictures a second.")] = 30,
    listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Of the farm that it starts.")
    ] = None,
) -> None:
    """Publish a generated picture with a clock, and a tone. Starts a farm if none runs."""
    from supervisor.commands.demo.demo import run_demo

    width, _, height = size.partition("x")
    if not (width.isdigit() and height.isdigit()) or int(width) % 2 or int(height) % 2:
        raise typer.BadParameter("must be WIDTHxHEIGHT, both even", param_hint="--size")
    if not (160 <= int(width) <= 3840 and 90 <= int(height) <= 2160):
        raise typer.BadParameter("must be 160x90 to 3840x2160", param_hint="--size")
    raise typer.Exit(
        run_demo(
            farm_dir(run_dir),
            app=template,
            key=key,
            seconds=seconds,
            width=int(width),
            height=int(height),
            fps=fps,
            listen=listen,
        )
    )


COMMAND = CommandSpec("demo", run, example="tfarm demo --size 1920x1080 --fps 25")
