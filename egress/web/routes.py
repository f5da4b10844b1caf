"""What can be asked of the `web` child: a table that each way to viewers adds a line to.

A line is a function that gives routes; it is called once, when the process starts.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from aiohttp import web

from common.config.settings import Settings
from egress.output import Output, OutputContext

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Kind = TypeVar("Kind")


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one address."""

    method: str
    path: str  # aiohttp's pattern: /{app}/{key}/…
    handler: Handler


@dataclass(frozen=True, slots=True)
class WebContext:
    """The process, as its routes see it."""

    context: OutputContext
    outputs: Sequence[Output]  # of this process, by `WEB_OUTPUTS`
    settings: Callable[[], Settings]  # those in force

    def output(self, kind: type[Kind]) -> Kind:
        """The output of a kind, whose requests a route answers."""
        return next(output for output in self.outputs if isinstance(output, kind))


# Outputs of this process: what it sends viewers itself. One line each.
WEB_OUTPUTS: Sequence[Callable[[OutputContext], Output]] = ()

# What can be asked. One line each; of two that fit, the first counts.
ROUTES: Sequence[Callable[[WebContext], Sequence[Route]]] = ()


def all_routes(context: WebContext) -> list[Any]:
    """Those of the whole table, for aiohttp."""
    return [
        web.route(route.method, route.path, route.handler)
        for make in ROUTES
        for route in make(context)
    ]
