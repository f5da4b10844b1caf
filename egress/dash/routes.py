"""DASH by HTTP (IO: aiohttp), beside the routes of HLS, whose segments and viewers these are.

GET /APP/KEY/index.mpd[?rendition=NAME]    the description of all renditions, or of this one
GET /APP/KEY/TRACK/MSN.m4s                 a segment; one that is being made comes as it is made
GET /time                                  the time by which descriptions tell availability
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from aiohttp import web

from common.http.statuses import HEADERS
from egress.dash.contents import presentation
from egress.dash.mpd import CONTENT_TYPE, date, description
from egress.hls.live import Hls, Track
from egress.hls.output import DASH
from egress.hls.playlists import SOUND
from egress.hls.reload import Wanted
from egress.hls.routes import READING, HlsRequests
from egress.hls.sessions import Session
from egress.hls.window import Window
from egress.web.answers import Refused, cors
from egress.web.routes import Route, WebContext

WRITE_S: Final = 10.0  # that a viewer may take for a part of a segment that is being made
_DESCRIPTION: Final = "index.mpd"  # as a track's name, by which viewers without a token are known
_NOT_THERE: Final = "there is no such segment, or not any more"


def dash_routes(context: WebContext) -> Sequence[Route]:
    requests = DashRequests(context)
    return [
        Route(method, path, handler)
        for method in READING
        for path, handler in (
            ("/time", moment),
            ("/{app}/{key}/index.mpd", requests.at_home(requests.description)),
            (
                r"/{app}/{key}/{track}/{msn:\d{1,15}}.m4s",
                requests.at_home(requests.segment),
            ),
        )
    ]


async def moment(request: web.Request) -> web.Response:
    """The time, as players of DASH ask for it (urn:mpeg:dash:utc:http-iso:2014)."""
    return web.Response(text=date(time.time()))


def is_coming(window: Window, msn: int) -> bool:
    """Whether a segment is being made, or is the next one."""
    open_msn, _ = window.next_part
    return not window.has_ended and open_msn <= msn <= open_msn + 1


class DashRequests(HlsRequests):
    """Answers what viewers of DASH ask; they are let in as those of HLS."""

    description_name = _DESCRIPTION

    def __init__(self, context: WebContext) -> None:
        super().__init__(context)
        self._settings = context.settings

    async def description(self, request: web.Request) -> web.Response:
        """The MPD; its `Location` has the viewer's token, for he asks for it again."""
        name = request.query.get("rendition", "")
        session, hls = await self._viewer(request, (name,) if name else ())
        listed = [one for one in (name,) if one] or list(hls.listed)
        found = presentation(hls, [one for one in listed if one in session.renditions])
        query = session.query + (f"&rendition={name}" if name else "")
        text = description(found, time.time(), session.query, f"{_DESCRIPTION}?{query}")
        body = text.encode()
        if request.method != "HEAD":
            session.sent_bytes += len(body)
        headers = {"Content-Type": CONTENT_TYPE, "Cache-Control": "no-cache"}
        return web.Response(body=body, headers=headers)

    async def segment(self, request: web.Request) -> web.StreamResponse:
        """A segment at once, or as it is made."""
        session, _, track = await self._find(request)
        msn = int(request.match_info["msn"])
        segment = track.window.segment(msn)
        if segment is not None and segment.is_complete and not segment.is_gap:
            return self._media(request, session, track, segment.data)
        if not is_coming(track.window, msn):
            raise Refused(404, _NOT_THERE)
        if not await self._next_part(session, track, msn, 0):
            raise Refused(404, _NOT_THERE)
        return await self._growing(request, session, track, msn)

    def _protocol(self, request: web.Request) -> str:
        return super()._protocol(request) if "msn" in request.match_info else DASH

    async def _viewer(self, request: web.Request, names: tuple[str, ...]) -> tuple[Session, Hls]:
        """Who asks for a description, for the first time or again."""
        session, token, origin = self._session(request, _DESCRIPTION)
        if session is None:
            return await self._let_in(request, names, token, origin)
        session.seen_s = self._output.now()
        hls = self._output.streams.find(session.stream_id)
        return session, hls if hls is not None else await self._open(session, names, 1.0)

    async def _growing(
        self, request: web.Request, session: Session, track: Track, msn: int
    ) -> web.StreamResponse:
        """Send each part when it is there, at the speed of the line."""
        response = web.StreamResponse(headers=self._headers(request, track))
        await response.prepare(request)
        if request.method == "HEAD":
            await response.write_eof()
            return response
        try:
            is_whole = await self._send_parts(response, session, track, msn)
        except (ConnectionError, TimeoutError):
            is_whole = False
        if is_whole:
            await response.write_eof()
        elif request.transport is not None:
            request.transport.abort()  # without its last chunk it is known not to be whole
        return response

    async def _send_parts(
        self, response: web.StreamResponse, session: Session, track: Track, msn: int
    ) -> bool:
        """Send a segment's parts up to its last; False: that does not come."""
        index = 0
        while (segment := track.window.segment(msn)) is not None:
            for part in segment.parts[index:]:
                index += 1
                if part.is_gap:
                    continue
                async with asyncio.timeout(WRITE_S):
                    await response.write(bytes(part.data))
                session.sent_bytes += len(part.data)
            # what was written took its time: there may be more parts by now
            if segment.is_complete and index == len(segment.parts):
                return True
            if index == len(segment.parts) and not await self._next_part(
                session, track, msn, index
            ):
                return False
        return False

    async def _next_part(self, session: Session, track: Track, msn: int, index: int) -> bool:
        """Wait until this part is there, or the segment is over without it; False: for too long."""
        window = track.window
        while (segment := window.segment(msn)) is None or (
            not segment.is_complete and len(segment.parts) <= index
        ):
            if not is_coming(window, msn):
                return False
            if not await self._output.streams.wait(track, Wanted(msn, index), session):
                return False
        return not segment.is_gap

    def _headers(self, request: web.Request, track: Track) -> dict[str, str]:
        """Those of a segment; what is sent piece by piece gets none from the server's guard."""
        kind = "audio/mp4" if track.name == SOUND else "video/mp4"
        age_s = int(track.window.limits.seconds)
        origins = self._settings().web.cors_origins
        return {
            **HEADERS,
            "Content-Type": kind,
            "Cache-Control": f"public, max-age={age_s}",
            **cors(origins, request.headers.get("Origin")),
        }
