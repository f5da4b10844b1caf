"""OBS's configuration service by HTTP (IO: aiohttp): what a streamer's OBS is told to encode.

OBS posts to the address that its service names as `multitrack_video_configuration_url`. A GET gives
the same document, for who pastes it into OBS's *Config Override* of a custom service.
"""

from collections.abc import Callable, Sequence
from typing import Final

from aiohttp import web

from common.config.settings import Settings
from egress.web.answers import Refused
from egress.web.obs_config import (
    Client,
    Json,
    Unreadable,
    answer,
    client_of_query,
    is_server,
    read_client,
    refusal,
)
from egress.web.routes import Route, WebContext

PATH: Final = "/{app}/obs/config"
_UNTOLD: Final = (
    "The farm does not know by which address publishers reach it. Its operator can add "
    "?server=rtmp://HOST:PORT to the configuration URL."
)


class ObsConfig:
    """The routes."""

    def __init__(self, context: WebContext) -> None:
        self._context = context

    async def post(self, request: web.Request) -> web.StreamResponse:
        """OBS asks, before it streams."""
        body = await request.read()
        return self._answer(request, lambda: read_client(body))

    async def get(self, request: web.Request) -> web.StreamResponse:
        """A person asks, with what OBS would say in the query."""
        return self._answer(request, lambda: client_of_query(request.query))

    def _answer(self, request: web.Request, read: Callable[[], Client]) -> web.StreamResponse:
        settings = self._context.settings()
        if not settings.web.has_obs_config:
            raise Refused(404, "OBS's configuration is not served here (web.obs_config)")
        try:
            client = read()
        except Unreadable as error:
            raise Refused(400, str(error)) from None
        return web.json_response(self._document(request, settings, client))

    def _document(self, request: web.Request, settings: Settings, client: Client) -> Json:
        template = settings.template(request.match_info["app"])
        if template is None:
            return refusal("There is no such app on this farm.")
        if not template.multitrack_video:
            return refusal("This app takes one video track: turn multitrack video off.")
        servers = servers_of(settings, request.query.get("server", ""), request.host)
        return answer(client, template, servers) if servers else refusal(_UNTOLD)


def servers_of(settings: Settings, given: str, host: str) -> list[str]:
    """Where publishers connect: as given, else at the host that was asked, with TLS first."""
    if given:
        return [given] if is_server(given) else []
    bracket = host.rfind("]")
    name = host[: bracket + 1] if bracket > 0 else host.partition(":")[0]
    tls = settings.listen_tls
    ports = (("rtmps", tls.port if tls is not None else 0), ("rtmp", settings.listen.port))
    found = [f"{scheme}://{name}:{port}" for scheme, port in ports if port]
    return [server for server in found if is_server(server)]


def obs_routes(context: WebContext) -> Sequence[Route]:
    """Its part of the table."""
    service = ObsConfig(context)
    return [Route("POST", PATH, service.post), Route("GET", PATH, service.get)]
