"""`python -P -m ingest --index 0 --run-dir DIR --listen HOST:PORT`: one ingest process.

Ctrl-C is the supervisor's alone; SIGTERM ends the process in order, also while it still starts.
"""

import signal
import sys
from types import FrameType


def _end_at_once(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)


signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, _end_at_once)

import argparse  # noqa: E402
from pathlib import Path  # noqa: E402

from common.ipc.child_arguments import add_identity, identity_of  # noqa: E402


def listen_address(text: str) -> tuple[str, int]:
    """HOST:PORT or [HOST]:PORT; port 0 is any free one."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m ingest", description="tfarm's ingest process")
    add_identity(parser)
    parser.add_argument("--run-dir", required=True, type=Path, help="the farm's run directory")
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
    parser.add_argument(
        "--orphan-timeout", type=float, default=30.0, help="seconds without a supervisor"
    )
    arguments = parser.parse_args()

    import uvloop

    from common.process import log, time_slice
    from ingest.run import run

    child = identity_of("ingest", arguments)
    log.set_up(str(child))
    time_slice.shorten()
    return uvloop.run(
        run(
            child,
            arguments.run_dir,
            arguments.listen,
            arguments.orphan_timeout,
            arguments.share_port,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
