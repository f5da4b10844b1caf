"""`tfarm capture`: write what a publisher sent lately to a file (IO)."""

import os
import shutil
import stat
import time
from pathlib import Path
from typing import Annotated

import typer

from supervisor.commands.line.command import Arguments, CommandSpec, Reply, RunningFarm
from supervisor.commands.line.options import RunDir, ask_for, fail, farm_dir

POLL_S = 0.1
TIMEOUT_S = 60.0  # to write a file


def run(
    stream: Annotated[str, typer.Argument(metavar="APP/KEY", help="The stream, as in status.")],
    headers_only: Annotated[
        bool,
        typer.Option("--headers-only", help="Leave pictures and sound out."),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Where to put it. Default: the farm's directory for captures.",
        ),
    ] = None,
    run_dir: RunDir = None,
) -> None:
    """Write the last minute of what a publisher sent to a file.

    It holds pictures and sound, unless --headers-only. `tfarm replay` publishes it again.
    """
    app_name, slash, key = stream.partition("/")
    if not (slash and app_name and key):
        raise typer.BadParameter("must be APP/KEY", param_hint="APP/KEY")
    if output is not None and output.exists():
        fail(f"{output} is there already")
    asked = ask_for(
        run_dir, "capture", app=app_name, key=key, headers_only="yes" if headers_only else ""
    )
    deadline_s = time.monotonic() + TIMEOUT_S
    while True:
        result = ask_for(run_dir, "capture", request=str(asked["request"]))
        if not result["is_waiting"]:
            break
        if time.monotonic() > deadline_s:
            fail(f"the file is not written after {TIMEOUT_S:g} s")
        time.sleep(POLL_S)
    path = Path(result["path"])
    if output is not None:
        path = _move(path, output, farm_dir(run_dir).stat().st_uid)
    typer.echo(f"{path}: {result['seconds']:.1f} s, {result['size_bytes']} bytes")


def _move(path: Path, output: Path, owner: int) -> Path:
    """Move the file, which may be to another disk, and stays closed to others.

    Where it is, is what the farm says: no file is taken that another user than the farm's has.
    """
    folder = -1
    try:
        # by its folder, which then stays the same whatever becomes of the path
        folder = os.open(path.parent, os.O_DIRECTORY)
        here = os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        with os.fdopen(here, "rb") as file:
            found = os.fstat(here)
            if not stat.S_ISREG(found.st_mode) or found.st_uid != owner:
                fail(f"{path} is no file of the farm's")
            descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as there:
                shutil.copyfileobj(file, there)
        os.unlink(path.name, dir_fd=folder)
    except OSError as error:
        fail(f"{path} stays where it is: {error}")
    finally:
        if folder >= 0:
            os.close(folder)
    return output


def answer(farm: RunningFarm, arguments: Arguments) -> Reply:
    """Begin to write one, or with `request` say what became of it."""
    request = arguments.get("request", "")
    if request:
        if not request.isdecimal():
            return Reply(False, "the request is no number")
        return Reply(*farm.operations.capture_result(int(request[:18])))
    return Reply(
        *farm.operations.capture(
            arguments.get("app", ""),
            arguments.get("key", ""),
            headers_only=bool(arguments.get("headers_only")),
        )
    )


COMMAND = CommandSpec("capture", run, answer, example="tfarm capture live/cam1 -o cam1.tfcap")
