"""A child's command line. Pure."""

import argparse

from common.ipc.identity import ChildId, Role


def identity_arguments(child: ChildId) -> list[str]:
    """The options that tell a process which child it is; its module says the kind."""
    options = ["--index", str(child.index)]
    if child.device:
        options += ["--device", child.device]
    if child.role is not Role.NONE:
        options += ["--role", child.role.value]
    return options


def add_identity(parser: argparse.ArgumentParser) -> None:
    """Let a parser take `identity_arguments`."""
    parser.add_argument("--index", type=int, default=0, help="among the children of this kind")
    parser.add_argument("--device", default="", help="a worker's: cpu, or the UUID of a GPU")
    parser.add_argument("--role", type=Role, default=Role.NONE, choices=list(Role))


def identity_of(kind: str, arguments: argparse.Namespace) -> ChildId:
    """The child that the parsed arguments name."""
    return ChildId(kind, arguments.device, arguments.index, arguments.role)


def listen_address(text: str) -> tuple[str, int]:
    """HOST:PORT or [HOST]:PORT; port 0 is any free one."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)
