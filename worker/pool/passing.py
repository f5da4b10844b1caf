"""The way of a pool's memory from a worker to an encoder process (IO: Unix sockets).

One SEQPACKET connection from each worker. A packet is `MAGIC` and the pool's name, with its
descriptor as SCM_RIGHTS. It is sent before the message that names the pool (`EncoderOpen`), so it
lies in the socket when that message is handled: `take` finds it without a wait.

The connection's end is the worker's: what it passed is reported, as nothing will come for it.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable
from typing import Final

from common.ipc.endpoint import socket_path
from common.process.log import RateLimit, more

log = logging.getLogger("tfarm.worker.pool.passing")

MAGIC: Final = b"TFP1"
MAX_NAME_BYTES: Final = 64
MAX_POOLS: Final = 512  # that wait to be taken, of one worker
_BACKLOG: Final = 128


class PoolSender:
    """A worker's connection to one encoder process; made when the first pool is sent."""

    def __init__(self, address: str) -> None:
        self._path = socket_path(address)
        self._socket: socket.socket | None = None

    def send(self, name: str, fd: int) -> bool:
        """Pass a pool's memory, without waiting; False: there is nobody to take it."""
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                self._socket.setblocking(False)
                self._socket.connect(self._path)
            socket.send_fds(self._socket, [MAGIC + name.encode()], [fd])
        except OSError as error:
            log.warning("pictures not shared address=%s reason=%s", self._path, error.strerror)
            self.close()
            return False
        return True

    def close(self) -> None:
        """End the connection: the encoder process drops what came by it."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class PoolListener:
    """An encoder process's socket, and what workers have passed by it."""

    def __init__(self, address: str, on_lost: Callable[[set[str]], None]) -> None:
        """`on_lost` gets the names of all that a worker had passed when it has ended.

        Raises OSError: the address cannot be bound.
        """
        self._on_lost = on_lost
        self._path = socket_path(address)
        self._loop = asyncio.get_running_loop()
        self._lines = RateLimit()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        try:
            self._socket.bind(self._path)
            self._socket.listen(_BACKLOG)
        except OSError:
            self._socket.close()
            raise
        self._names: dict[socket.socket, set[str]] = {}  # by connection
        self._waiting: dict[str, int] = {}  # descriptors that nobody has taken yet
        self._loop.add_reader(self._socket, self._accept)

    def take(self, name: str) -> int | None:
        """The descriptor of a pool, which is the caller's from now on; None: it never came."""
        if name not in self._waiting:
            self._accept()
            for connection in list(self._names):
                self._read(connection)
        return self._waiting.pop(name, None)

    def forget(self, name: str) -> None:
        """A pool is not used any more."""
        for names in self._names.values():
            names.discard(name)
        self._close_waiting(name)

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()
        for connection in list(self._names):
            self._close(connection)
        # a sandbox leaves no right to remove it; the supervisor removes what a dead child leaves
        with contextlib.suppress(FileNotFoundError, PermissionError):
            os.unlink(self._path)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:  # nobody else
                return
            connection.setblocking(False)
            self._names[connection] = set()
            self._loop.add_reader(connection, self._read, connection)

    def _read(self, connection: socket.socket) -> None:
        while connection in self._names:
            try:
                packet, fds, flags, _ = socket.recv_fds(
                    connection, len(MAGIC) + MAX_NAME_BYTES, 1, socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return
            except OSError:
                packet, fds, flags = b"", [], 0
            if not packet:
                self._lose(connection)
                return
            waiting = self._waiting.keys() & self._names[connection]
            is_whole = not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC) and len(fds) == 1
            if is_whole and packet.startswith(MAGIC) and len(waiting) < MAX_POOLS:
                name = packet[len(MAGIC) :].decode(errors="replace")
                self._close_waiting(name)
                self._names[connection].add(name)
                self._waiting[name] = fds[0]
                continue
            for fd in fds:
                os.close(fd)
            if (held := self._lines.allow(self._loop.time())) is not None:
                log.warning("a worker's connection closed reason=no pool it is%s", more(held))
            self._lose(connection)

    def _lose(self, connection: socket.socket) -> None:
        names = self._close(connection)
        if names:
            self._on_lost(names)

    def _close(self, connection: socket.socket) -> set[str]:
        self._loop.remove_reader(connection)
        connection.close()
        names = self._names.pop(connection)
        for name in names:
            self._close_waiting(name)
        return names

    def _close_waiting(self, name: str) -> None:
        fd = self._waiting.pop(name, None)
        if fd is not None:
            os.close(fd)
