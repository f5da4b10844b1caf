"""How a process that ends TLS starts: its options, its sandbox, and what it serves (IO)."""

import argparse
from pathlib import Path
from typing import NoReturn

from common.ipc.child import (
    ChildProcess,
    ChildService,
    Sandbox,
    child_parser,
    run_child,
)
from common.ipc.child_arguments import listen_address
from common.ipc.kinds import KINDS
from common.ipc.listener_transfer import add_listeners, inherited
from common.process.host_files import directories
from common.process.sandbox import SandboxPaths

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


def main(kind: str, serves: str, description: str | None) -> NoReturn:
    """Run a child of this kind, whose clients go to the children of the kind that it serves."""
    arguments = arguments_of(child_parser(KINDS[kind], description))

    def build(process: ChildProcess, arguments: argparse.Namespace) -> ChildService:
        from ingest.tls.certificate import Certificates
        from ingest.tls.run import TlsFront

        certificates = Certificates(arguments.certificate, arguments.key, dict(arguments.named))
        return TlsFront(process, arguments.listen, certificates, inherited(arguments), serves)

    files = (arguments.certificate, arguments.key, *dict(arguments.named).values())
    confinement = Sandbox(
        SandboxPaths(read=(*directories(*files), *NAMES), listens=True),
        modules=("ingest.tls.run",),
    )
    run_child(KINDS[kind], arguments, build, confinement=confinement, collects_rarely=True)
