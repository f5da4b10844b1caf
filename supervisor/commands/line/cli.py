"""The `tfarm` command: every command of the table. Heavy imports stand inside the commands.

Exit codes: 0 done; 1 the farm is not running or would not do it; 2 a bad command line or
configuration. What it asks a running farm goes through `client.py`; `tfarm supervisor` execs
`python -m supervisor`, so that the lasting process is started like any other.
"""

import signal
import sys

# Ctrl-C during the imports ends the command at once, without a traceback; one that is ignored, as
# in a background job, stays so.
_ON_CTRL_C = signal.getsignal(signal.SIGINT)
if _ON_CTRL_C is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from typing import Annotated  # noqa: E402

import typer  # noqa: E402

from common.version import VERSION  # noqa: E402
from supervisor.commands.line.help import explained  # noqa: E402
from supervisor.commands.line.options import asks_the_farm  # noqa: E402
from supervisor.commands.table import COMMANDS  # noqa: E402

app = typer.Typer(
    name="tfarm",
    help="A live-transcoding farm: RTMP in, a ladder of renditions out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: rich would double the time of --help
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """The console script."""
    try:
        signal.signal(signal.SIGINT, _ON_CTRL_C)
        app()
    except KeyboardInterrupt:  # before click looks for it: typer makes the commands first
        sys.exit(128 + signal.SIGINT)


@app.callback(invoke_without_command=True)
def top(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"tfarm {VERSION}")
        raise typer.Exit


for command in COMMANDS.values():
    run = command.run if command.answer is None else asks_the_farm(command.run)
    app.command(command.name, cls=explained(command.example))(run)
