"""The process that writes recordings: `python -P -m egress.record --directory DIR …`."""

from common.process.signals import hold_signals

hold_signals()

import argparse  # noqa: E402
import contextlib  # noqa: E402
from pathlib import Path  # noqa: E402

from common.ipc.child import (  # noqa: E402
    ChildProcess,
    ChildService,
    Sandbox,
    child_parser,
    run_child,
)
from common.ipc.kinds import KINDS  # noqa: E402
from common.process.sandbox import SandboxPaths  # noqa: E402

KIND = KINDS["record"]


def build(process: ChildProcess, arguments: argparse.Namespace) -> ChildService:
    from egress.record.run import RecordService

    return RecordService(process, tuple(arguments.directory))


def parser() -> argparse.ArgumentParser:
    made = child_parser(KIND, __doc__)
    made.add_argument("--directory", action="append", type=Path, default=[], help="it writes there")
    return made


def sandbox_of(directories: list[Path]) -> Sandbox:
    """Its own code and these directories, which are made if they are not there."""
    for directory in directories:
        with contextlib.suppress(OSError):  # each attempt to write says why
            directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    return Sandbox(SandboxPaths(write=tuple(directories)), modules=("egress.record.run",))


if __name__ == "__main__":
    arguments = parser().parse_args()
    run_child(KIND, arguments, build, confinement=sandbox_of(arguments.directory))
