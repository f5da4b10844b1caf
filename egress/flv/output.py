"""FLV by HTTP as an output of the egress (IO): viewers of the `web` child, judged here."""

import logging
import socket
from collections.abc import Mapping
from typing import Final

from common.ipc.api_messages import ViewRequest
from common.ipc.identity import StreamId
from egress.fanout.channel import Channels
from egress.flv.from_units import PROTOCOL
from egress.flv.viewer import FlvViewer
from egress.http.asking import AskingOutput
from egress.output import Audience, OutputContext

log = logging.getLogger("tfarm.egress.flv.output")

SOCKET: Final = "flv"


class FlvOutput(AskingOutput[FlvViewer]):
    """An `Output`."""

    def __init__(self, context: OutputContext) -> None:
        super().__init__(context, PROTOCOL, SOCKET, log)
        self.channels: Channels = context.channels()

    def audience(self, stream_id: StreamId) -> Mapping[str, Audience]:
        return self.channels.audience(stream_id, PROTOCOL)

    def new_viewer(self, tcp: socket.socket, request: ViewRequest) -> FlvViewer:
        queue_ms = self.settings.egress.queue_ms
        return FlvViewer(tcp, request, self.new_number(), self, self.loop, queue_ms)
