"""One who is sent a transport stream (IO): an asker, then a sink of its channel."""

import asyncio
import socket
from typing import Protocol

from common.access.refusal import Refusal, RefusalReason
from common.ipc.api_messages import ViewRequest
from common.ipc.view_answer import ViewAnswer, framed
from egress.http.asking import AskingViewer
from egress.http.asking import Host as AskingHost
from egress.http.channel import Channel, Channels
from egress.http.viewer_queue import ViewerQueue
from egress.streams.rendition import Rendition
from egress.streams.subscribers import Start
from egress.ts.from_units import PROTOCOL


class Host(AskingHost, Protocol):
    """The server, as a viewer calls it."""

    @property
    def channels(self) -> Channels: ...


class TsViewer(AskingViewer):
    """A `Sink` of its channel. Its body ends with the connection."""

    protocol = PROTOCOL
    is_chunked = False

    def __init__(
        self,
        tcp: socket.socket,
        request: ViewRequest,
        number: int,
        host: Host,
        loop: asyncio.AbstractEventLoop,
        queue_ms: int,
    ) -> None:
        self.queue = ViewerQueue(queue_ms, is_chunked=False)
        self.channel: Channel | None = None
        self._ts_host = host
        super().__init__(tcp, self.queue, request, number, host, loop)

    @property
    def is_watching(self) -> bool:
        return self.channel is not None

    @property
    def dropped(self) -> int:
        return self.queue.dropped

    def begin(self, rendition: Rendition, start: Start) -> None:
        self.channel = self._ts_host.channels.get(rendition, has_sound=False)
        self.channel.join(self, start)

    def finish(self, reason: str, /, *, is_over: bool = True) -> None:
        if not self.is_ending and not self.is_asking and not self.queue.is_begun:
            # It was let in, and the rendition is none that can be sent.
            refusal = Refusal(RefusalReason.UNSUPPORTED, reason)
            self.put_refusal(refusal)
        super().finish(reason, is_over=is_over)

    def put_refusal(self, refusal: Refusal) -> None:
        self.queue.answer(framed(ViewAnswer(refusal)))

    def leave(self, *, discard: bool) -> None:
        channel, self.channel = self.channel, None
        if channel is not None:
            channel.remove(self)
