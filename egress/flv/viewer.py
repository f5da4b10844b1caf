"""One viewer of FLV by HTTP after its handover (IO): an asker, then a sink of its channel."""

import asyncio
import socket
from collections.abc import Callable, Mapping
from typing import Protocol

from common.access.refusal import Refusal, RefusalReason
from common.http.statuses import answer_head, refusal_answer
from common.process.socket_end import taken_bytes
from egress.access import PlayWanted, Wish
from egress.entrance import Asker
from egress.fanout.channel import Channel, Channels
from egress.fanout.player_queue import Player
from egress.flv.from_units import FLV_FORM, PROTOCOL, file_header
from egress.http.connection import Host as ConnectionHost
from egress.http.connection import ViewerConnection
from egress.sockets.queue_writer import Timer
from egress.sockets.socket_reader import lost
from egress.streams.rendition import Rendition
from egress.streams.subscribers import Start

CONTENT_TYPE = "video/x-flv"


class Host(ConnectionHost, Protocol):
    """The server, as a viewer calls it."""

    @property
    def channels(self) -> Channels: ...

    def on_ended(self, viewer: "FlvViewer", reason: str, /) -> None:
        """It watches or asks for nothing any more."""


class FlvViewer(ViewerConnection):
    """A `Sink` of its channel, and an `Asker`."""

    def __init__(
        self,
        tcp: socket.socket,
        address: str,
        headers: Mapping[str, str],
        number: int,
        host: Host,
        loop: asyncio.AbstractEventLoop,
        queue_ms: int,
    ) -> None:
        """`headers` are the answer's, besides its own."""
        self.player = Player(queue_ms)
        self.place = 0
        self.channel: Channel | None = None
        self.wish: Wish | Refusal | None = None
        self.wanted: PlayWanted | None = None
        self.is_asking = False
        self._headers = headers
        self._flv_host = host
        self._timer = Timer(loop)
        super().__init__(tcp, self.player, address, number, host, loop)

    # ---- the asker ----------------------------------------------------------------------------

    @property
    def protocol(self) -> str:
        return PROTOCOL

    @property
    def taken_bytes(self) -> int:
        return taken_bytes(self.peer)

    def takes_video(self, codec: str, /) -> bool:
        return True  # HTTP has no word for it: what cannot play it says so itself

    def wait(self, seconds: float, on_timeout: Callable[[Asker], None], /) -> None:
        self.is_asking = True
        self._timer.set(seconds, on_timeout, self)

    def accept(self, rendition: Rendition, start: Start, /) -> None:
        self._answered()
        channel = self.channel = self._flv_host.channels.get(rendition)
        channel.join(self, start, FLV_FORM)
        # Before all media, whose headers are known by now.
        head = answer_head(200, CONTENT_TYPE, self._headers)
        self.player.control(head + file_header(channel.buffer.headers))
        self.on_queued()

    def refuse(self, refusal: Refusal, /) -> None:
        if self.is_ending:
            return
        self._answered()
        self.on_leaving(f"refused: {refusal.reason}: {refusal.words}")
        self.player.finish(refusal_answer(refusal, self._headers))
        self.end(f"refused: {refusal.reason}: {refusal.words}")

    def finish(self, reason: str, /, *, is_over: bool = True) -> None:
        if self.is_ending:
            return
        if self.is_asking:
            self.refuse(Refusal(RefusalReason.NOT_FOUND, reason))
            return
        self._leave_channel(reason, discard=False)
        self.end(reason)

    def _answered(self) -> None:
        self.is_asking = False
        self._timer.cancel()

    # ---- the sink -----------------------------------------------------------------------------

    def on_broken(self, error: OSError) -> None:
        """Close the connection, but not in the middle of the fan-out's loop."""
        self._loop.call_soon(self.close, lost(error))

    def on_sent(self) -> None:
        if self.channel is not None:
            self.channel.caught_up(self)

    def on_leaving(self, reason: str) -> None:
        self._timer.cancel()
        self._leave_channel(reason, discard=True)

    def _leave_channel(self, reason: str, *, discard: bool) -> None:
        channel, self.channel = self.channel, None
        if channel is not None:
            channel.remove(self)
        self.player.leave(discard=discard)
        self._flv_host.on_ended(self, reason)
