"""Clients with TLS, by way of the `https` child (IO: a Unix socket).

Each connection begins with a PROXY protocol header, which says whose it is.
"""

import logging
import socket
import time
from collections.abc import Callable, Iterable
from typing import Final

from common.ipc.control_messages import Endpoint
from common.ipc.endpoint import socket_path
from common.ipc.farm_socket import FarmSocket
from common.ipc.socket_peers import SocketPeers
from common.process.log import RateLimit, more
from common.process.proxy_headers import ProxyHeaders

log = logging.getLogger("tfarm.egress.web.decrypted")

SOCKET: Final = "decrypted"


class DecryptedClients:
    """The socket on which they come."""

    def __init__(self, address: str, adopt: Callable[[socket.socket, str], None]) -> None:
        """`adopt` is given each connection with HOST:PORT of whose it is. Raises OSError."""
        self._adopt = adopt
        self._headers = ProxyHeaders()
        self._lines = RateLimit()
        self._socket = FarmSocket(socket_path(address), SocketPeers(SOCKET), self._take)

    def follow(self, endpoints: Iterable[Endpoint]) -> None:
        """These children run."""
        self._socket.follow(endpoints)

    def listen_again(self) -> None:
        """Listen at the same path again if the socket's file is gone. Raises OSError."""
        self._socket.listen_again()

    def close(self) -> None:
        """Take no more."""
        self._socket.close()
        self._headers.close()

    def _take(self, link: socket.socket, _: int) -> None:
        self._headers.take(
            link, "https", lambda sock, _host, peer: self._adopt(sock, peer), self._on_failed
        )

    def _on_failed(self, reason: str) -> None:
        if reason and (held := self._lines.allow(time.monotonic())) is not None:
            log.warning(
                "a connection of the https process was closed reason=%s%s", reason, more(held)
            )
