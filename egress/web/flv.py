"""HTTP-FLV's address: who asks for it goes to an egress, which judges and answers (IO: aiohttp)."""

from collections.abc import Sequence
from typing import Final

from aiohttp import web

from common.http.handover import NotHandedOver, ViewerHandover
from common.ipc.api_messages import ViewRequest
from egress.web.answers import Refused
from egress.web.requests import wish_of
from egress.web.routes import Route, WebContext

TRIES: Final = 8  # egresses that may be full


def flv_routes(context: WebContext) -> Sequence[Route]:
    """`/APP/KEY/RENDITION.flv`, and `/APP/KEY.flv` for the source."""
    door = ViewerHandover("flv", tries=TRIES)
    context.follow(door.follow)

    async def hand_over(request: web.Request) -> web.StreamResponse:
        wish = wish_of(request)
        wanted = ViewRequest(
            wish.app,
            wish.key,
            wish.rendition,
            dict(wish.query),
            context.client(request),
            headers=context.cors(request),
        )
        try:
            return await door.hand_over(request, wish.stream_id, wanted)
        except NotHandedOver as error:
            raise Refused(503, str(error)) from None

    return (
        Route("GET", "/{app}/{key}/{rendition}.flv", hand_over),
        Route("GET", "/{app}/{key}.flv", hand_over),
    )
