"""A Unix socket in the run directory on which other children of the farm connect (IO).

Which process connects is told by the kernel. One that the topology does not name yet waits a
moment: it may have started just now. Others are turned away.
"""

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable, Set
from typing import Final

from common.ipc.peer_credentials import is_trusted, peer_credentials
from common.process.log import PeerLines, more

log = logging.getLogger("tfarm.common.ipc.farm_socket")

BACKLOG: Final = 1024
ACCEPTS: Final = 64  # a turn of the loop
EXHAUSTED_WAIT_S: Final = 0.1  # without accepting, when there are no descriptors left
UNKNOWN_S: Final = 1.0
MAX_UNKNOWN: Final = 16


class FarmSocket:
    """Listens until closed; `take` gets the connections of the processes that are followed."""

    def __init__(self, path: str, take: Callable[[socket.socket], None]) -> None:
        """Raises OSError."""
        self._path = path
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._known: Set[int] = frozenset()  # processes
        self._unknown: dict[socket.socket, int] = {}  # the process that connected; oldest first
        self._lines = PeerLines()
        self._listener = self._listen()

    def follow(self, processes: Set[int]) -> None:
        """Take connections of these processes; 0 among them stands for any."""
        self._known = processes
        for link, pid in tuple(self._unknown.items()):
            if self._is_known(pid):
                del self._unknown[link]
                self._take(link)

    def listen_again(self) -> None:
        """Listen at the same path again if the socket's file is gone. Raises OSError."""
        if self._listener.fileno() < 0 or os.path.lexists(self._path):
            return
        before, self._listener = self._listener, self._listen()
        self._loop.remove_reader(before.fileno())
        before.close()
        log.warning("listening again path=%s reason=the socket was removed", self._path)

    def close(self) -> None:
        """Stop listening and remove the socket's file."""
        if self._listener.fileno() < 0:
            return
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()
        for link in self._unknown:
            link.close()
        self._unknown.clear()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.setblocking(False)
            listener.bind(self._path)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
        self._loop.add_reader(listener.fileno(), self._on_connections)
        return listener

    def _resume(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener.fileno(), self._on_connections)

    def _on_connections(self) -> None:
        for _ in range(ACCEPTS):
            try:
                link, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._warn(0, f"accepting failed: {error.strerror}")
                self._loop.remove_reader(self._listener.fileno())
                self._loop.call_later(EXHAUSTED_WAIT_S, self._resume)
                return
            link.setblocking(False)
            self._on_connection(link)

    def _on_connection(self, link: socket.socket) -> None:
        try:
            peer = peer_credentials(link)
        except OSError:
            link.close()
            return
        if not is_trusted(peer.uid):
            self._turn_away(link, peer.pid)
        elif self._is_known(peer.pid):
            self._take(link)
        else:
            if len(self._unknown) >= MAX_UNKNOWN:
                oldest = next(iter(self._unknown))
                self._turn_away(oldest, self._unknown.pop(oldest))
            self._unknown[link] = peer.pid
            self._loop.call_later(UNKNOWN_S, self._on_unknown_late, link)

    def _on_unknown_late(self, link: socket.socket) -> None:
        if (pid := self._unknown.pop(link, None)) is not None:
            self._turn_away(link, pid)

    def _turn_away(self, link: socket.socket, pid: int) -> None:
        link.close()
        self._warn(pid, f"process {pid} is none of this farm that connects here")

    def _is_known(self, pid: int) -> bool:
        return pid in self._known or 0 in self._known

    def _warn(self, pid: int, reason: str) -> None:
        held_back = self._lines.allow(pid, time.monotonic())
        if held_back is not None:
            name = os.path.basename(self._path)
            log.warning("connection refused socket=%s reason=%s%s", name, reason, more(held_back))
