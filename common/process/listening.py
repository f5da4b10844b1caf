"""Listening sockets (IO): binding them, and accepting so that nobody waits for it."""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Sequence
from typing import Final

log = logging.getLogger("tfarm.common.process.listening")

BACKLOG: Final = 4096
ACCEPTS: Final = 16  # a turn of the loop
PAUSE_S: Final = 0.1  # without accepting, when the host has no descriptors left
_NO_FAMILY: Final = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
_NO_ROOM: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def bind(host: str, port: int, *, is_shared: bool = False) -> list[socket.socket]:
    """Listening sockets for an address, which may be a name; connections wait in the backlog.

    `is_shared`: other processes of this user listen there too, each for a part of the connections.

    Raises:
        OSError: the address cannot be used, with the address in its text.
    """
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, _, _, _, address in dict.fromkeys(found):
            if sockets and port == 0:
                address = (address[0], sockets[0].getsockname()[1], *address[2:])
            try:
                sockets.append(_listener(family, address, is_shared))
            except OSError as error:
                # a name for both families, on a host with one
                if error.errno not in _NO_FAMILY or (not sockets and len(found) == 1):
                    raise
        if not sockets:
            raise OSError(errno.EADDRNOTAVAIL, "no such address on this host")
    except OSError as error:
        for sock in sockets:
            sock.close()
        why = error.strerror or str(error)
        raise OSError(error.errno, f"cannot listen on {join_address(host, port)}: {why}") from error
    return sockets


def _listener(family: int, address: tuple[object, ...], is_shared: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def join_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Acceptor:
    """Accepts the connections of some listening sockets, which it owns, from `start` on."""

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        take: Callable[[socket.socket, str, str], None],
    ) -> None:
        """`take` gets each connection, its peer's host, and host and port for messages."""
        self._listeners = list(listeners)
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._paused: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        return bool(self._listeners)

    def start(self) -> None:
        """Accept connections."""
        for listener in self._listeners:
            self._loop.add_reader(listener.fileno(), self._accept, listener)

    def close(self) -> None:
        """Accept no more."""
        if self._paused is not None:
            self._paused.cancel()
        for listener in self._listeners:
            self._loop.remove_reader(listener.fileno())
            listener.close()
        self._listeners.clear()

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTS):
            try:
                sock, address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno in _NO_ROOM:
                    log.error("accepting paused reason=%s", error.strerror)
                    self._pause()
                    return
                raise
            self._take(sock, address[0], join_address(address[0], address[1]))

    def _pause(self) -> None:
        for listener in self._listeners:
            self._loop.remove_reader(listener.fileno())
        self._paused = self._loop.call_later(PAUSE_S, self.start)
