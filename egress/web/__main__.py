"""The process for viewers by HTTP: `python -P -m egress.web --index 0 --listen HOST:PORT …`."""

from common.process.signals import hold_signals

hold_signals()

import argparse  # noqa: E402

from common.config.values import listen_address  # noqa: E402
from common.ipc.child import ChildProcess, ChildService, child_parser, run_child  # noqa: E402
from common.ipc.kinds import KINDS  # noqa: E402
from common.ipc.listener_transfer import add_listeners, inherited  # noqa: E402

KIND = KINDS["web"]


def build(process: ChildProcess, arguments: argparse.Namespace) -> ChildService:
    from egress.web.run import WebService

    return WebService(
        process,
        listen_address(arguments.listen),
        inherited(arguments),
        is_shared=arguments.share_port,
    )


def arguments() -> argparse.Namespace:
    parser = child_parser(KIND, __doc__)
    parser.add_argument("--listen", required=True, help="HOST:PORT")
    parser.add_argument(
        "--share-port", action="store_true", help="other web processes listen there too"
    )
    add_listeners(parser)
    return parser.parse_args()


if __name__ == "__main__":
    run_child(KIND, arguments(), build, collects_rarely=True)
