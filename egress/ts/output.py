"""Transport streams as an output of the egress (IO): viewers of the `srt` child, judged here."""

import logging
import socket
from collections.abc import Mapping
from typing import Final

from common.ipc.api_messages import ViewRequest
from common.ipc.identity import StreamId
from egress.http.asking import AskingOutput
from egress.http.channel import Channels
from egress.output import Audience, OutputContext
from egress.ts.from_units import PROTOCOL, TsPieces
from egress.ts.viewer import TsViewer

log = logging.getLogger("tfarm.egress.ts.output")

SOCKET: Final = "ts"


class TsOutput(AskingOutput[TsViewer]):
    """An `Output`."""

    def __init__(self, context: OutputContext) -> None:
        super().__init__(context, PROTOCOL, SOCKET, log)
        self.channels = Channels(TsPieces)

    def audience(self, stream_id: StreamId) -> Mapping[str, Audience]:
        return self.channels.audience(stream_id)

    def new_viewer(self, tcp: socket.socket, request: ViewRequest) -> TsViewer:
        queue_ms = self.settings.egress.queue_ms
        return TsViewer(tcp, request, self.new_number(), self, self.loop, queue_ms)
