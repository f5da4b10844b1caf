"""WHEP by HTTP (IO: aiohttp): viewers' requests go to the `rtc` child, and its answers back.

draft-ietf-wish-whep, as far as `rtc_door.py` says.
"""

from collections.abc import Sequence

from aiohttp import web

from common.extras import WEBRTC, install_words, is_installed
from common.ipc.whep_messages import WhepOffer
from egress.web.requests import wish_of
from egress.web.routes import Route, WebContext
from egress.web.rtc_door import RtcDoor, change_session, created, end_session, offer_of, own_host


class Whep:
    """The routes."""

    def __init__(self, context: WebContext) -> None:
        self._context = context
        self._door = RtcDoor("whep", _absent)
        context.follow(self._door.follow)

    async def begin(self, request: web.Request) -> web.StreamResponse:
        """POST of an offer."""
        offer, wish = await offer_of(request), wish_of(request)
        answer = await self._door.begin(
            WhepOffer(
                wish.app,
                wish.key,
                wish.rendition,
                dict(wish.query),
                self._context.client(request),
                offer,
                own_host(request),
            )
        )
        return created(request, answer)

    async def end(self, request: web.Request) -> web.StreamResponse:
        """DELETE of a session."""
        return await end_session(self._door, request)


def whep_routes(context: WebContext) -> Sequence[Route]:
    """WHEP's part of the table."""
    whep = Whep(context)
    found = []
    for path in ("/{app}/{key}/whep", "/{app}/{key}/{rendition}/whep"):
        found += [
            Route("POST", path, whep.begin),
            Route("DELETE", path + "/{session}", whep.end),
            Route("PATCH", path + "/{session}", change_session),
        ]
    return found


def _absent() -> str:
    if not is_installed(WEBRTC):
        return f"WebRTC is not installed here: the operator may do so by {install_words(WEBRTC)}"
    return "WebRTC does not run here just now (webrtc.enabled; `tfarm status` says why)"
