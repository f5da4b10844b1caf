"""The process that copies recordings to buckets: `python -P -m egress.upload --directory DIR …`."""

from common.process.signals import hold_signals

hold_signals()

import argparse  # noqa: E402
import os  # noqa: E402
from pathlib import Path  # noqa: E402

from common.ipc.child import (  # noqa: E402
    ChildProcess,
    ChildService,
    Sandbox,
    child_parser,
    run_child,
)
from common.ipc.kinds import KINDS  # noqa: E402
from common.process.host_files import directories, lookup_files  # noqa: E402
from common.process.sandbox import SandboxPaths  # noqa: E402

KIND = KINDS["upload"]
NICE = 5  # those who send to viewers come first


def build(process: ChildProcess, arguments: argparse.Namespace) -> ChildService:
    from egress.upload.credentials import taken_from
    from egress.upload.run import UploadService

    os.nice(NICE)
    return UploadService(process, taken_from(os.environ))


def parser() -> argparse.ArgumentParser:
    made = child_parser(KIND, __doc__)
    made.add_argument("--directory", action="append", type=Path, default=[], help="it reads there")
    made.add_argument("--file", action="append", type=Path, default=[], help="it reads this one")
    return made


def sandbox_of(folders: list[Path], files: list[Path]) -> Sandbox:
    """Its own code, what a name is looked up in, and these."""
    read = (*lookup_files(), *directories(*files))
    paths = SandboxPaths(read=read, write=tuple(folders), connects=True)
    return Sandbox(paths, modules=("egress.upload.run",))


if __name__ == "__main__":
    arguments = parser().parse_args()
    run_child(KIND, arguments, build, confinement=sandbox_of(arguments.directory, arguments.file))
