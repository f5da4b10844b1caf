"""The process of streams that are fetched: `python -P -m ingest.pull --index 0 …`."""

from common.process.signals import hold_signals

hold_signals()

import argparse  # noqa: E402

from common.ipc.child import (  # noqa: E402
    ChildProcess,
    ChildService,
    Sandbox,
    child_parser,
    run_child,
)
from common.ipc.kinds import KINDS  # noqa: E402
from common.process.host_files import lookup_files  # noqa: E402
from common.process.sandbox import SandboxPaths  # noqa: E402

KIND = KINDS["pull"]
SANDBOX = Sandbox(SandboxPaths(read=lookup_files(), connects=True), modules=("ingest.pull.run",))


def build(process: ChildProcess, arguments: argparse.Namespace) -> ChildService:
    from ingest.pull.run import PullService

    return PullService(process)


if __name__ == "__main__":
    arguments = child_parser(KIND, __doc__).parse_args()
    run_child(KIND, arguments, build, confinement=SANDBOX)
