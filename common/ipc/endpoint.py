"""Addresses of the sockets that children bind in the run directory: media, tags, handovers. Pure.

Each incarnation of a child binds names of its own (child and boot id), which are never bound again:
what was meant for it can't reach its successor. Others learn them from the supervisor alone.
"""

import os
import re
from pathlib import Path
from typing import Final

from common.ipc.identity import BootId, ChildId

IPC: Final = "ipc://"  # ZeroMQ's: media and tags
UNIX: Final = "unix://"  # a plain socket: the handover of connections


def endpoint(run_dir: Path, child: ChildId, boot_id: BootId, name: str, scheme: str = IPC) -> str:
    """A fresh address for the socket `name` of one incarnation of a child.

    Raises:
        ValueError: the path is longer than a Unix socket path may be (107 bytes).
    """
    # GPU UUIDs are 40 characters; their first block tells GPUs of a host apart well enough with
    # the boot id beside it.
    file_name = re.sub(r"[^a-zA-Z0-9]+", "-", str(child))[:24]
    path = str(run_dir / f"{file_name}-{boot_id}.{name}")
    if len(os.fsencode(path)) > 100:
        raise ValueError(f"run directory too long for socket names (100 bytes): {path}")
    return scheme + path


def plain_path(address: str) -> str:
    """The path of the plain socket beside one of ZeroMQ's, where there is one."""
    return socket_path(address) + "_plain"


def socket_path(address: str) -> str:
    """The path of the socket that an address names."""
    return address.removeprefix(IPC).removeprefix(UNIX)
