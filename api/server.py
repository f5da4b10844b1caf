"""The HTTP server (IO: aiohttp, sockets): requests to the operations of the table, and back.

What may be asked by whom is `access.py`'s, the answers are those of `reads.py` and `changes.py`.
Connections are bounded, and one that sends no whole request in time is closed.
"""

import asyncio
import json
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, cast

from aiohttp import web

from api import reads
from api.access import Access, Asker, Denied, Granted, host_name, judge
from api.document import published
from api.farm_link import FarmLink, SupervisorAway
from api.openapi import describe
from api.operations import (
    DESCRIPTION,
    JSON,
    MAX_BODY_BYTES,
    METRICS,
    OPERATIONS,
    ApiError,
    Operation,
    read_path,
    read_query,
)
from api.schemas import Json
from api.totals import Totals
from common.config.settings import Settings
from common.process.log import PeerLines, RateLimit, more

log = logging.getLogger("tfarm.api.server")

KEEPALIVE_S: Final = 30.0
REQUEST_S: Final = 5.0  # for a new connection's first request to be there
CLOSE_S: Final = 0.5  # for answers under way when the process ends
# Where a request comes by way of a proxy, one of these says so.
_FORWARDED: Final = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

Answerer = Callable[[Operation, web.Request, Granted], Awaitable[web.StreamResponse]]


class HttpServer:
    """Answers requests; it is told the settings, and asks the farm by its link."""

    def __init__(self, link: FarmLink, version: str) -> None:
        self.settings = Settings()
        self.counters = dict.fromkeys(("requests", "denied", "refused connections"), 0)
        self._link = link
        self._totals = Totals()
        link.on_status = self._totals.observe
        self._version = version
        self._lines = PeerLines()
        self._description = _dump(describe(OPERATIONS, version))
        self._answerers: dict[str, Answerer] = {
            "healthz": self._healthz,
            "readyz": self._readyz,
            METRICS.name: self._metrics,
            DESCRIPTION.name: self._describe,
        }
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

    # ---- connections --------------------------------------------------------------------------

    def _connection(self) -> asyncio.BaseProtocol:
        """Make the protocol of a new connection."""
        server = self._runner.server
        assert server is not None
        if len(server.connections) >= self.settings.api.max_connections:
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
        answer = self._answerers.get(operation.name, self._read)

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
            response = _json(error.document(), error.status)
            if error.status == 401:
                response.headers["WWW-Authenticate"] = 'Bearer realm="tfarm"'
        except SupervisorAway as error:
            response = _json(ApiError(503, "no-supervisor", str(error)).document(), 503)
            response.headers["Retry-After"] = "1"
        except web.HTTPException as error:
            response = _json(_http_error(error).document(), error.status)
            for name in ("Allow", "Location"):
                if name in error.headers:
                    response.headers[name] = error.headers[name]
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception:
            log.exception("request failed path=%s", request.path[:200])
            response = _json(ApiError(500, "failed", "this is a fault of tfarm").document(), 500)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    def _judge(self, access: Access, request: web.Request) -> Granted:
        verdict = judge(access, asker_of(request), self.settings.api.tokens)
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

    # ---- answers ------------------------------------------------------------------------------

    async def _healthz(
        self, operation: Operation, request: web.Request, granted: Granted
    ) -> web.StreamResponse:
        read_query(operation, _query(request))
        supervised = self._link.is_supervised
        return _json(reads.health(is_supervised=supervised, version=self._version))

    async def _readyz(
        self, operation: Operation, request: web.Request, granted: Granted
    ) -> web.StreamResponse:
        read_query(operation, _query(request))
        try:
            status = await self._link.status()
        except SupervisorAway:
            found = reads.readiness(None, is_current=False)
        else:
            found = reads.readiness(status.document, is_current=status.is_current)
        return _json(found, 200 if found["is_ready"] else 503)

    async def _describe(
        self, operation: Operation, request: web.Request, granted: Granted
    ) -> web.StreamResponse:
        read_query(operation, _query(request))
        return web.Response(body=self._description, content_type=JSON)

    async def _metrics(
        self, operation: Operation, request: web.Request, granted: Granted
    ) -> web.StreamResponse:
        from api.exposition import expose  # prometheus_client, where nobody scrapes not needed

        read_query(operation, _query(request))
        status = await self._link.status()
        body, content_type = expose(
            status.document,
            self._totals,
            request.headers.get("Accept", ""),
            is_current=status.is_current,
            has_streams=self.settings.api.has_stream_metrics,
        )
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _read(
        self, operation: Operation, request: web.Request, granted: Granted
    ) -> web.StreamResponse:
        parameters = read_query(operation, _query(request))
        parameters |= read_path(operation, request.match_info)
        status = await self._link.status()
        document = published(status.document, self.settings, shows_keys=granted.has_token)
        reading = reads.Reading(document, status.is_current, granted.has_token)
        return _json(reads.answer(operation.name, reading, parameters))


class _Refusing(asyncio.Protocol):
    """Says that there are too many connections, and closes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = cast(asyncio.Transport, transport)
        peer.write(
            b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n"
            b"Connection: close\r\n\r\n"
        )
        peer.close()


def asker_of(request: web.Request) -> Asker:
    """What is known of who sent a request."""
    transport = request.transport
    server = transport.get_extra_info("sockname") if transport is not None else None
    site = request.headers.get("Sec-Fetch-Site", "none")
    return Asker(
        address=request.remote or "",
        server=server[0] if server else "",
        host=host_name(request.headers.get("Host", "")),
        authorization=request.headers.get("Authorization"),
        is_forwarded=any(name in request.headers for name in _FORWARDED),
        is_cross_site=site not in ("none", "same-origin"),
    )


def _query(request: web.Request) -> Mapping[str, list[str]]:
    return {name: request.query.getall(name) for name in request.query}


def _http_error(error: web.HTTPException) -> ApiError:
    match error.status:
        case 404:
            return ApiError(404, "no-such-path", "there is nothing at this path")
        case 405:
            return ApiError(405, "method-not-allowed", "this path does not take that method")
        case 413:
            return ApiError(413, "too-large", f"a body has at most {MAX_BODY_BYTES} bytes")
    return ApiError(error.status, "refused", error.reason)


def _dump(document: Json) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _json(document: Json, status: int = 200) -> web.Response:
    return web.Response(body=_dump(document), status=status, content_type=JSON)
