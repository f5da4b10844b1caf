"""One viewer of fragmented MP4 after its handover (IO); the API let it in."""

import asyncio
import socket
from typing import Final

from common.ipc.api_messages import WatchRequest
from egress.http.channel import Channel
from egress.http.connection import Host, ViewerConnection
from egress.http.responses import ending, unavailable
from egress.http.viewer_queue import ViewerQueue

START_S: Final = 25.0  # for a first picture


class Viewer(ViewerConnection):
    """A `channel.Sink`."""

    def __init__(
        self,
        tcp: socket.socket,
        request: WatchRequest,
        number: int,
        host: Host,
        loop: asyncio.AbstractEventLoop,
        queue_ms: int,
    ) -> None:
        self.request = request
        self.queue = ViewerQueue(queue_ms, is_chunked=request.is_chunked)
        self.is_chunked = request.is_chunked
        self.channel: Channel | None = None
        super().__init__(tcp, self.queue, request.address, number, host, loop)

    def start(self, channel: Channel) -> None:
        """Watch a channel's rendition from now on."""
        self.watch()
        self.channel = channel
        channel.join(self)

    def finish(self, reason: str, *, is_over: bool) -> None:
        """Say that nothing follows, and close once that has arrived."""
        if self.is_ending:
            return
        self.on_leaving(reason)
        if self.queue.is_begun:
            self.queue.finish(ending(reason, is_over=is_over))
        else:
            self.queue.answer(unavailable(reason))
        self.end(reason)

    def check(self, now: float, stall_timeout_s: float) -> None:
        """Close one that takes nothing, end one that gets nothing; once a second."""
        is_waiting = not self.is_ending and not self.queue.is_begun
        if is_waiting and not self.queue.has_queue and now - self.opened_s > START_S:
            self.finish("no keyframe has come", is_over=False)
        else:
            super().check(now, stall_timeout_s)

    def on_leaving(self, reason: str) -> None:
        channel, self.channel = self.channel, None
        if channel is not None:
            channel.remove(self)
