"""What can be asked of the `web` child: a table that each way to viewers adds a line to.

A line is a function that gives routes; it is called once, when the process starts.
"""

from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web

from common.http.quick import Look
from egress.dash.routes import dash_routes
from egress.hls.output import HlsOutput
from egress.hls.quick import QuickHls
from egress.hls.routes import hls_routes
from egress.output import Output, OutputContext
from egress.web.flv import flv_routes
from egress.web.obs import obs_routes
from egress.web.page import page_routes
from egress.web.routes import Route, WebContext
from egress.web.whep import whep_routes
from egress.web.whip import whip_routes

# Outputs of this process: what it sends viewers itself. One line each.
WEB_OUTPUTS: Sequence[Callable[[OutputContext], Output]] = (HlsOutput,)

# What can be asked. One line each; of two that fit, the first counts.
ROUTES: Sequence[Callable[[WebContext], Sequence[Route]]] = (
    obs_routes,  # before streams: one may have the key `obs`
    page_routes,
    flv_routes,
    whep_routes,
    whip_routes,
    dash_routes,  # before those of HLS: a segment may be one that is being made
    hls_routes,
)


def quick(context: WebContext) -> Look:
    """What is looked at before them, for requests that come again and again."""
    return QuickHls(context).look


def all_routes(context: WebContext) -> list[Any]:
    """Those of the whole table, for aiohttp."""
    return [
        web.route(route.method, route.path, route.handler)
        for make in ROUTES
        for route in make(context)
    ]
