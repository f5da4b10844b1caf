"""One viewer's connection after its handover (IO): bytes out, and its end.

Its request was read by the API. What it still sends is read, so that its end is seen, and counts
against the little that a viewer has to say. Every way out ends in `close`, once.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Final, Protocol

from common.access.peer_address import host_of
from common.ipc.api_messages import WatchRequest
from common.process.fair_reading import FairReading
from common.process.socket_end import close_now, unsent_bytes
from egress.http.channel import Channel
from egress.http.responses import ending, unavailable
from egress.http.viewer_queue import ViewerQueue
from egress.sockets.queue_writer import QueueWriter
from egress.sockets.socket_reader import SocketReader, lost

START_S: Final = 25.0  # for a first picture
END_S: Final = 5.0  # for what is queued, and what the kernel has of it, to go out


class Host(Protocol):
    """The server, as a connection calls it."""

    @property
    def reading(self) -> FairReading: ...

    @property
    def now(self) -> Callable[[], float]: ...

    def on_closed(self, viewer: "Viewer", reason: str) -> None: ...


class Viewer:
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
        self.number = number
        self.queue = ViewerQueue(queue_ms, is_chunked=request.is_chunked)
        self.is_chunked = request.is_chunked
        self.host = host_of(request.address)
        self.opened_s = host.now()
        self.channel: Channel | None = None
        self._peer = tcp
        self._server = host
        self._loop = loop
        self._writer = QueueWriter(tcp, self.queue, loop, host.now)
        self._reader = SocketReader(tcp, host.reading)
        self._reason = ""  # why it ends
        self._ends_s: float | None = None  # when at the latest
        self._is_closed = False

    def start(self, channel: Channel) -> None:
        """Watch a channel's rendition from now on."""
        self._reader.watch(self.host, lambda data: None, self.close)
        self.channel = channel
        channel.join(self)

    def on_queued(self) -> None:
        """Send what is queued, unless the socket is known to take nothing."""
        if not self._writer.is_waiting and not self._is_closed:
            self._writer.note_progress()
            self._pump()

    def finish(self, reason: str, *, is_over: bool) -> None:
        """Say that nothing follows, and close once that has arrived."""
        if self._ends_s is not None or self._is_closed:
            return
        self._leave()
        self._reason = reason
        self._ends_s = self._server.now() + END_S
        if self.queue.is_begun:
            self.queue.finish(ending(reason, is_over=is_over))
        else:
            self.queue.answer(unavailable(reason))
        self.on_queued()

    def check(self, now: float, stall_timeout_s: float) -> None:
        """Close one that takes nothing, end one that gets nothing; once a second."""
        if self._ends_s is not None:
            is_sent = not self.queue.has_queue and not unsent_bytes(self._peer)
            if is_sent or now >= self._ends_s:
                self.close(self._reason)
        elif self.queue.has_queue:
            if now - self._writer.progress_s > stall_timeout_s:
                self.close("took no byte for too long")
        elif not self.queue.is_begun and now - self.opened_s > START_S:
            self.finish("no keyframe has come", is_over=False)

    def close(self, reason: str) -> None:
        """Close at once. Does nothing the second time."""
        if self._is_closed:
            return
        self._is_closed = True
        self._leave()
        self._reader.stop()
        self._writer.stop_waiting()
        close_now(self._peer)
        self._server.on_closed(self, self._reason or reason)

    def _leave(self) -> None:
        channel, self.channel = self.channel, None
        if channel is not None:
            channel.remove(self)

    def _pump(self) -> None:
        if self._is_closed:
            return
        try:
            self._writer.write(self._pump)
        except OSError as error:
            # not here: this may be in the middle of a channel's loop
            self._loop.call_soon(self.close, lost(error))
