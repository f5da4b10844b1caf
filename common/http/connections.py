"""Connections of an HTTP server (IO: aiohttp, sockets): how many, how slow, and what is logged.

Connections are bounded. One more gets the place of one of the address that has the most of them, or
is told that there are too many, by `common.access.fair_shares`. One that sends no whole request in
time is closed too. What a request brings is the application's.
"""

import asyncio
import logging
import math
import socket
import time
from collections.abc import Callable
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.http_exceptions import (
    BadHttpMethod,
    BadStatusLine,
    ContentLengthError,
    HttpProcessingError,
    InvalidHeader,
    InvalidURLError,
    LineTooLong,
    TransferEncodingError,
)

from common.access.fair_shares import FairShares
from common.access.peer_address import Networks, host_of
from common.http.quick import QuickHandler, QuickRequests
from common.process.listening import join_address
from common.process.log import RateLimit, more

KEEPALIVE_S: Final = 30.0
REQUEST_S: Final = 5.0  # for a first request to be there, and for the body of one
CLOSE_S: Final = 0.5  # for answers under way when the process ends
BACKLOG: Final = 1024
COUNT_S: Final = 0.25  # between counts of who has how many connections, where there are too many

# What a client sent that is no request. aiohttp's own words repeat its bytes, and so keys of
# streams and of publishers, which no log may hold.
_UNREADABLE: Final[tuple[tuple[type[HttpProcessingError], str], ...]] = (
    (LineTooLong, "a line or a header is too long"),
    (InvalidURLError, "its address cannot be read"),
    (InvalidHeader, "a header cannot be read"),
    (ContentLengthError, "its length cannot be read"),
    (TransferEncodingError, "its body cannot be read"),
    (BadHttpMethod, "its method cannot be read"),
    (BadStatusLine, "its first line cannot be read"),
    (HttpProcessingError, "it is no HTTP request"),
)


class HttpConnections:
    """Those of one application."""

    def __init__(
        self, app: web.Application, log: logging.Logger, quick: QuickRequests | None = None
    ) -> None:
        """`log` gets a line for what could not be read; its filters are replaced.

        `quick`: requests that are answered without the application.
        """
        self.refused = 0
        self.closed_for_others = 0
        self.max_connections = 100
        self.exempt = Networks(())  # of whom many come by one address
        self.is_retiring = False
        self._quick = quick
        self._how: dict[str, Any] = {  # each connection is handled
            "access_log": None,
            "logger": _in_lines(log),
            "keepalive_timeout": KEEPALIVE_S,
        }
        self._runner = web.AppRunner(
            app, handle_signals=False, shutdown_timeout=CLOSE_S, **self._how
        )
        self._server: asyncio.Server | None = None
        self._shares: FairShares[Any] = FairShares()  # while all places are taken
        self._shares_s = -math.inf  # when they were counted
        self._peers: dict[object, str] = {}  # of those adopted
        self._passed: set[object] = set()  # of these, whose first request was read elsewhere
        self._fresh: set[object] = set()  # adopted since the last look
        self._adopting: set[asyncio.Future[Any]] = set()
        # When a connection was first seen without a request; None: it has sent one.
        self._since: dict[object, float | None] = {}

    def __len__(self) -> int:
        return len(self._open)

    async def start(self) -> None:
        """Answer from now on."""
        await self._runner.setup()

    async def serve(self, listener: socket.socket) -> None:
        """Accept connections from now on, after `start`."""
        self._server = await asyncio.get_running_loop().create_server(
            self._connection, sock=listener, backlog=BACKLOG
        )

    def retire(self) -> None:
        """Accept no more; who is connected is served, and those that ask nothing are closed."""
        self.is_retiring = True
        self._stop_accepting()

    def _stop_accepting(self) -> None:
        if self._server is not None:
            self._server.close()

    async def end(self) -> None:
        """Accept no more, and let answers under way go out."""
        self._stop_accepting()
        await self._runner.cleanup()

    def adopt(self, sock: socket.socket, peer: str, request: bytes = b"") -> None:
        """Serve a connection that came another way; `peer`, HOST:PORT, is whose it is.

        `request`: what another process has read of it already, a whole request.
        """
        protocol: asyncio.BaseProtocol
        protocol = (
            self._new() if self._has_room() else self._in_place_of_another(peer) or _Refusing()
        )
        self._peers[protocol] = peer
        if request:
            self._passed.add(protocol)
        self._fresh.add(protocol)
        made = _Resumed(protocol, request) if request else protocol
        connecting = asyncio.get_running_loop().connect_accepted_socket(lambda: made, sock)
        task = asyncio.ensure_future(connecting)
        self._adopting.add(task)
        task.add_done_callback(self._on_adopted)

    def _on_adopted(self, task: "asyncio.Future[Any]") -> None:
        self._adopting.discard(task)
        if not task.cancelled():
            task.exception()  # the connection is lost: nothing to do

    def peer_of(self, request: web.BaseRequest) -> str:
        """HOST:PORT of who sent a request."""
        return self.peer_at(request.protocol)

    def peer_at(self, connection: Any) -> str:
        """HOST:PORT of who is at the other end of a connection."""
        known = self._peers.get(connection)
        return known if known is not None else _peer_of(connection.transport)

    def on_request(self, request: web.BaseRequest) -> bool:
        """A connection has sent a request; whether another process has read that one."""
        self._since[request.protocol] = None
        was_passed = request.protocol in self._passed
        self._passed.discard(request.protocol)
        return was_passed

    def check(self, now: float) -> None:
        """Close connections that send no request; due once a second."""
        fresh, self._fresh = self._fresh, set()
        if self._peers:
            known = fresh.union(self._open)
            self._peers = {one: peer for one, peer in self._peers.items() if one in known}
            self._passed &= known
        since, self._since = self._since, {}
        for connection in self._open:
            seen_s = self._since[connection] = since.get(connection, now)
            if seen_s is not None and now - seen_s >= REQUEST_S:
                connection.force_close()

    @property
    def _open(self) -> list[Any]:
        server = self._runner.server
        return server.connections if server is not None else []

    def _connection(self) -> asyncio.BaseProtocol:
        """Make the protocol of a new connection."""
        return self._new() if self._has_room() else _Surplus(self._in_place_of_another)

    def _has_room(self) -> bool:
        return len(self._open) < self.max_connections

    def _new(self) -> asyncio.Protocol:
        server = self._runner.server
        assert server is not None
        if self._quick is None:
            return cast(asyncio.Protocol, server())
        loop = asyncio.get_running_loop()
        return QuickHandler(server, self._quick, loop=loop, **self._how)

    def _in_place_of_another(self, peer: str) -> asyncio.Protocol | None:
        """Close another connection for that of a peer, HOST:PORT; None: it is refused."""
        host, now = host_of(peer), time.monotonic()
        if now - self._shares_s >= COUNT_S:
            self._shares_s = now
            held = ((host_of(self.peer_at(one)), one) for one in self._open)
            self._shares = FairShares(held, self.exempt)
        giving = self._shares.give_way(host)
        if not giving:
            self.refused += 1
            return None
        # one that has sent no request yet rather than one of somebody who watches
        silent = (one for one in giving if self._since.get(one, now) is not None)
        gone = next(silent, None) or next(iter(giving))
        self._shares.remove(host_of(self.peer_at(gone)), gone)
        gone.force_close()
        self.closed_for_others += 1
        made = self._new()
        self._shares.add(host, made)
        return made


def _in_lines(found: logging.Logger) -> logging.Logger:
    """Have a log of requests that could not be read: one line each, without a traceback."""
    limit = RateLimit()

    def in_one_line(record: logging.LogRecord) -> bool:
        held = limit.allow(time.monotonic())
        if held is None or record.levelno < logging.WARNING:
            return False
        error = record.exc_info[1] if record.exc_info else None
        record.msg, record.args = f"{record.getMessage()} reason={_why(error)}{more(held)}", ()
        record.exc_info, record.levelname = None, "WARNING"
        return True

    found.filters[:] = [in_one_line]
    return found


def _why(error: BaseException | None) -> str:
    """Say in one line what went wrong, in no words of the client."""
    if isinstance(error, HttpProcessingError):
        words = next(words for kind, words in _UNREADABLE if isinstance(error, kind))
        return f"{error.code}: {words}"
    return " ".join(str(error).split())[:200] if error is not None else "?"


class _Resumed(asyncio.Protocol):
    """A connection of which a request has been read: its protocol is given that first."""

    def __init__(self, protocol: asyncio.BaseProtocol, request: bytes) -> None:
        self._protocol = protocol
        self._request = request

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        protocol = cast(asyncio.Protocol, self._protocol)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(self._request)


def _peer_of(transport: asyncio.BaseTransport | None) -> str:
    """HOST:PORT of who is at the other end."""
    peer = transport.get_extra_info("peername") if transport is not None else None
    return join_address(*peer[:2]) if peer else "?:0"


class _Refusing(asyncio.Protocol):
    """Says that there are too many connections, and closes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = cast(asyncio.Transport, transport)
        peer.write(
            b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n"
            b"Connection: close\r\n\r\n"
        )
        peer.close()


class _Surplus(_Refusing):
    """A connection for which there is no place, unless it gets another's."""

    def __init__(self, in_place_of_another: Callable[[str], asyncio.Protocol | None]) -> None:
        """It is given HOST:PORT of whose the connection is."""
        self._in_place_of_another = in_place_of_another

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        made = self._in_place_of_another(_peer_of(transport))
        if made is None:
            super().connection_made(transport)
        else:
            transport.set_protocol(made)
            made.connection_made(transport)
