"""What a route of the `web` child is, and what it is made with; `table.py` has all of them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

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
