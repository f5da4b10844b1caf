"""The process that codes sound, started by the supervisor: `python -P -m worker.sound …`."""

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
from common.process.sandbox import SandboxPaths  # noqa: E402

KIND = KINDS["sound"]
SANDBOX = Sandbox(SandboxPaths(), modules=("worker.sound.run",))


def build(process: ChildProcess, arguments: argparse.Namespace) -> ChildService:
    from worker.sound.run import SoundService

    return SoundService(process)


if __name__ == "__main__":
    run_child(KIND, child_parser(KIND, __doc__).parse_args(), build, confinement=SANDBOX)
