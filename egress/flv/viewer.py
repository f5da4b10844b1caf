"""One viewer of FLV by HTTP after its handover (IO): an asker, then a sink of its channel."""

import asyncio
import socket
from typing import Protocol

from common.access.refusal import Refusal
from common.http.statuses import answer_head, refusal_answer
from common.ipc.api_messages import ViewRequest
from egress.fanout.channel import Channel, Channels
from egress.fanout.player_queue import Player
from egress.flv.from_units import FLV_FORM, PROTOCOL, file_header
from egress.http.asking import AskingViewer
from egress.http.asking import Host as AskingHost
from egress.sockets.socket_reader import lost
from egress.streams.rendition import Rendition
from egress.streams.subscribers import Start

CONTENT_TYPE = "video/x-flv"


class Host(AskingHost, Protocol):
    """The server, as a viewer calls it."""

    @property
    def channels(self) -> Channels: ...


class FlvViewer(AskingViewer):
    """A `Sink` of its channel."""

    protocol = PROTOCOL

    def __init__(
        self,
        tcp: socket.socket,
        request: ViewRequest,
        number: int,
        host: Host,
        loop: asyncio.AbstractEventLoop,
        queue_ms: int,
    ) -> None:
        self.player = Player(queue_ms)
        self.place = 0
        self.channel: Channel | None = None
        self._flv_host = host
        super().__init__(tcp, self.player, request, number, host, loop)

    @property
    def is_watching(self) -> bool:
        return self.channel is not None

    @property
    def dropped(self) -> int:
        return self.player.dropped

    def begin(self, rendition: Rendition, start: Start) -> None:
        channel = self.channel = self._flv_host.channels.get(rendition)
        channel.join(self, start, FLV_FORM)
        # Before all media, whose headers are known by now.
        head = answer_head(200, CONTENT_TYPE, self.headers)
        has_video = not rendition.is_sound_alone
        self.player.control(head + file_header(channel.buffer.headers, has_video=has_video))
        self.on_queued()

    def put_refusal(self, refusal: Refusal) -> None:
        self.player.finish(refusal_answer(refusal, self.headers))

    def leave(self, *, discard: bool) -> None:
        channel, self.channel = self.channel, None
        if channel is not None:
            channel.remove(self)
        self.player.leave(discard=discard)

    # ---- the sink -----------------------------------------------------------------------------

    def on_broken(self, error: OSError) -> None:
        """Close the connection, but not in the middle of the fan-out's loop."""
        self._loop.call_soon(self.close, lost(error))

    def on_sent(self) -> None:
        if self.channel is not None:
            self.channel.caught_up(self)
