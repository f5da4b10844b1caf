"""The process that ends TLS: `python -P -m ingest.tls --listen HOST:PORT --certificate FILE …`."""

from common.process.signals import hold_signals

hold_signals()

import argparse  # noqa: E402
from pathlib import Path  # noqa: E402

from common.ipc.child import (  # noqa: E402
    ChildProcess,
    ChildService,
    Sandbox,
    child_parser,
    run_child,
)
from common.ipc.child_arguments import listen_address  # noqa: E402
from common.ipc.kinds import KINDS  # noqa: E402
from common.ipc.listener_transfer import add_listeners, inherited  # noqa: E402
from common.process.sandbox import SandboxPaths  # noqa: E402

KIND = KINDS["tls"]
# What the name of a host to listen on is looked up in.
NAMES = tuple(
    Path("/etc") / name
    for name in ("hosts", "nsswitch.conf", "host.conf", "resolv.conf", "gai.conf")
)


def arguments_of(parser: argparse.ArgumentParser) -> argparse.Namespace:
    parser.add_argument(
        "--listen",
        required=True,
        type=listen_address,
        metavar="HOST:PORT",
        help="where clients connect",
    )
    parser.add_argument("--certificate", required=True, type=Path, help="a PEM file")
    parser.add_argument("--key", required=True, type=Path, help="a PEM file")
    parser.add_argument(
        "--named",
        action="append",
        default=[],
        type=named,
        metavar="NAME=FILE",
        help="for clients that ask for this name: a PEM file with certificate and key",
    )
    add_listeners(parser)
    return parser.parse_args()


def named(text: str) -> tuple[str, Path]:
    """Read NAME=FILE."""
    name, equals, file = text.partition("=")
    if not (name and equals and file):
        raise argparse.ArgumentTypeError(f"no NAME=FILE: {text}")
    return name, Path(file)


def directories(*files: Path) -> tuple[Path, ...]:
    """Return where the files are, and where those are that they are links to.

    A file that is replaced is another one for the sandbox, its directory is not.
    """
    found = [path for file in files for path in (file.absolute().parent, file.resolve().parent)]
    return tuple(dict.fromkeys(found))


def build(process: ChildProcess, arguments: argparse.Namespace) -> ChildService:
    from ingest.tls.certificate import Certificates
    from ingest.tls.run import TlsFront

    certificates = Certificates(arguments.certificate, arguments.key, dict(arguments.named))
    return TlsFront(process, arguments.listen, certificates, inherited(arguments))


if __name__ == "__main__":
    ARGUMENTS = arguments_of(child_parser(KIND, __doc__))
    FILES = (ARGUMENTS.certificate, ARGUMENTS.key, *dict(ARGUMENTS.named).values())
    SANDBOX = Sandbox(
        SandboxPaths(read=(*directories(*FILES), *NAMES), listens=True),
        modules=("ingest.tls.run",),
    )
    run_child(KIND, ARGUMENTS, build, confinement=SANDBOX, collects_rarely=True)
