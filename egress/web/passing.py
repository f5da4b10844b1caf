"""Requests that another `web` process answers, and those of others here (IO: aiohttp, sockets).

A request goes with its connection, so what is asked there next comes to the right process at once.
"""

import socket
from collections.abc import Callable, Iterable
from typing import Final

from aiohttp import web

from common.errors import EnvelopeError
from common.http.handover import NotHandedOver, hand_over
from common.ipc.control_messages import Endpoint
from common.ipc.endpoint import socket_path
from common.ipc.envelope import decode_frames
from common.ipc.request_messages import PassedRequest
from egress.sockets.handover import HandoverServer

SOCKET: Final = "requests"
Adopt = Callable[[socket.socket, str, bytes], None]


class PassedRequests:
    """The socket on which requests of this process's viewers come from the others."""

    def __init__(self, address: str, adopt: Adopt) -> None:
        """`adopt` is given a connection, HOST:PORT of whose it is, and what was read of it."""
        self._adopt = adopt
        self._is_retiring = False
        self._server = HandoverServer(socket_path(address), self._take, SOCKET)

    def follow(self, endpoints: Iterable[Endpoint]) -> None:
        """These children run."""
        self._server.follow(endpoints)

    def listen_again(self) -> None:
        """Listen at the same path again if the socket's file is gone. Raises OSError."""
        self._server.listen_again()

    def retire(self) -> None:
        """Take no more: who passed it on answers by itself."""
        self._is_retiring = True

    def close(self) -> None:
        """Take no more."""
        self._server.close()

    def _take(self, sock: socket.socket, data: bytes) -> str | None:
        if self._is_retiring:
            return "it retires"
        try:
            message, _ = decode_frames([data])
        except EnvelopeError as error:
            return str(error)
        if not isinstance(message, PassedRequest):
            return "it is no request"
        sock.setblocking(False)
        self._adopt(sock, message.peer, message.request)
        return None


async def pass_on(request: web.Request, peer: str, address: str) -> web.StreamResponse | None:
    """Have another process answer a request without a body; None: it does not.

    `peer`: HOST:PORT of the connection.
    """
    if request.body_exists:
        return None
    try:
        return await hand_over(request, (address,), PassedRequest(peer, as_read(request)))
    except NotHandedOver:
        return None


def as_read(request: web.Request) -> bytes:
    """The request as bytes again."""
    version = f"HTTP/{request.version.major}.{request.version.minor}"
    lines = [f"{request.method} {request.raw_path} {version}".encode()]
    lines += [name + b": " + value for name, value in request.raw_headers]
    return b"\r\n".join([*lines, b"", b""])
