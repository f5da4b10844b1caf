"""`tfarm supervisor`: run a farm (IO)."""

import os
import signal
import sys
from typing import Annotated

import typer

from common.process.log_lines import LogFormat
from supervisor.commands.line.command import CommandSpec
from supervisor.commands.line.options import ConfigFile, RunDir


def run(
    config: ConfigFile = None,
    run_dir: RunDir = None,
    listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="In place of the address in CONFIG.")
    ] = None,
    log_format: Annotated[
        LogFormat,
        typer.Option(help="How the log is written. auto: journal under systemd, else text."),
    ] = LogFormat.AUTO,
) -> None:
    """Run the farm, until Ctrl-C or SIGTERM."""
    argv = [sys.executable, "-P", "-m", "supervisor"]
    if config is not None:
        argv.append(str(config))
    if run_dir is not None:
        argv += ["--run-dir", str(run_dir)]
    if listen is not None:
        argv += ["--listen", listen]
    if log_format is not LogFormat.AUTO:
        argv += ["--log-format", log_format]
    # None is lost on the way to the supervisor, which lets them in (supervisor/__main__.py).
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    os.execv(sys.executable, argv)  # nosec B606 # this Python, with our own options


COMMAND = CommandSpec(
    "supervisor", run, example="tfarm supervisor /etc/tfarm/tfarm.toml --listen 0.0.0.0:1935"
)
