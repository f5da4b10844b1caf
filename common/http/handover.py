"""Viewers' connections on their way to an egress (IO: aiohttp, sockets).

What follows on a connection that was handed over is the egress's, from the answer's first byte on.
So media comes through no process but that one, and goes on when this one ends.
"""

import contextlib
import logging
import os
import time
from collections.abc import Sequence
from typing import Final

from aiohttp import web

from common.ipc.envelope import encode
from common.ipc.socket_handover import HandoverClient
from common.ipc.viewer_doors import ViewerDoors

log = logging.getLogger("tfarm.common.http.handover")

HANDOVER_S: Final = 3.0
NO_EGRESS: Final = "no egress runs just now: try again in a second"


class HandedOver(web.Response):
    """Nothing is answered here: whoever has the connection now does."""


class NotHandedOver(Exception):
    """Nobody took it: why, in words for the viewer."""


class ViewerHandover:
    """The egresses, and who is handed over to them."""

    def __init__(self, socket: str, *, tries: int = 1) -> None:
        """As `ViewerDoors`."""
        self._doors = ViewerDoors(socket, tries=tries)
        self.follow = self._doors.follow

    async def hand_over(
        self, request: web.Request, stream_id: str, message: object
    ) -> web.StreamResponse:
        """Let an egress answer a GET, the stream's home first. Raises NotHandedOver."""
        if request.method != "GET":  # whoever is sent the stream sends its body
            raise web.HTTPMethodNotAllowed(request.method, ["GET"])
        return await hand_over(request, self._doors.addresses(stream_id), message)


async def hand_over(
    request: web.Request, addresses: Sequence[str], message: object
) -> web.StreamResponse:
    """Give a request's connection to the first of these that takes it. Raises NotHandedOver."""
    transport = request.transport
    if transport is None:
        raise ConnectionResetError
    snapshot, reason = encode(message), NO_EGRESS
    deadline_s = time.monotonic() + HANDOVER_S
    descriptor = os.dup(transport.get_extra_info("socket").fileno())
    try:
        for address in addresses:
            ack = await HandoverClient(address).send(descriptor, snapshot, deadline_s)
            if not ack.is_declined:
                break
            reason = ack.reason
        else:
            raise NotHandedOver(reason)
    finally:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    if not ack.adopted:
        log.warning("a viewer was not handed over reason=%s", ack.reason)
    # Where nobody knows who has it, nothing more may be said on it.
    request.protocol.force_close()
    return HandedOver()
