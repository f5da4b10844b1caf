"""Whose process is at the other end of a Unix socket, as the kernel tells (IO: SO_PEERCRED)."""

import os
import socket
import struct
from dataclasses import dataclass
from typing import Final

_UCRED: Final = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class PeerCredentials:
    """Of who connected, as it was then; or of who listens, as it was at its listen()."""

    pid: int
    uid: int


def peer_credentials(link: socket.socket) -> PeerCredentials:
    """Return the peer of a connected Unix socket. Raises OSError."""
    pid, uid, _ = _UCRED.unpack(link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return PeerCredentials(pid, uid)


def is_trusted(uid: int) -> bool:
    """Tell if that user may do here whatever this one may: the same, or root."""
    return uid in (0, os.geteuid())
