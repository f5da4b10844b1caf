"""Live streams for viewers (IO: sockets): their connections go to the egress that has the stream.

So media comes through no process but that one, and goes on when this one ends. A viewer was let in
before. The answer's first byte is the egress's already; one that takes nobody says why.
"""

import contextlib
import logging
import os
import time
from collections.abc import Mapping, Sequence
from typing import Final

from aiohttp import web

from api.operations import ApiError
from common.ipc.api_messages import WatchRequest
from common.ipc.control_messages import Endpoint
from common.ipc.egress_homes import home
from common.ipc.envelope import encode
from common.ipc.identity import ChildId
from common.ipc.socket_handover import HandoverAck, HandoverClient

log = logging.getLogger("tfarm.api.live")

HANDOVER_S: Final = 3.0


class HandedOver(web.Response):
    """Nothing is answered here: whoever has the connection now does."""


class LiveStreams:
    """The egresses, and who is handed over to them."""

    def __init__(self) -> None:
        self._egresses: Mapping[ChildId, str] = {}  # their sockets for viewers

    def follow(self, endpoints: Sequence[Endpoint]) -> None:
        """These children run; those that retire take nobody new."""
        taking = [end for end in endpoints if end.viewers and not end.is_retiring]
        self._egresses = {end.child: end.viewers for end in taking}

    async def hand_over(self, request: web.Request, wanted: WatchRequest) -> web.StreamResponse:
        """Let the stream's egress answer. Raises ApiError where it does not."""
        egress = home(wanted.stream_id, self._egresses)
        transport = request.transport
        if egress is None or transport is None:
            raise ApiError(503, "no-egress", "no egress runs just now: try again in a second")
        client = HandoverClient(self._egresses[egress])
        descriptor = os.dup(transport.get_extra_info("socket").fileno())
        try:
            deadline_s = time.monotonic() + HANDOVER_S
            ack = await client.send(descriptor, encode(wanted), deadline_s)
        finally:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._look_at(ack, request)
        return HandedOver()

    def _look_at(self, ack: HandoverAck, request: web.Request) -> None:
        if ack.is_declined:
            raise ApiError(503, "not-sent", ack.reason)
        if not ack.adopted:
            log.warning("a viewer was not handed over reason=%s", ack.reason)
        # Where nobody knows who has it, nothing more may be said on it.
        request.protocol.force_close()
