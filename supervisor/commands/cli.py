"""The `tfarm` command. Heavy imports stand inside the commands, so that `--help` is quick.

Exit codes: 0 done; 1 the farm is not running or would not do it; 2 a bad command line or
configuration. What it asks a running farm goes through `client.py`; `tfarm supervisor` execs
`python -m supervisor`, so that the lasting process holds nothing of this one.
"""

import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from common.errors import ConfigError
from supervisor.commands import cli_devices
from supervisor.commands import config as config_command
from supervisor.commands.cli_farm import bad_config, fail, farm_dir
from supervisor.commands.version import VERSION

app = typer.Typer(
    name="tfarm",
    help="A live-transcoding farm: RTMP in, a ladder of renditions out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: rich would double the time of --help
)

RunDir = Annotated[
    Path | None,
    typer.Option(
        "--run-dir",
        help="The farm's run directory. Default: $RUNTIME_DIRECTORY, else $XDG_RUNTIME_DIR/tfarm, "
        "else /tmp/tfarm-UID; commands to a farm find that of systemd in /run/tfarm too.",
        show_default=False,
    ),
]
Config = Annotated[
    Path | None,
    typer.Argument(metavar="[CONFIG]", help="TOML file. Without one: the built-in farm."),
]

STOP_TIMEOUT_S = 30.0
DRAIN_TIMEOUT_S = 60.0  # a move takes as long as the next keyframe and a second
POLL_S = 0.25


def main() -> None:
    """The console script."""
    app()


@app.callback(invoke_without_command=True)
def top(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"tfarm {VERSION}")
        raise typer.Exit


@app.command()
def supervisor(
    config: Config = None,
    run_dir: RunDir = None,
    listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="In place of the configuration's.")
    ] = None,
) -> None:
    """Run the farm, until Ctrl-C or SIGTERM."""
    argv = [sys.executable, "-P", "-m", "supervisor"]
    if config is not None:
        argv.append(str(config))
    if run_dir is not None:
        argv += ["--run-dir", str(run_dir)]
    if listen is not None:
        argv += ["--listen", listen]
    os.execv(sys.executable, argv)


@app.command()
def status(
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


@app.command()
def check(config: Annotated[Path, typer.Argument(help="TOML file.")]) -> None:
    """Check a configuration file. Every fault is named by its key's path.

    What it says of GPUs and templates that are not there is a warning.
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
        f"{template.name} ({len(template.renditions)} renditions)"
        for template in settings.templates
    )
    typer.echo(f"OK: {config}: {apps}")


@app.command()
def demo(
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


@app.command()
def stop(run_dir: RunDir = None) -> None:
    """End the farm, and wait until it has ended."""
    import json

    from supervisor.commands.client import CommandFailed, NotRunning, ask
    from supervisor.processes.run_dir import wait_gone

    try:
        answer = ask(farm_dir(run_dir), "stop")
        pid = int(json.loads(answer.json)["pid"])
    except (NotRunning, CommandFailed) as error:
        fail(error)
    if not wait_gone(pid, STOP_TIMEOUT_S):
        fail(f"the farm has not ended within {STOP_TIMEOUT_S:g} s (supervisor pid {pid})")
    typer.echo("stopped")


@app.command()
def reload(run_dir: RunDir = None) -> None:
    """Read the configuration again; say which keys changed."""
    _ask_and_say(run_dir, "reload")


@app.command()
def kick(stream: Annotated[str, typer.Argument(metavar="APP/KEY")], run_dir: RunDir = None) -> None:
    """End a stream, or let in again one that is refused.

    One that is ended stays out for 30 s; one that took workers down is refused for some minutes.
    """
    app_name, slash, key = stream.partition("/")
    if not (slash and app_name and key):
        raise typer.BadParameter("must be APP/KEY", param_hint="APP/KEY")
    _ask_and_say(run_dir, "kick", app=app_name, key=key)


Device = Annotated[
    str | None,
    typer.Argument(metavar="[DEVICE]", help="cpu:N, or a GPU's UUID or PCI id, as in status."),
]


@app.command()
def drain(
    device: Device = None,
    every: Annotated[bool, typer.Option("--all", help="Take no new streams at all.")] = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            metavar="SECONDS",
            help="DEVICE: wait this long for room. --all: end what still runs then.",
        ),
    ] = None,
    run_dir: RunDir = None,
) -> None:
    """Move all streams off a device, or let the farm run empty. `undrain` ends that.

    Exit code 1 when streams are left on the device, with the reason.
    """
    if every == (device is not None):
        raise typer.BadParameter("give either a device or --all", param_hint="DEVICE")
    if device is not None:
        _drain_device(run_dir, device, timeout)
    else:
        _drain_all(run_dir, timeout)


def _drain_device(run_dir: Path | None, device: str, timeout: float | None) -> None:
    began = time.monotonic()
    told: set[tuple[str, str]] = set()
    while True:
        left = _ask_for(run_dir, "drain", device=device)
        stuck = 0
        for entry in left["streams"]:
            stream, reason = entry["stream"], entry["reason"]
            stuck += bool(reason) and not entry["moves_later"]
            if reason and (stream, reason) not in told:
                what = f"{stream} waits" if entry["moves_later"] else f"no room for {stream}"
                typer.echo(f"{what}: {reason}")
                told.add((stream, reason))
        if not left["streams"] and not left["sessions"]:
            typer.echo(f"{device} is drained; `tfarm undrain {device}` makes it take streams again")
            return
        is_stuck = stuck == len(left["streams"]) == left["sessions"]
        waited = time.monotonic() - began
        if waited >= (DRAIN_TIMEOUT_S if timeout is None else timeout) or (
            is_stuck and timeout is None
        ):
            fail(f"{device} takes no new streams, and {left['sessions']} are left on it")
        time.sleep(POLL_S)


def _drain_all(run_dir: Path | None, timeout: float | None) -> None:
    arguments = {} if timeout is None else {"timeout": str(timeout)}
    told = -1
    while True:
        count = _ask_for(run_dir, "drain", **arguments)["streams"]
        arguments = {}  # the supervisor keeps the time, whatever becomes of this process
        if count == 0:
            typer.echo("no stream is left; `tfarm undrain --all` makes the farm take streams again")
            return
        if count != told:
            typer.echo(f"{count} streams are left")
            told = count
        time.sleep(POLL_S)


@app.command()
def undrain(
    device: Device = None,
    every: Annotated[bool, typer.Option("--all", help="All devices, and the farm.")] = False,
    run_dir: RunDir = None,
) -> None:
    """Let a drained device, or the whole farm, take streams again."""
    if every == (device is not None):
        raise typer.BadParameter("give either a device or --all", param_hint="DEVICE")
    _ask_and_say(run_dir, "undrain", **({"device": device} if device is not None else {}))


@app.command()
def rebalance(run_dir: RunDir = None) -> None:
    """Even out the load of the devices by moving streams. Players notice nothing."""
    _ask_and_say(run_dir, "rebalance")


def _ask_for(run_dir: Path | None, name: str, **arguments: str) -> dict[str, Any]:
    """A command's document."""
    import json

    from supervisor.commands.client import CommandFailed, NotRunning, ask

    try:
        document: dict[str, Any] = json.loads(ask(farm_dir(run_dir), name, arguments).json)
    except (NotRunning, CommandFailed) as error:
        fail(error)
    return document


def _ask_and_say(run_dir: Path | None, name: str, **arguments: str) -> None:
    from supervisor.commands.client import CommandFailed, NotRunning, ask

    try:
        typer.echo(ask(farm_dir(run_dir), name, arguments).text)
    except (NotRunning, CommandFailed) as error:
        fail(error)


cli_devices.add_to(app)
app.command()(config_command.config)
