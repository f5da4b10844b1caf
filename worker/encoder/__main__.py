"""One encoder process, started by the supervisor: `python -P -m worker.encoder --index 0 …`."""

from common.process.signals import hold_signals

hold_signals()

import argparse  # noqa: E402
import sys  # noqa: E402

from common.ipc.child import (  # noqa: E402
    ChildProcess,
    ChildService,
    Sandbox,
    child_parser,
    run_child,
)
from common.ipc.kinds import KINDS  # noqa: E402
from common.process.sandbox import SandboxPaths  # noqa: E402

KIND = KINDS["encoder"]
SANDBOX = Sandbox(SandboxPaths(), modules=("worker.encoder.run",))


def build(process: ChildProcess, arguments: argparse.Namespace) -> ChildService:
    from worker.encoder.run import SWITCH_INTERVAL_S, EncoderService

    sys.setswitchinterval(SWITCH_INTERVAL_S)
    return EncoderService(process, max(1, arguments.threads), max(1, arguments.share))


def main() -> None:
    parser = child_parser(KIND, __doc__)
    parser.add_argument("--threads", type=int, default=1, help="of an x264 encoder")
    parser.add_argument("--share", type=int, default=1, help="processes that the cores are for")
    run_child(KIND, parser.parse_args(), build, confinement=SANDBOX)


if __name__ == "__main__":
    main()
