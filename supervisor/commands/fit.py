"""`tfarm fit`: how many more streams the farm takes (IO)."""

from typing import Annotated

import typer

from supervisor.commands.line.command import Arguments, CommandSpec, Reply, RunningFarm
from supervisor.commands.line.options import RunDir, ask_for

CODECS = ("h264", "h265", "av1")


def run(
    template: Annotated[
        str, typer.Argument(metavar="TEMPLATE", help="An app's name. Without: every one.")
    ] = "",
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="1280x720@30 or 720p30. Without: 720p30, or max_source where that is smaller.",
        ),
    ] = "",
    codec: Annotated[
        str, typer.Option(metavar="|".join(CODECS), help="What the source is coded in.")
    ] = CODECS[0],
    bits: Annotated[int, typer.Option(metavar="8|10", help="Of its samples.")] = 8,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
    run_dir: RunDir = None,
) -> None:
    """Print how many more streams fit, and what ends first.

    So many publishers of that source are let in and transcoded; one more is refused, or passed
    through where the template's policy says so. Streams whose publisher is away give their room.
    """
    import json

    from supervisor.placement.capacity import read_kind

    if source:
        try:
            read_kind(source)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="SOURCE") from error
    if codec not in CODECS:
        raise typer.BadParameter(f"must be one of {', '.join(CODECS)}", param_hint="--codec")
    if bits not in (8, 10):
        raise typer.BadParameter("must be 8 or 10", param_hint="--bits")
    asked = {"template": template, "source": source, "codec": codec, "bits": str(bits)}
    found = ask_for(run_dir, "fit", **asked)["apps"]
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for app, fits in found.items():
        typer.echo(fits["words"] if len(found) == 1 else f"{app}: {fits['words']}")


def answer(farm: RunningFarm, arguments: Arguments) -> Reply:
    found = farm.report.fit(
        arguments.get("template", ""),
        arguments.get("source", ""),
        arguments.get("codec", CODECS[0]),
        int(arguments.get("bits", "8")),
    )
    if isinstance(found, str):
        return Reply(False, found)
    return Reply(True, document={"apps": found})


COMMAND = CommandSpec("fit", run, answer, example="tfarm fit live 1080p30")
