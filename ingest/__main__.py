"""One ingest process: `python -P -m ingest --index 0 --run-dir DIR --listen HOST:PORT`."""

from common.process.signals import hold_signals

hold_signals()

import argparse  # noqa: E402

from common.ipc.child import ChildProcess, ChildService, child_parser, run_child  # noqa: E402
from common.ipc.child_arguments import listen_address  # noqa: E402
from common.ipc.kinds import KINDS  # noqa: E402
from common.ipc.listener_transfer import add_listeners, inherited  # noqa: E402
from common.process.standby import wait_for_order  # noqa: E402

KIND = KINDS["ingest"]


def arguments_of(parser: argparse.ArgumentParser) -> argparse.Namespace:
    parser.add_argument(
        "--listen",
        required=True,
        action="append",
        type=listen_address,
        metavar="HOST:PORT",
        help="where to listen; may be given several times",
    )
    parser.add_argument(
        "--share-port", action="store_true", help="other ingest processes listen there too"
    )
    add_listeners(parser)
    return parser.parse_args()


def build(process: ChildProcess, arguments: argparse.Namespace) -> ChildService:
    from ingest.run import Ingest

    return Ingest(
        process,
        arguments.listen,
        is_shared=arguments.share_port,
        inherited=inherited(arguments),
    )


if __name__ == "__main__":
    wait_for_order(("uvloop", "ingest.run"))
    run_child(KIND, arguments_of(child_parser(KIND, __doc__)), build, collects_rarely=True)
