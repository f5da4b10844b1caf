"""What a route of the `web` child is, and what it is made with; `table.py` has all of them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from aiohttp import web

from common.access.peer_address import Networks
from common.config.settings import Settings
from common.ipc.control_messages import Endpoint
from egress.output import Output, OutputContext
from egress.web.answers import cors
from egress.web.peers import client_of

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Kind = TypeVar("Kind")


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one address."""

    method: str
    path: str  # aiohttp's pattern: /{app}/{key}/…
    handler: Handler


async def _no_other(_: web.Request, __: str) -> web.StreamResponse | None:
    return None


@dataclass(frozen=True, slots=True)
class WebContext:
    """The process, as its routes see it."""

    context: OutputContext
    outputs: Sequence[Output]  # of this process, by `WEB_OUTPUTS`
    settings: Callable[[], Settings]  # those in force
    peer: Callable[[web.Request], str] = lambda _: "?:0"  # HOST:PORT of a request's connection
    # Have another process answer a request; None: it does not, or this one is to answer.
    pass_on: Callable[[web.Request, str], Awaitable[web.StreamResponse | None]] = _no_other
    # Call this with the children that run, now and whenever they are others.
    follow: Callable[[Callable[[Sequence[Endpoint]], object]], object] = lambda _: None

    def client(self, request: web.Request) -> str:
        """HOST:PORT of who asks: the peer, or whom a trusted proxy names."""
        trusted = Networks(self.settings().web.trusted_proxies)
        forwarded = request.headers.getall("X-Forwarded-For", [])
        return client_of(self.peer(request), forwarded, trusted)

    def cors(self, request: web.Request) -> dict[str, str]:
        """The headers that let pages of other sites read what the server does not answer."""
        return cors(self.settings().web.cors_origins, request.headers.get("Origin"))

    def output(self, kind: type[Kind]) -> Kind:
        """The output of a kind, whose requests a route answers."""
        return next(output for output in self.outputs if isinstance(output, kind))
