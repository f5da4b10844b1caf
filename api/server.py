"""The HTTP server (IO: aiohttp, sockets): connections, and requests to who answers them.

What may be asked by whom is `access.py`'s, what is answered `answers.py`'s. Connections are
bounded, and one that sends no request in time is closed.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from aiohttp import web

from api.access import Access, Denied, Granted, judge
from api.answers import Answers
from api.farm_link import SupervisorAway
from api.http_messages import REQUEST_S, asker_of, http_error, json_response
from api.operations import MAX_BODY_BYTES, OPERATIONS, ApiError, Operation
from common.config.settings import Settings
from common.process.log import PeerLines, RateLimit, more

log = logging.getLogger("tfarm.api.server")

KEEPALIVE_S: Final = 30.0
CLOSE_S: Final = 0.5  # for answers under way when the process ends
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class HttpServer:
    """Answers requests."""

    def __init__(self, answers: Answers) -> None:
        self.counters = dict.fromkeys(("requests", "denied", "refused connections"), 0)
        self._settings = Settings()
        self._answers = answers
        self._lines = PeerLines()
        app = web.Application(middlewares=[self._guard], client_max_size=MAX_BODY_BYTES)
        for operation in OPERATIONS:
            app.router.add_route(operation.method, operation.path, self._route(operation))
        self._runner = web.AppRunner(
            app,
            handle_signals=False,
            access_log=None,
            logger=self._protocol_log(),
            keepalive_timeout=KEEPALIVE_S,
            shutdown_timeout=CLOSE_S,
        )
        self._server: asyncio.Server | None = None
        # When a connection was first seen without a request; None: it has sent one.
        self._since: dict[object, float | None] = {}

    async def serve(self, listener: socket.socket) -> None:
        """Accept connections from now on."""
        await self._runner.setup()
        self._server = await asyncio.get_running_loop().create_server(
            self._connection, sock=listener, backlog=128
        )

    async def end(self) -> None:
        """Accept no more, and let answers under way go out."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()

    def _protocol_log(self) -> logging.Logger:
        """The log of requests that could not be read: one line each, without a traceback."""
        found = logging.getLogger("tfarm.api.http")
        limit = RateLimit()

        def in_one_line(record: logging.LogRecord) -> bool:
            held = limit.allow(time.monotonic())
            if held is None or record.levelno < logging.WARNING:
                return False
            error = record.exc_info[1] if record.exc_info else None
            why = " ".join(str(error).split()) if error is not None else "?"
            record.msg, record.args = f"{record.getMessage()} reason={why[:200]}{more(held)}", ()
            record.exc_info, record.levelname = None, "WARNING"
            return True

        found.filters[:] = [in_one_line]
        return found

    def configure(self, settings: Settings) -> None:
        """Use other settings from now on."""
        self._settings = self._answers.settings = settings

    # ---- connections --------------------------------------------------------------------------

    def _connection(self) -> asyncio.BaseProtocol:
        """Make the protocol of a new connection."""
        server = self._runner.server
        assert server is not None
        if len(server.connections) >= self._settings.api.max_connections:
            self.counters["refused connections"] += 1
            return _Refusing()
        protocol: asyncio.BaseProtocol = server()
        return protocol

    def check(self, now: float) -> None:
        """Close connections that send no request; due once a second."""
        server = self._runner.server
        since, self._since = self._since, {}
        for connection in server.connections if server is not None else ():
            seen_s = self._since[connection] = since.get(connection, now)
            if seen_s is not None and now - seen_s >= REQUEST_S:
                connection.force_close()

    # ---- requests -----------------------------------------------------------------------------

    def _route(self, operation: Operation) -> Callable[[web.Request], Awaitable[Any]]:
        answer = self._answers.to(operation)

        async def handle(request: web.Request) -> web.StreamResponse:
            granted = self._judge(operation.access, request)
            return await answer(operation, request, granted)

        return handle

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[Any]]
    ) -> web.StreamResponse:
        """Turn whatever goes wrong into a JSON answer; nothing here ends the process."""
        self.counters["requests"] += 1
        self._since[request.protocol] = None
        response: web.StreamResponse
        try:
            response = await handler(request)
        except ApiError as error:
            response = json_response(error.document(), error.status)
            if error.status == 401:
                response.headers["WWW-Authenticate"] = 'Bearer realm="tfarm"'
        except SupervisorAway as error:
            response = json_response(ApiError(503, "no-supervisor", str(error)).document(), 503)
            response.headers["Retry-After"] = "1"
        except web.HTTPException as error:
            response = json_response(http_error(error).document(), error.status)
            for name in ("Allow", "Location"):
                if name in error.headers:
                    response.headers[name] = error.headers[name]
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception:
            log.exception("request failed path=%s", request.path[:200])
            response = json_response(
                ApiError(500, "failed", "this is a fault of tfarm").document(), 500
            )
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    def _judge(self, access: Access, request: web.Request) -> Granted:
        verdict = judge(access, asker_of(request), self._settings.api.tokens)
        if isinstance(verdict, Denied):
            self._on_denied(verdict, request)
            raise ApiError(verdict.status, verdict.code, verdict.words)
        return verdict

    def _on_denied(self, denied: Denied, request: web.Request) -> None:
        self.counters["denied"] += 1
        address = request.remote or "?"
        if (held := self._lines.allow(address, time.monotonic())) is not None:
            words = "request denied address=%s method=%s path=%s reason=%s%s"
            path = request.path.partition("?")[0][:100]
            log.warning(words, address, request.method, path, denied.code, more(held))


class _Refusing(asyncio.Protocol):
    """Says that there are too many connections, and closes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = cast(asyncio.Transport, transport)
        peer.write(
            b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n"
            b"Connection: close\r\n\r\n"
        )
        peer.close()
