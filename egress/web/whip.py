"""WHIP by HTTP (IO: aiohttp): publishers' requests go to the `whip` child, and its answers back.

RFC 9725, as far as `rtc_door.py` says. A publisher's key stands in the address (`?key=`), or is the
bearer token of the request (4.4.2), which OBS asks for.
"""

from collections.abc import Sequence
from typing import Final

from aiohttp import web

from common.extras import WEBRTC, install_words, is_installed
from common.ipc.whep_messages import WhipOffer
from egress.web.answers import Refused
from egress.web.requests import wish_of
from egress.web.routes import Route, WebContext
from egress.web.rtc_door import RtcDoor, change_session, created, end_session, offer_of, own_host

MAX_ENCODER: Final = 80  # characters
MAX_TOKEN: Final = 4096
_BEARER: Final = "bearer "


class Whip:
    """The routes."""

    def __init__(self, context: WebContext) -> None:
        self._context = context
        self._door = RtcDoor("whip", self._absent)
        context.follow(self._door.follow)

    async def begin(self, request: web.Request) -> web.StreamResponse:
        """POST of an offer."""
        offer, wish = await offer_of(request), wish_of(request)
        query = dict(wish.query)
        token = bearer(request.headers.get("Authorization", ""))
        if token:
            query.setdefault("key", token)
        answer = await self._door.begin(
            WhipOffer(
                wish.app,
                wish.key,
                query,
                self._context.client(request),
                offer,
                own_host(request),
                "".join(filter(str.isprintable, request.headers.get("User-Agent", "")))[
                    :MAX_ENCODER
                ],
            )
        )
        return created(request, answer)

    async def end(self, request: web.Request) -> web.StreamResponse:
        """DELETE of a session."""
        return await end_session(self._door, request)

    def _absent(self) -> str:
        if self._context.settings().listen_whip is None:
            return "nobody can publish by WebRTC here: the operator may allow it (listen.whip)"
        if not is_installed(WEBRTC):
            words = install_words(WEBRTC)
            return f"WebRTC is not installed here: the operator may do so by {words}"
        return "WHIP does not run here just now: try again in a second"


def bearer(header: str) -> str:
    """The token of `Authorization`; "": there is none. Raises Refused."""
    if len(header) > MAX_TOKEN:
        raise Refused(403, "a key that is too long")
    return header[len(_BEARER) :].strip() if header.lower().startswith(_BEARER) else ""


def whip_routes(context: WebContext) -> Sequence[Route]:
    """WHIP's part of the table."""
    whip, path = Whip(context), "/{app}/{key}/whip"
    return [
        Route("POST", path, whip.begin),
        Route("DELETE", path + "/{session}", whip.end),
        Route("PATCH", path + "/{session}", change_session),
    ]
