"""A Unix socket in the run directory on which other children of the farm connect (IO).

Which process connects is told by the kernel, and which child that is by the topology
(`common/ipc/socket_peers.py`). A process that the topology does not name yet waits a moment: it may
have started just now. A child that has no business here is turned away at once, and so is another
user's process.
"""

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable, Iterable
from typing import Final

from common.ipc.control_messages import Endpoint
from common.ipc.peer_credentials import is_trusted, peer_credentials
from common.ipc.socket_peers import PeerState, SocketPeers
from common.process.log import PeerLines, more

log = logging.getLogger("tfarm.common.ipc.farm_socket")

BACKLOG: Final = 1024
ACCEPTS: Final = 64  # a turn of the loop
FULL_WAIT_S: Final = 0.01  # without accepting, when no more may be
EXHAUSTED_WAIT_S: Final = 0.1  # … when there are no descriptors left
UNKNOWN_S: Final = 1.0
MAX_UNKNOWN: Final = 16


class FarmSocket:
    """Listens until closed; `take` gets the connections of those that may connect."""

    def __init__(
        self,
        path: str,
        peers: SocketPeers,
        take: Callable[[socket.socket, int], None],
        *,
        kind: socket.SocketKind = socket.SOCK_STREAM,
        may_accept: Callable[[], bool] = lambda: True,
        on_refused: Callable[[int, str], None] | None = None,
    ) -> None:
        """`take` is given the connection, which is its own from then on, and the process.

        While `may_accept` says no, connections wait in the backlog. `on_refused` is told of each
        process that was turned away, and why; process 0: nothing could be accepted. Without it that
        is logged.

        Raises OSError.
        """
        self._path = path
        self._peers = peers
        self._take = take
        self._kind = kind
        self._may_accept = may_accept
        self._on_refused = on_refused or self._log_refused
        self._loop = asyncio.get_running_loop()
        self._unknown: dict[socket.socket, int] = {}  # the process that connected; oldest first
        self._lines = PeerLines()
        self._listener = self._listen()

    @property
    def waiting(self) -> int:
        """Count of connections of processes that are not known yet."""
        return len(self._unknown)

    def follow(self, endpoints: Iterable[Endpoint]) -> None:
        """Take over which children run now: whoever waited to be known is taken, if it may be."""
        self._peers.follow(endpoints)
        for link, pid in tuple(self._unknown.items()):
            state = self._peers.state(pid)
            if state is not PeerState.UNKNOWN:
                del self._unknown[link]
                self._judge(link, pid, state)

    def accept(self) -> None:
        """Take what has connected by now, without waiting for the loop's turn."""
        if self._listener.fileno() >= 0:
            self._on_connections()

    def listen_again(self) -> None:
        """Listen at the same path again if the socket's file is gone. Raises OSError."""
        if self._listener.fileno() < 0 or os.path.lexists(self._path):
            return
        before, self._listener = self._listener, self._listen()
        self._loop.remove_reader(before.fileno())
        before.close()
        log.warning("listening again path=%s reason=the socket was removed", self._path)

    def close(self) -> None:
        """Stop listening and remove the socket's file, where this process may."""
        if self._listener.fileno() < 0:
            return
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()
        for link in self._unknown:
            link.close()
        self._unknown.clear()
        # a sandbox leaves no right to remove it; the supervisor removes what a dead child leaves
        with contextlib.suppress(FileNotFoundError, PermissionError):
            os.unlink(self._path)

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, self._kind)
        try:
            listener.setblocking(False)
            listener.bind(self._path)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
        self._loop.add_reader(listener.fileno(), self._on_connections)
        return listener

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener.fileno())
        self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener.fileno(), self._on_connections)

    def _on_connections(self) -> None:
        for _ in range(ACCEPTS):
            if not self._may_accept():
                self._pause(FULL_WAIT_S)
                return
            try:
                link, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._on_refused(0, error.strerror or str(error))
                self._pause(EXHAUSTED_WAIT_S)
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
            return
        state = self._peers.state(peer.pid)
        if state is not PeerState.UNKNOWN:
            self._judge(link, peer.pid, state)
            return
        if len(self._unknown) >= MAX_UNKNOWN:
            oldest = next(iter(self._unknown))
            self._turn_away(oldest, self._unknown.pop(oldest))
        self._unknown[link] = peer.pid
        self._loop.call_later(UNKNOWN_S, self._on_unknown_late, link)

    def _judge(self, link: socket.socket, pid: int, state: PeerState) -> None:
        if state is PeerState.ADMITTED:
            self._take(link, pid)
        else:
            self._turn_away(link, pid)

    def _on_unknown_late(self, link: socket.socket) -> None:
        if (pid := self._unknown.pop(link, None)) is not None:
            self._turn_away(link, pid)

    def _turn_away(self, link: socket.socket, pid: int) -> None:
        link.close()
        self._on_refused(pid, self._peers.why_not(pid))

    def _log_refused(self, pid: int, reason: str) -> None:
        held_back = self._lines.allow(pid, time.monotonic())
        if held_back is not None:
            name = os.path.basename(self._path)
            log.warning("connection refused socket=%s reason=%s%s", name, reason, more(held_back))
