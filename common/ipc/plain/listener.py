"""The plain socket beside a listener of media and tags (IO): who has connected by it.

What comes is handled by the listener (`common/ipc/media_listener.py`), in turns with all else.
"""

import itertools
import os
import socket
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

from common.ipc.bus import Receiver
from common.ipc.control_messages import Endpoint
from common.ipc.farm_socket import FarmSocket
from common.ipc.plain.connection import PlainConnection
from common.ipc.socket_peers import SocketPeers
from common.media.units import Data

MAX_CONNECTIONS: Final = 16  # of one process


class PlainPeer:
    """One who has connected; it is answered as one who did by ZeroMQ."""

    def __init__(
        self, listener: "PlainListener", sock: socket.socket, pid: int, number: int
    ) -> None:
        self.identity: Final = b"plain-%d" % number  # no name of ZeroMQ's, which begin with 0
        self.pid: Final = pid
        self._listener = listener
        self._connection = PlainConnection(sock, self._take, partial(listener.turn, self))

    @property
    def is_there(self) -> bool:
        return self._connection.has_peer

    def push(self, frames: Sequence[Data]) -> int:
        """Send; its name is in front."""
        return self._connection.push(frames[1:])

    def close(self) -> None:
        self._connection.close()

    def _take(self, frames: list[bytes]) -> None:
        self._listener.take(self, frames)


class PlainListener:
    """All who have connected."""

    def __init__(
        self,
        path: str,
        peers: SocketPeers,
        receiver: Receiver,
        on_denied: Callable[[int], None],
    ) -> None:
        """`receiver`: ZeroMQ's socket, which has what comes handled. `on_denied`: who may not come.

        Raises OSError.
        """
        self._receiver = receiver
        self._peers: dict[bytes, PlainPeer] = {}
        self._numbers = itertools.count(1)
        self._on_denied = on_denied
        self._socket = FarmSocket(
            path, peers, self._connected, on_refused=lambda pid, _: on_denied(pid)
        )

    def peer(self, identity: bytes) -> PlainPeer | None:
        """Who this is; None: nobody who connected here."""
        return self._peers.get(identity)

    def follow(self, endpoints: Iterable[Endpoint]) -> None:
        """Take over which children run now."""
        self._socket.follow(endpoints)

    def listen_again(self) -> None:
        """Bind the socket once more if its file was removed. Raises OSError."""
        self._socket.listen_again()

    def close(self) -> None:
        """End all."""
        self._socket.close()
        for peer in self._peers.values():
            peer.close()
        self._peers.clear()

    # ---- for the connections ------------------------------------------------------------------

    def take(self, peer: PlainPeer, frames: list[bytes]) -> None:
        """Something has come."""
        size = sum(map(len, frames))
        frames.insert(0, peer.identity)
        self._receiver.take(frames, size + len(peer.identity), os.geteuid(), peer.pid)

    def turn(self, peer: PlainPeer) -> None:
        """That was all of a read, or the connection has ended."""
        if not peer.is_there:
            self._peers.pop(peer.identity, None)
        if not self._receiver.closed:
            self._receiver.turn()

    def _connected(self, sock: socket.socket, pid: int) -> None:
        if sum(peer.pid == pid for peer in self._peers.values()) >= MAX_CONNECTIONS:
            sock.close()
            self._on_denied(pid)
            return
        peer = PlainPeer(self, sock, pid, next(self._numbers))
        self._peers[peer.identity] = peer
