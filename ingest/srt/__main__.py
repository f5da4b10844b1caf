"""The process of publishers by SRT: `python -P -m ingest.srt --listen HOST:PORT …`."""

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
from common.ipc.child_arguments import listen_address  # noqa: E402
from common.ipc.kinds import KINDS  # noqa: E402
from common.process.sandbox import SandboxPaths  # noqa: E402

KIND = KINDS["srt"]
SANDBOX = Sandbox(SandboxPaths(), modules=("ingest.srt.run",))


def arguments_of(parser: argparse.ArgumentParser) -> argparse.Namespace:
    parser.add_argument(
        "--listen",
        required=True,
        type=listen_address,
        metavar="HOST:PORT",
        help="where publishers connect",
    )
    parser.add_argument(
        "--latency", type=int, default=120, metavar="MS", help="that is kept at least"
    )
    return parser.parse_args()


def build(process: ChildProcess, arguments: argparse.Namespace) -> ChildService:
    from ingest.srt.run import SrtService

    return SrtService(process, arguments.listen, arguments.latency)


if __name__ == "__main__":
    run_child(KIND, arguments_of(child_parser(KIND, __doc__)), build, confinement=SANDBOX)
