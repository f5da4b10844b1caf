"""Pushes by RTMP and RTMPS (IO): published at others' servers as an encoder publishes.

To its rendition a target is one more player: it gets the bytes that all pushes of the rendition
get, and what its line does not take waits in a player's queue, which drops what is too late up to
the next keyframe. Who takes nothing for `egress.stall_timeout` is called anew.
"""

import asyncio
import ssl
from typing import Final, cast

from common.errors import ProtocolError
from common.rtmp.client import ClientEvent, ClientSession, Ended, Published, Refused
from egress.fanout.channel import Channel, Channels
from egress.fanout.player_queue import Player
from egress.push.rtmp_form import PublishForm
from egress.push.target_context import TargetContext
from egress.rtmp.from_units import CHUNK_SIZE
from egress.sound.carried import CLASSIC
from egress.streams.rendition import Rendition
from egress.streams.subscribers import Start

FOURCCS: Final = ("hvc1", "av01")  # what a rendition may be beside classic FLV

MAX_UNSENT: Final = 256 * 1024  # bytes beside what the kernel takes
GOODBYE_S: Final = 2.0  # for what is on its way, and then for the goodbye
MAX_WORDS: Final = 200
STALLED: Final = "it took nothing for too long"
CLOSED: Final = "the server closed the connection"


class RtmpTarget(asyncio.Protocol):
    """A `Target`, a `Sink` of its channel, and its socket's `Peer`."""

    def __init__(
        self, context: TargetContext, url: str, rendition: Rendition, channels: Channels
    ) -> None:
        """Call it. Raises ValueError where that is no URL of RTMP."""
        self.ended = ""
        self.is_sending = False
        self.sent_bytes = 0
        self.line: tuple[float, int] = (0.0, 0)
        self.player = Player(context.settings().egress.queue_ms)
        self.place = 0
        self._context, self._rendition, self._channels = context, rendition, channels
        self._session = ClientSession(url, "publish", CHUNK_SIZE, fourccs=FOURCCS)
        self._transport: asyncio.Transport | None = None
        self._channel: Channel | None = None
        self._full_since_s: float | None = None  # the line takes no more for now
        self._task = context.loop.create_task(self._call())

    @property
    def dropped(self) -> int:
        return self.player.dropped

    @property
    def peer(self) -> "RtmpTarget":
        return self

    def check(self, now: float) -> None:
        stall_s = self._context.settings().egress.stall_timeout_s
        if self._full_since_s is not None and now - self._full_since_s > stall_s:
            self.close(STALLED)

    def close(self, reason: str) -> None:
        if self.ended:
            return
        self.ended, self.is_sending = reason[:MAX_WORDS], False
        self._task.cancel()
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.remove(self)
        self.player.leave(discard=True)
        transport = self._transport
        if transport is not None and not transport.is_closing():
            self._session.close()
            self._flush()
            transport.close()
            self._context.loop.call_later(GOODBYE_S, transport.abort)

    # ---- the peer, and the sink ---------------------------------------------------------------

    def send(self, data: bytes, /) -> int:
        """Take all of it, or nothing: messages are never cut."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError(CLOSED)
        if self._full_since_s is not None:
            raise BlockingIOError
        self._transport.write(data)
        self.sent_bytes += len(data)
        return len(data)

    def on_queued(self) -> None:
        """Send what the line takes of the queue."""
        while self.player.has_queue and self._full_since_s is None:
            data = b"".join(self.player.buffers())
            try:
                self.player.sent(self.send(data))
            except OSError as error:
                self.on_broken(error)
                return
        if not self.player.has_queue and self._channel is not None:
            self._channel.caught_up(self)

    def on_broken(self, error: OSError) -> None:
        """Close it, but not in the middle of the fan-out's loop."""
        self._context.loop.call_soon(self.close, error.strerror or str(error) or CLOSED)

    def finish(self, reason: str) -> None:
        self.close(reason)

    # ---- the connection -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # one of uvloop's is no `asyncio.Transport`, and has all of its methods
        made = self._transport = cast(asyncio.Transport, transport)
        if self.ended:
            made.abort()
            return
        made.set_write_buffer_limits(MAX_UNSENT, MAX_UNSENT // 4)
        self._session.start()
        self._flush()

    def data_received(self, data: bytes) -> None:
        if self.ended:
            return
        try:
            self._session.receive_data(data, self._context.clock())
        except ProtocolError as error:
            self.close(f"the server broke the protocol: {error}")
            return
        self._flush()
        for event in self._session.events_received():
            self._on_event(event)

    def pause_writing(self) -> None:
        self._full_since_s = self._context.clock()

    def resume_writing(self) -> None:
        self._full_since_s = None
        if not self.ended:
            self.on_queued()

    def connection_lost(self, error: Exception | None) -> None:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else CLOSED
        self.close(reason)

    # ---- inside -------------------------------------------------------------------------------

    async def _call(self) -> None:
        address, loop = self._session.address, self._context.loop
        try:
            context = ssl.create_default_context() if address.is_tls else None
            await loop.create_connection(lambda: self, address.host, address.port, ssl=context)
        except ssl.SSLCertVerificationError as error:
            self.close(f"its certificate is not good: {error.verify_message}")
        except UnicodeError:  # of a host that the stream's own name is a part of
            self.close("no connection: its host is no name that can be looked up")
        except OSError as error:
            self.close(f"no connection: {error.strerror or 'nobody answers'}")

    def _on_event(self, event: ClientEvent) -> None:
        if self.ended:
            return
        match event:
            case Published():
                self.is_sending = True
                self._channel = self._channels.get(self._rendition, CLASSIC)
                form = PublishForm(self._session.message_stream_id)
                self._channel.join(self, Start.GOP, form)
                self.on_queued()
            case Refused(code, description):
                words = self._session.address.hidden(f"{code} {description}".strip())
                self.close(f"the server refused: {words}")
            case Ended(code):
                self.close(f"the server ended the stream ({code})")
            case _:
                pass

    def _flush(self) -> None:
        """Write what the session says; nothing of ours is ever cut, so it may stand anywhere."""
        if self._transport is not None and (data := self._session.data_to_send()):
            self._transport.write(data)


class RtmpCalls:
    """Those of one process, and the bytes that they share."""

    def __init__(self, context: TargetContext) -> None:
        self._context = context
        self._channels = Channels()

    def call(self, url: str, rendition: Rendition) -> RtmpTarget:
        """Call an address. Raises ValueError."""
        return RtmpTarget(self._context, url, rendition, self._channels)
