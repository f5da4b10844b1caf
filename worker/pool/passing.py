"""The way of a pool's memory from a worker to an encoder process (IO: Unix sockets).

One SEQPACKET connection from each worker. A packet is `MAGIC` and the pool's name, with its
descriptor as SCM_RIGHTS. It is sent before the message that names the pool (`EncoderOpen`), so it
lies in the socket when that message is handled: `take` finds it without a wait.

The connection's end is the worker's: what it passed is reported, as nothing will come for it.
Only the farm's workers connect (`common.ipc.farm_socket`). A pool is known by who passed it and its
name, so no worker reaches what another one has passed.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from common.ipc.control_messages import Endpoint
from common.ipc.endpoint import socket_path
from common.ipc.farm_socket import FarmSocket
from common.ipc.socket_peers import SocketPeers
from common.process.log import PeerLines, more

log = logging.getLogger("tfarm.worker.pool.passing")

MAGIC: Final = b"TFP1"
MAX_NAME_BYTES: Final = 64
MAX_POOLS: Final = 512  # that wait to be taken, of one worker
MAX_CONNECTIONS: Final = 8  # of one worker, which has one; those that it has left may be unread yet


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


@dataclass(slots=True)
class _Connection:
    """One worker's connection, and what it has passed."""

    pid: int
    names: set[str] = field(default_factory=set)  # of pools that are in use, or wait
    waiting: dict[str, int] = field(default_factory=dict)  # descriptors that nobody has taken yet


class PoolListener:
    """An encoder process's socket, and what workers have passed by it, each for itself."""

    def __init__(self, address: str, on_lost: Callable[[int, set[str]], None]) -> None:
        """`on_lost` gets a worker's process, and the names of all that it had passed, at its end.

        Raises OSError: the address cannot be bound.
        """
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._lines = PeerLines()
        self._connections: dict[socket.socket, _Connection] = {}
        self._socket = FarmSocket(
            socket_path(address), SocketPeers("pools"), self._add, kind=socket.SOCK_SEQPACKET
        )

    def follow(self, endpoints: Sequence[Endpoint]) -> None:
        """Take pools from the workers among the children that run now."""
        self._socket.follow(endpoints)

    def take(self, pid: int, name: str) -> int | None:
        """Return the descriptor of a pool that this process has passed; None: it never came.

        It is the caller's from now on.
        """
        found = self._pop(pid, name)
        if found is None:
            self._socket.accept()
            for link, connection in tuple(self._connections.items()):
                if connection.pid == pid:
                    self._read(link)
            found = self._pop(pid, name)
        return found

    def forget(self, pid: int, name: str) -> None:
        """A pool is not used any more."""
        for connection in self._of(pid):
            connection.names.discard(name)
        fd = self._pop(pid, name)
        if fd is not None:
            os.close(fd)

    def close(self) -> None:
        self._socket.close()
        for link in tuple(self._connections):
            self._close(link)

    def _of(self, pid: int) -> list[_Connection]:
        return [connection for connection in self._connections.values() if connection.pid == pid]

    def _pop(self, pid: int, name: str) -> int | None:
        for connection in self._of(pid):
            if name in connection.waiting:
                return connection.waiting.pop(name)
        return None

    def _add(self, link: socket.socket, pid: int) -> None:
        if len(self._of(pid)) >= MAX_CONNECTIONS:
            link.close()
            self._warn(pid, "too many of one worker")
            return
        self._connections[link] = _Connection(pid)
        self._loop.add_reader(link, self._read, link)

    def _read(self, link: socket.socket) -> None:
        while (connection := self._connections.get(link)) is not None:
            try:
                packet, fds, flags, _ = socket.recv_fds(
                    link, len(MAGIC) + MAX_NAME_BYTES, 1, socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return
            except OSError:
                packet, fds, flags = b"", [], 0
            if not packet:
                self._lose(link)
                return
            count = sum(len(other.waiting) for other in self._of(connection.pid))
            is_whole = not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC) and len(fds) == 1
            if is_whole and packet.startswith(MAGIC) and count < MAX_POOLS:
                name = packet[len(MAGIC) :].decode(errors="replace")
                before = self._pop(connection.pid, name)
                if before is not None:
                    os.close(before)
                connection.names.add(name)
                connection.waiting[name] = fds[0]
                continue
            for fd in fds:
                os.close(fd)
            self._warn(connection.pid, "no pool it is")
            self._lose(link)

    def _lose(self, link: socket.socket) -> None:
        connection = self._close(link)
        if connection.names:
            self._on_lost(connection.pid, connection.names)

    def _close(self, link: socket.socket) -> _Connection:
        self._loop.remove_reader(link)
        link.close()
        connection = self._connections.pop(link)
        for fd in connection.waiting.values():
            os.close(fd)
        connection.waiting.clear()
        return connection

    def _warn(self, pid: int, reason: str) -> None:
        if (held := self._lines.allow(pid, self._loop.time())) is not None:
            log.warning("a worker's connection closed reason=%s%s", reason, more(held))
