"""FLV by HTTP as an output of the egress (IO): viewers of the `web` child, judged here."""

import logging
import socket
from collections.abc import Mapping
from typing import Final

from common.ipc.api_messages import ViewRequest
from common.ipc.identity import StreamId
from common.process.log import more
from egress.access import Wish
from egress.fanout.channel import Channels
from egress.flv.from_units import PROTOCOL
from egress.flv.viewer import FlvViewer
from egress.http.connection import prepare
from egress.http.handover_output import HandoverOutput
from egress.output import Audience, OutputContext, ViewerStatus

log = logging.getLogger("tfarm.egress.flv.output")

SOCKET: Final = "flv"


class FlvOutput(HandoverOutput[FlvViewer]):
    """An `Output`."""

    def __init__(self, context: OutputContext) -> None:
        super().__init__(context, PROTOCOL, SOCKET)
        self.channels: Channels = context.channels()
        self._entrance = context.entrance()

    def audience(self, stream_id: StreamId) -> Mapping[str, Audience]:
        return self.channels.audience(stream_id, PROTOCOL)

    def let_in(self, tcp: socket.socket, request: object) -> str:
        if not isinstance(request, ViewRequest):
            return f"{type(request).__name__} is no request to view"
        limits = self.settings.egress
        if self._entrance.is_stopping:
            return "this egress is stopping"
        if limits.processes > 1 and len(self._entrance) >= limits.max_players:
            return f"this egress has the {limits.max_players} players that it takes"
        if problem := prepare(tcp, limits.send_buffer_bytes):
            return problem
        number, headers = self.new_number(), request.headers
        viewer = FlvViewer(tcp, request.address, headers, number, self, self.loop, limits.queue_ms)
        self.add(viewer)
        self._entrance.arrived(viewer)
        viewer.watch()
        wish = Wish(request.app, request.key, request.rendition, request.query)
        self._entrance.ask(viewer, wish)
        return ""

    def on_ended(self, viewer: FlvViewer, reason: str, /) -> None:
        self._entrance.ended(viewer, reason)

    def on_left(self, viewer: FlvViewer, reason: str) -> None:
        self._entrance.left(viewer)
        if (held := self._entrance.may_log(viewer)) is not None:
            log.info(
                "player closed stream=%s address=%s seconds=%.1f dropped=%d reason=%s%s",
                self._entrance.label(viewer) or "?",
                viewer.address,
                self.now() - viewer.opened_s,
                viewer.player.dropped,
                reason,
                more(held),
            )

    def status_of(self, viewer: FlvViewer) -> ViewerStatus | None:
        if viewer.channel is None or viewer.wanted is None:
            return None
        return ViewerStatus(
            viewer.number,
            viewer.wanted.stream_id,
            viewer.wanted.rendition,
            PROTOCOL,
            viewer.address,
            self.now() - viewer.opened_s,
            viewer.player.dropped,
        )
