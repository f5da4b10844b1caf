"""Listening sockets on their way from a process to its successor (IO: a Unix socket).

Both have them from then on, as one queue of connections in the kernel: who connects is accepted by
either, and by the successor alone once its predecessor retires. So no connection is refused, and
none is lost that waits. The predecessor gives them to the process that the supervisor names
(`Successor`), and to nobody else.
"""

import argparse
import contextlib
import logging
import socket
import struct
import time
from collections.abc import Sequence
from typing import Final

from common.errors import BootFailed
from common.ipc.control_messages import Endpoint
from common.ipc.farm_socket import FarmSocket
from common.ipc.identity import BootId, ChildId
from common.ipc.socket_peers import SocketPeers

log = logging.getLogger("tfarm.common.ipc.listener_transfer")

MAGIC: Final = b"TFL1"
MAX_LISTENERS: Final = 64
TIMEOUT_S: Final = 5.0  # from the successor's start to the listeners
_SIZE: Final = struct.calcsize("i")


def add_listeners(parser: argparse.ArgumentParser) -> None:
    """Add the option of a child that takes the place of another."""
    parser.add_argument(
        "--listeners", metavar="PATH", help="take the listening sockets that are given away there"
    )


def inherited(arguments: argparse.Namespace) -> list[socket.socket]:
    """Return the listening sockets that the command line says to take. Raises BootFailed."""
    return take_listeners(arguments.listeners) if arguments.listeners else []


class ListenerShare:
    """The predecessor's end; listens until closed."""

    def __init__(self, child: ChildId, path: str, listeners: Sequence[socket.socket]) -> None:
        """`child` is this process. Raises OSError."""
        self._child = child
        self._listeners = tuple(listeners)
        self._socket = FarmSocket(path, SocketPeers("listeners"), self._give)

    def allow(self, pid: int) -> None:
        """Give the listeners to this process, and to no other."""
        self._socket.follow([Endpoint(self._child, BootId(""), pid=pid)])

    def listen_again(self) -> None:
        """Listen at the same path again if the socket's file is gone. Raises OSError."""
        self._socket.listen_again()

    def close(self) -> None:
        self._socket.close()

    def _give(self, link: socket.socket, pid: int) -> None:
        with link:
            descriptors = [sock.fileno() for sock in self._listeners if sock.fileno() >= 0]
            try:
                socket.send_fds(link, [MAGIC], descriptors[:MAX_LISTENERS])
            except OSError as error:
                log.warning("listeners not handed over reason=%s", error.strerror)
                return
        log.info("listeners handed over count=%d pid=%d", len(descriptors), pid)


def take_listeners(path: str, timeout_s: float = TIMEOUT_S) -> list[socket.socket]:
    """Return the listening sockets of a predecessor.

    Raises:
        BootFailed: it gives none, with the reason.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(timeout_s)
            _connect(link, path, timeout_s)
            data, descriptors = _receive(link)
    except OSError as error:
        reason = "it does not answer" if isinstance(error, TimeoutError) else error.strerror
        raise BootFailed(f"no listening sockets of the process before: {reason}") from error
    sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    if data != MAGIC or not sockets or not all(map(_is_listener, sockets)):
        for sock in sockets:
            sock.close()
        what = "it gave none" if data == MAGIC and not sockets else "it gave something else"
        raise BootFailed(f"no listening sockets of the process before: {what}")
    for sock in sockets:
        sock.setblocking(False)
    return sockets


def _connect(link: socket.socket, path: str, timeout_s: float) -> None:
    until_s = time.monotonic() + timeout_s
    while True:
        try:
            link.connect(path)
            return
        except BlockingIOError:  # its queue is full
            if time.monotonic() >= until_s:
                raise TimeoutError from None
            time.sleep(0.01)


def _receive(link: socket.socket) -> tuple[bytes, list[int]]:
    data, ancillary, _, _ = link.recvmsg(
        len(MAGIC), socket.CMSG_SPACE(MAX_LISTENERS * _SIZE), socket.MSG_CMSG_CLOEXEC
    )
    descriptors: list[int] = []
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            count = len(content) // _SIZE
            descriptors += struct.unpack(f"{count}i", content[: count * _SIZE])
    return data, descriptors


def _is_listener(sock: socket.socket) -> bool:
    with contextlib.suppress(OSError):
        is_ours = sock.family in (socket.AF_INET, socket.AF_INET6)
        return is_ours and bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    return False
