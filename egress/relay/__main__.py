"""The process between hosts: `python -P -m egress.relay --index 0 --listen HOST:PORT …`."""

from common.process.signals import hold_signals

hold_signals()

import argparse  # noqa: E402
from pathlib import Path  # noqa: E402

from common.config.values import listen_address  # noqa: E402
from common.ipc.child import ChildProcess, ChildService, child_parser, run_child  # noqa: E402
from common.ipc.kinds import KINDS  # noqa: E402
from common.ipc.listener_transfer import add_listeners, inherited  # noqa: E402
from common.process.listening import bind  # noqa: E402

KIND = KINDS["relay"]


def build(process: ChildProcess, arguments: argparse.Namespace) -> ChildService:
    from egress.relay.run import RelayService

    listen = listen_address(arguments.listen)
    listeners = inherited(arguments) or bind(listen.host, listen.port)
    files = arguments.certificate, arguments.key, arguments.trusted
    return RelayService(process, listeners, *files)


def arguments() -> argparse.Namespace:
    parser = child_parser(KIND, __doc__)
    parser.add_argument("--listen", required=True, help="HOST:PORT")
    parser.add_argument("--certificate", required=True, type=Path, help="this host's, a PEM file")
    parser.add_argument("--key", required=True, type=Path, help="a PEM file")
    parser.add_argument("--trusted", required=True, type=Path, help="the cluster's CA, a PEM file")
    add_listeners(parser)
    return parser.parse_args()


if __name__ == "__main__":
    run_child(KIND, arguments(), build, collects_rarely=True)
