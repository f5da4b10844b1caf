"""The HTTP server (IO: aiohttp): requests to who answers them.

What may be asked by whom is `access.py`'s, what is answered `answers.py`'s. Connections are
`common/http/connections.py`'s.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from api.access import Access, Denied, Granted, judge
from api.answers import Answers
from api.farm_link import SupervisorAway
from api.http_messages import asker_of, http_error, json_response
from api.operations import MAX_BODY_BYTES, OPERATIONS, ApiError, Operation
from common.config.settings import Settings
from common.http.connections import HttpConnections
from common.process.log import PeerLines, more

log = logging.getLogger("tfarm.api.server")

_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class HttpServer:
    """Answers requests."""

    def __init__(self, answers: Answers) -> None:
        self._counts = dict.fromkeys(("requests", "denied"), 0)
        self._settings = Settings()
        self._answers = answers
        self._lines = PeerLines()
        app = web.Application(middlewares=[self._guard], client_max_size=MAX_BODY_BYTES)
        for operation in OPERATIONS:
            app.router.add_route(operation.method, operation.path, self._route(operation))
        log_of_requests = logging.getLogger("tfarm.api.http")
        self._connections = HttpConnections(app, log_of_requests)

    @property
    def counters(self) -> dict[str, int]:
        return {**self._counts, "refused connections": self._connections.refused}

    async def serve(self, listener: socket.socket) -> None:
        """Accept connections from now on."""
        await self._connections.start()
        await self._connections.serve(listener)

    async def end(self) -> None:
        """Accept no more, and let answers under way go out."""
        await self._connections.end()

    def check(self, now: float) -> None:
        """Close connections that send no request; due once a second."""
        self._connections.check(now)

    def configure(self, settings: Settings) -> None:
        """Use other settings from now on."""
        self._settings = self._answers.settings = settings
        self._connections.max_connections = settings.api.max_connections

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
        self._counts["requests"] += 1
        self._connections.on_request(request)
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
        self._counts["denied"] += 1
        address = request.remote or "?"
        if (held := self._lines.allow(address, time.monotonic())) is not None:
            words = "request denied address=%s method=%s path=%s reason=%s%s"
            path = request.path.partition("?")[0][:100]
            log.warning(words, address, request.method, path, denied.code, more(held))
