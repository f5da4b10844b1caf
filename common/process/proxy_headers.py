"""Reads the PROXY protocol's header of new connections (IO), and not a byte more.

For connections of those who may say whose connection it is. What follows the header stays in the
socket, for whoever reads it next. Who sends no header in time, none at all or a broken one loses
its connection.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from common.access.peer_address import host_of
from common.access.proxy_protocol import MAX_HEADER_BYTES, ProxyHeader, read_header
from common.errors import ProxyHeaderError
from common.process.listening import join_address

HEADER_S: Final = 3.0  # the specification asks for so long, section 3
MAX_WAITING: Final = 200  # each holds a descriptor that nobody has counted yet


class ProxyHeaders:
    """All connections of a process whose header has not come yet."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: set[_Waiting] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def read(
        self,
        sock: socket.socket,
        then: Callable[[ProxyHeader], None],
        failed: Callable[[str], None],
    ) -> None:
        """Call `then` with the header, which takes the socket back; or close it and say why not.

        The reason is "" where the peer went away without a byte, as health checks do.
        """
        if len(self._waiting) >= MAX_WAITING:
            sock.close()
            failed(f"{MAX_WAITING} connections wait for their PROXY protocol header")
        else:
            self._waiting.add(_Waiting(sock, self._loop, then, failed, self._waiting))

    def take(
        self,
        sock: socket.socket,
        proxy: str,
        admit: Callable[[socket.socket, str, str], None],
        failed: Callable[[str], None],
    ) -> None:
        """Give `admit` a connection of `proxy`'s, with the host and peer whose it is; or as `read`.

        It is the proxy's own where the header names nobody.
        """

        def then(header: ProxyHeader) -> None:
            if header.source is None:
                admit(sock, host_of(proxy), proxy)
            else:
                admit(sock, header.source[0], join_address(*header.source))

        self.read(sock, then, failed)

    def close(self) -> None:
        """Close all that wait."""
        for waiting in tuple(self._waiting):
            waiting.fail("")


class _Waiting:
    def __init__(
        self,
        sock: socket.socket,
        loop: asyncio.AbstractEventLoop,
        then: Callable[[ProxyHeader], None],
        failed: Callable[[str], None],
        all_of_them: "set[_Waiting]",
    ) -> None:
        self._socket = sock
        self._loop = loop
        self._then = then
        self._failed = failed
        self._all = all_of_them
        self._begun = b""
        sock.setblocking(False)
        loop.add_reader(sock.fileno(), self._read)
        self._timer = loop.call_later(HEADER_S, self._on_late)

    def fail(self, reason: str) -> None:
        self._leave()
        self._socket.close()
        self._failed(reason)

    def _on_late(self) -> None:
        what = "no whole PROXY protocol header" if self._begun else "no PROXY protocol header"
        self.fail(f"{what} within {HEADER_S:g} s")

    def _read(self) -> None:
        try:
            data = self._socket.recv(MAX_HEADER_BYTES - len(self._begun), socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            return self.fail(f"{error.strerror or error}" if self._begun else "")
        if not data:
            return self.fail("the PROXY protocol header ends too early" if self._begun else "")
        try:
            header = read_header(self._begun + data)
        except ProxyHeaderError as error:
            return self.fail(str(error))
        size = len(data) if header is None else header.size - len(self._begun)
        self._begun += self._socket.recv(size)  # it was there a moment ago
        if header is not None:
            self._leave()
            self._then(header)

    def _leave(self) -> None:
        self._timer.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._all.discard(self)
