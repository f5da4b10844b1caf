"""The HTTP server of viewers (IO: aiohttp): what every request and every answer has in common.

Its connections are `common/http/connections.py`'s, what can be asked stands in `table.py`.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from aiohttp import web

from common.access.peer_address import Networks, host_of
from common.config.settings import Settings
from common.http.connections import HttpConnections
from common.http.handover import HandedOver
from common.http.quick import Look, QuickAnswer, QuickRequests, QuickWait
from common.http.request_heads import MAX_TARGET
from common.http.statuses import HEADERS
from common.process.log import PeerLines, RateLimit, more
from egress.web.answers import Refused, cors, http_error, preflight, refused
from egress.web.passing import pass_on

log = logging.getLogger("tfarm.egress.web.server")

MAX_BODY_BYTES: Final = 64 * 1024  # an SDP offer has some kilobytes
_WAS_PASSED: Final = web.RequestKey("was_passed", bool)  # another process has read it


class HttpServer:
    """Answers viewers."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(("requests", "refused requests"), 0)
        self._settings = Settings()
        self._faults = RateLimit(burst=5, interval_s=10.0)
        self._lines = PeerLines()
        self._app = web.Application(middlewares=[self._guard], client_max_size=MAX_BODY_BYTES)
        self._look: Look = lambda _: None
        self._quick = QuickRequests(self._look_first, self._cors, self._on_quick)
        self._connections = HttpConnections(
            self._app, logging.getLogger("tfarm.egress.web.http"), self._quick
        )

    @property
    def counters(self) -> dict[str, int]:
        return {
            "connections": len(self._connections),
            **self._counts,
            "refused connections": self._connections.refused,
            "connections closed for others": self._connections.closed_for_others,
        }

    def configure(self, settings: Settings) -> None:
        """Use other settings from now on."""
        self._settings = settings
        self._quick.heads.clear()
        self._connections.max_connections = settings.web.max_connections
        proxies, exempt = settings.web.trusted_proxies, settings.ingest.exempt_networks
        self._connections.exempt = Networks((*proxies, *exempt))

    async def start(self, routes: Sequence[Any], look: Look) -> None:
        """Answer by these routes from now on, and before them by `look`."""
        self._look = look
        self._app.router.add_routes(routes)
        await self._connections.start()

    async def serve(self, listener: socket.socket) -> None:
        """Accept connections from now on."""
        await self._connections.serve(listener)

    def retire(self) -> None:
        """Accept no more; who is connected is served, and asked to connect anew."""
        self._connections.retire()

    async def end(self) -> None:
        """Accept no more, and let answers under way go out."""
        await self._connections.end()

    def adopt(self, sock: socket.socket, peer: str, request: bytes = b"") -> None:
        """Serve a connection that came by another process; `peer`, HOST:PORT, is whose it is.

        `request`: what that process has read of it, a whole request.
        """
        self._connections.adopt(sock, peer, request)

    async def pass_on(self, request: web.Request, address: str) -> web.StreamResponse | None:
        """Have the `web` process at this address answer; None: this one has to."""
        if request.get(_WAS_PASSED):  # once: those two may know of different processes
            return None
        return await pass_on(request, self.peer_of(request), address)

    def peer_of(self, request: web.Request) -> str:
        """HOST:PORT of who sent a request."""
        return self._connections.peer_of(request)

    def check(self, now: float) -> None:
        """Close connections that send no request; due once a second."""
        self._connections.check(now)

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[Any]]
    ) -> web.StreamResponse:
        """Turn whatever goes wrong into an answer; nothing here ends the process."""
        self._counts["requests"] += 1
        request[_WAS_PASSED] = self._connections.on_request(request)
        response = await self._answer(request, handler)
        if response.prepared or isinstance(response, HandedOver):
            return response
        if response.status >= 400:
            self._on_refused(
                self.peer_of(request), request.method, _route(request), response.status
            )
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        for name, value in self._cors(request.headers.get("Origin")).items():
            own = response.headers.get(name) if name == "Vary" else None
            response.headers[name] = f"{own}, {value}" if own else value
        if self._connections.is_retiring:
            response.force_close()
        return response

    async def _answer(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[Any]]
    ) -> web.StreamResponse:
        response: web.StreamResponse
        try:
            if len(request.raw_path) > MAX_TARGET:
                raise Refused(414, f"an address has at most {MAX_TARGET} bytes here")
            if request.method == "OPTIONS":
                return preflight()
            response = await handler(request)
        except Refused as error:
            response = refused(error)
        except web.HTTPException as error:
            response = http_error(error)
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception:
            if (held := self._faults.allow(time.monotonic())) is not None:
                log.exception("request failed route=%s%s", _route(request), more(held))
            response = refused(Refused(500, "this is a fault of tfarm"))
        return response

    def _cors(self, origin: str | None) -> dict[str, str]:
        return cors(self._settings.web.cors_origins, origin)

    def _look_first(self, target: str) -> QuickAnswer | QuickWait | None:
        """Look for a quick answer; none tells a client to connect anew."""
        return None if self._connections.is_retiring else self._look(target)

    def _on_quick(self, connection: web.RequestHandler, answer: QuickAnswer) -> None:
        self._counts["requests"] += 1
        if answer.kind.status >= 400:
            peer = self._connections.peer_at(connection)
            self._on_refused(peer, "GET", answer.route, answer.kind.status)

    def _on_refused(self, peer: str, method: str, route: str, status: int) -> None:
        """Count it, and log it: the address without what may be a credential."""
        self._counts["refused requests"] += 1
        address = host_of(peer)
        if (held := self._lines.allow(address, time.monotonic())) is not None:
            words = "request refused address=%s method=%s route=%s status=%d%s"
            log.info(words, address, method, route, status, more(held))


def _route(request: web.Request) -> str:
    """The pattern of what was asked for: a path may hold a stream's key, which is a credential."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "none"
