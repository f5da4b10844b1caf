"""What WHEP and WHIP by HTTP have in common (IO: aiohttp): the way to the child that answers.

An offer by POST is answered with 201, the answer, and the session's address in `Location`, which
DELETE ends. All candidates stand in the answer: there is nothing to PATCH.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from typing import Final

from aiohttp import web

from common.access.refusal import Refusal, RefusalReason
from common.errors import EnvelopeError
from common.ipc.control_messages import Endpoint
from common.ipc.endpoint import socket_path
from common.ipc.envelope import decode_frames, encode
from common.ipc.whep_messages import MAX_OFFER_BYTES, WhepAnswer, WhepEnd, WhepOffer, WhipOffer
from egress.web.answers import Refused

ANSWER_S: Final = 60.0  # for the longest wait for a stream, and a hook
MAX_BYTES: Final = 256 * 1024
SDP: Final = "application/sdp"
NO_ANSWER: Final = "WebRTC does not answer just now: try again in a second"


class RtcDoor:
    """The way to the `rtc` child or to the `whip` child, wherever that is just now."""

    def __init__(self, socket_name: str, absent: Callable[[], str]) -> None:
        """`socket_name`: of `Endpoint`; `absent` says why there is no such child."""
        self._addresses: list[str] = []  # of who takes new ones first
        self._socket_name, self._absent = socket_name, absent

    def follow(self, endpoints: Sequence[Endpoint]) -> None:
        """These children run now; those that retire take nobody new."""
        in_order = sorted(endpoints, key=lambda end: end.is_retiring)
        addresses = [getattr(end, self._socket_name) for end in in_order]
        self._addresses = [address for address in addresses if address]

    async def begin(self, request: WhepOffer | WhipOffer) -> WhepAnswer:
        """Have the child answer that takes new ones. Raises Refused."""
        if not self._addresses:
            raise Refused(503, self._absent())
        return await self._ask(self._addresses[0], request)

    async def end(self, request: WhepEnd) -> WhepAnswer:
        """Have the session's process end it, wherever it is. Raises Refused."""
        if not self._addresses:
            raise Refused(503, self._absent())
        for address in self._addresses:
            answer = await self._ask(address, request)
            if answer.status == 200:
                break
        return answer

    async def _ask(self, address: str, request: WhepOffer | WhipOffer | WhepEnd) -> WhepAnswer:
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


async def offer_of(request: web.Request) -> str:
    """The SDP offer that a request has. Raises Refused."""
    if request.content_type != SDP:
        raise Refused(415, f"an offer is sent as {SDP}")
    body = await request.read()
    if len(body) > MAX_OFFER_BYTES:
        raise Refused(413, f"an offer has at most {MAX_OFFER_BYTES} bytes")
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise Refused(400, "an offer is text in UTF-8") from None


def created(request: web.Request, answer: WhepAnswer) -> web.StreamResponse:
    """The answer to an offer. Raises Refused."""
    if answer.reason:
        raise Refused.by(Refusal(RefusalReason(answer.reason), answer.words))
    if answer.status != 201:
        raise Refused(answer.status, answer.words)
    location = f"{request.rel_url.raw_path}/{answer.session}"
    headers = {"Location": location, "Accept-Patch": ""}
    return web.Response(status=201, text=answer.words, content_type=SDP, headers=headers)


async def end_session(door: RtcDoor, request: web.Request) -> web.StreamResponse:
    """DELETE of a session. Raises Refused."""
    answer = await door.end(WhepEnd(request.match_info["session"]))
    if answer.status != 200:
        raise Refused(answer.status, answer.words)
    return web.Response(status=200)


async def change_session(request: web.Request) -> web.StreamResponse:
    """PATCH: neither trickle ICE nor its restart. Raises Refused."""
    raise Refused(405, "the answer has all candidates: there is nothing to add or to restart")


def own_host(request: web.Request) -> str:
    """The address of this host that a request came to; "": it is not told."""
    transport = request.transport
    own = None
    with contextlib.suppress(OSError):
        own = transport.get_extra_info("sockname") if transport is not None else None
    return str(own[0]) if own else ""
