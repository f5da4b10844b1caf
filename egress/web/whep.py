"""WHEP by HTTP (IO: aiohttp): requests go to the `rtc` child, and its answers back.

draft-ietf-wish-whep: an offer by POST, answered with 201, the answer, and the session's address in
`Location`, which DELETE ends. All candidates stand in the answer: there is nothing to PATCH.
"""

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from typing import Final

from aiohttp import web

from common.access.refusal import Refusal, RefusalReason
from common.errors import EnvelopeError
from common.extras import WEBRTC, install_words, is_installed
from common.ipc.control_messages import Endpoint
from common.ipc.endpoint import socket_path
from common.ipc.envelope import decode_frames, encode
from common.ipc.whep_messages import MAX_OFFER_BYTES, WhepAnswer, WhepEnd, WhepOffer
from egress.web.answers import Refused
from egress.web.requests import wish_of
from egress.web.routes import Route, WebContext

ANSWER_S: Final = 60.0  # for the longest wait for a stream, and a hook
MAX_BYTES: Final = 256 * 1024
SDP: Final = "application/sdp"
NO_ANSWER: Final = "WebRTC does not answer just now: try again in a second"


class RtcDoor:
    """The way to the `rtc` child, wherever that is just now."""

    def __init__(self) -> None:
        self._addresses: list[str] = []  # of who takes new viewers first

    def follow(self, endpoints: Sequence[Endpoint]) -> None:
        """These children run now; those that retire take nobody new."""
        found = [end for end in endpoints if end.whep]
        self._addresses = [end.whep for end in sorted(found, key=lambda end: end.is_retiring)]

    async def begin(self, request: WhepOffer) -> WhepAnswer:
        """Have the child answer that takes new viewers. Raises Refused."""
        if not self._addresses:
            raise Refused(503, _absent())
        return await self._ask(self._addresses[0], request)

    async def end(self, request: WhepEnd) -> WhepAnswer:
        """Have the session's process end it, wherever it is. Raises Refused."""
        if not self._addresses:
            raise Refused(503, _absent())
        for address in self._addresses:
            answer = await self._ask(address, request)
            if answer.status == 200:
                break
        return answer

    async def _ask(self, address: str, request: WhepOffer | WhepEnd) -> WhepAnswer:
        loop = asyncio.get_running_loop()
        link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        link.setblocking(False)
        try:
            async with asyncio.timeout(ANSWER_S):
                await loop.sock_connect(link, socket_path(address))
                await loop.sock_sendall(link, encode(request))
                answer, _ = decode_frames([await loop.sock_recv(link, MAX_BYTES)])
        except (OSError, TimeoutError, EnvelopeError):
            raise Refused(503, NO_ANSWER) from None
        finally:
            link.close()
        if not isinstance(answer, WhepAnswer):
            raise Refused(503, NO_ANSWER)
        return answer


class Whep:
    """The routes."""

    def __init__(self, context: WebContext) -> None:
        self._context = context
        self._door = RtcDoor()
        context.follow(self._door.follow)

    async def begin(self, request: web.Request) -> web.StreamResponse:
        """POST of an offer."""
        if request.content_type != SDP:
            raise Refused(415, f"an offer is sent as {SDP}")
        body = await request.read()
        if len(body) > MAX_OFFER_BYTES:
            raise Refused(413, f"an offer has at most {MAX_OFFER_BYTES} bytes")
        try:
            offer = body.decode()
        except UnicodeDecodeError:
            raise Refused(400, "an offer is text in UTF-8") from None
        wish = wish_of(request)
        answer = await self._door.begin(
            WhepOffer(
                wish.app,
                wish.key,
                wish.rendition,
                dict(wish.query),
                self._context.client(request),
                offer,
                _own_host(request),
            )
        )
        if answer.reason:
            raise Refused.by(Refusal(RefusalReason(answer.reason), answer.words))
        if answer.status != 201:
            raise Refused(answer.status, answer.words)
        location = f"{request.rel_url.raw_path}/{answer.session}"
        headers = {"Location": location, "Accept-Patch": ""}
        return web.Response(status=201, text=answer.words, content_type=SDP, headers=headers)

    async def end(self, request: web.Request) -> web.StreamResponse:
        """DELETE of a session."""
        answer = await self._door.end(WhepEnd(request.match_info["session"]))
        if answer.status != 200:
            raise Refused(answer.status, answer.words)
        return web.Response(status=200)

    async def change(self, request: web.Request) -> web.StreamResponse:
        """PATCH: neither trickle ICE nor its restart."""
        raise Refused(405, "the answer has all candidates: there is nothing to add or to restart")


def whep_routes(context: WebContext) -> Sequence[Route]:
    """WHEP's part of the table."""
    whep = Whep(context)
    found = []
    for path in ("/{app}/{key}/whep", "/{app}/{key}/{rendition}/whep"):
        found += [
            Route("POST", path, whep.begin),
            Route("DELETE", path + "/{session}", whep.end),
            Route("PATCH", path + "/{session}", whep.change),
        ]
    return found


def _absent() -> str:
    if not is_installed(WEBRTC):
        return f"WebRTC is not installed here: the operator may do so by {install_words(WEBRTC)}"
    return "WebRTC does not run here just now (webrtc.enabled; `tfarm status` says why)"


def _own_host(request: web.Request) -> str:
    transport = request.transport
    own = None
    with contextlib.suppress(OSError):
        own = transport.get_extra_info("sockname") if transport is not None else None
    return str(own[0]) if own else ""
