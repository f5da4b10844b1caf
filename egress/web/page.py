"""The player's page, its files, and what it asks about a stream (IO: aiohttp).

    GET /play/APP/KEY[/RENDITION]    the page; its query lets the viewer in, as with every way
    GET /play/APP/KEY/stream.json    the ways that are served and the renditions that are granted
    GET /player/VERSION/FILE         what the page is made of

Everybody gets the page: who may not watch reads there why.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from aiohttp import web

from common.access.peer_address import Networks, host_of
from common.access.refusal import Refusal
from common.access.wrong_keys import WrongKeys
from common.ipc.control_messages import Endpoint
from egress.access import Viewer, Wish
from egress.streams.stream import Stream
from egress.web import about
from egress.web.answers import Refused
from egress.web.player_files import POLICY, PlayerFiles
from egress.web.routes import Route, WebContext

WAIT_S: Final = 1.0  # for a stream that is elsewhere in the farm
LOOK_S: Final = 0.05
ABSENT: Final = "nobody publishes this stream, or it has no video"


def page_routes(context: WebContext) -> Sequence[Route]:
    page = PlayerPage(context)
    return [
        Route(method, path, handler)
        for method in ("GET", "HEAD")
        for path, handler in (
            ("/play/{app}/{key}/stream.json", page.about),
            ("/play/{app}/{key}", page.page),
            ("/play/{app}/{key}/{rendition}", page.page),
            ("/player/{version}/{name}", page.file),
        )
    ]


class PlayerPage:
    """Answers what the page asks."""

    def __init__(self, context: WebContext) -> None:
        self._context = context
        self._files = PlayerFiles()
        self._wrong_keys = WrongKeys()
        self._has_webrtc = False
        context.follow(self._follow)

    def _follow(self, endpoints: Sequence[Endpoint]) -> None:
        self._has_webrtc = any(endpoint.whep for endpoint in endpoints)

    async def page(self, request: web.Request) -> web.Response:
        depth = request.path.count("/") - 1
        return web.Response(
            body=self._files.page(depth),
            content_type="text/html",
            charset="utf-8",
            headers={"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"},
        )

    async def file(self, request: web.Request) -> web.Response:
        takes_gzip = "gzip" in request.headers.get("Accept-Encoding", "")
        found = self._files.file(request.match_info["name"], takes_gzip=takes_gzip)
        if found is None:
            raise Refused(404, "the player has no such file")
        content, content_type, is_compressed = found
        version = request.match_info["version"]
        headers = {"Cache-Control": self._files.cache_control(version), "Vary": "Accept-Encoding"}
        if is_compressed:
            headers["Content-Encoding"] = "gzip"
        return web.Response(
            body=content, content_type=content_type, charset="utf-8", headers=headers
        )

    async def about(self, request: web.Request) -> web.Response:
        settings, context = self._context.settings(), self._context.context
        names = request.match_info
        wish = Wish(names["app"], names["key"], "", dict(request.query))
        viewer = Viewer(host_of(self._context.client(request)), time.time())
        granted = about.granted(settings, wish, viewer)
        if isinstance(granted, Refusal):
            if granted.is_wrong_key:
                self._wrong_keys.configure(Networks(settings.ingest.exempt_networks))
                await asyncio.sleep(self._wrong_keys.delay(viewer.host, context.clock()))
            raise Refused.by(granted)
        stream = await self._stream(wish)
        if stream is None:
            raise Refused(404, ABSENT)
        granted = about.granted(settings, wish, viewer, stream)
        if isinstance(granted, Refusal):
            raise Refused.by(granted)
        paths = [one.canonical for one in request.app.router.resources()]
        ways = about.served_ways(paths, has_webrtc=self._has_webrtc)
        return web.json_response(about.about(settings, wish, granted, ways, time.time(), stream))

    async def _stream(self, wish: Wish) -> Stream | None:
        """Return a stream, once it is here; it comes if somebody publishes it."""
        context = self._context.context
        until = context.clock() + WAIT_S
        while (stream := context.streams.get(wish.stream_id)) is None:
            if context.clock() >= until:
                return None
            context.request_stream(wish.stream_id, about.smallest(self._context.settings(), wish))
            await asyncio.sleep(LOOK_S)
        return stream
