"""Pushes by SRT (IO): calls to others' listeners, by libsrt.

What the line does not take stays in the queue that every viewer by a transport stream has: it drops
what is too late up to the next keyframe. Sockets are looked at every `TURN_S` while there are any.
"""

import asyncio
import socket
from typing import Final

from common.srt.address import SrtAddress, parse
from common.srt.library import SEND_BYTES, Call, CallState, SrtError, SrtLibrary
from egress.http.channel import Channel, Channels
from egress.http.viewer_queue import ViewerQueue
from egress.push.target_context import TargetContext
from egress.streams.rendition import Rendition
from egress.ts.from_units import TsPieces

TURN_S: Final = 0.02
MIN_UNSENT: Final = 512 * 1024  # bytes on their way, however little the stream has a second
TURN_BYTES: Final = 512 * 1024
NOBODY: Final = "the listener is gone, or its line is"
STALLED: Final = "it took nothing for too long"


class PushPieces(TsPieces):
    """A transport stream from its first byte on."""

    def head(self, *, is_chunked: bool) -> bytes:
        return b""


class SrtTarget:
    """A `Target`, and a `Sink` of its channel."""

    is_chunked = False

    def __init__(self, calls: "SrtCalls", address: SrtAddress, rendition: Rendition) -> None:
        self.ended = ""
        self.is_sending = False
        self.sent_bytes = 0
        self.line: tuple[float, int] = (0.0, 0)
        self._calls, self._address, self._rendition = calls, address, rendition
        self._context = calls.context
        self.queue = ViewerQueue(self._context.settings().egress.queue_ms, is_chunked=False)
        self._sock: int | None = None
        self._channel: Channel | None = None
        self._before, self._allowed = 0, MIN_UNSENT
        self._moved_s = self._context.clock()
        self._task = self._context.loop.create_task(self._begin())

    @property
    def dropped(self) -> int:
        return self.queue.dropped

    def check(self, now: float) -> None:
        self._allowed = max(MIN_UNSENT, self.sent_bytes - self._before)
        self._before = self.sent_bytes
        if self._sock is None:
            return
        if found := self._calls.library.figures(self._sock):
            self.line = found.rtt_ms, found.repeated
        stall_s = self._context.settings().egress.stall_timeout_s
        if self.is_sending and self.queue.has_queue and now - self._moved_s > stall_s:
            self.close(STALLED)

    def close(self, reason: str) -> None:
        if self.ended:
            return
        self.ended, self.is_sending = reason, False
        self._task.cancel()
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.remove(self)
        if self._sock is not None:
            self._calls.library.close_socket(self._sock)
        self._calls.forget(self)

    def turn(self) -> None:
        """Look at the socket."""
        if self._sock is None or self.ended:
            return
        state = self._calls.library.call_state(self._sock)
        if state is CallState.ENDED:
            self.close(NOBODY if self.is_sending else self._why_refused(self._sock))
        elif state is CallState.CONNECTED and not self.is_sending:
            self.is_sending = True
            self._moved_s = self._context.clock()
            self._channel = self._calls.channels.get(self._rendition, has_sound=False)
            self._channel.join(self)
        self._pump()

    # ---- the sink -----------------------------------------------------------------------------

    def on_queued(self) -> None:
        """It goes out at the next turn."""

    def finish(self, reason: str, *, is_over: bool) -> None:
        self._pump()
        self.close(reason)

    # ---- inside -------------------------------------------------------------------------------

    async def _begin(self) -> None:
        address, loop = self._address, self._context.loop
        call = Call(address.streamid, address.passphrase, address.latency_ms)
        try:
            kind = socket.SOCK_DGRAM
            found = await loop.getaddrinfo(address.host, address.port, type=kind)
            host = str(found[0][4][0])
            self._sock = self._calls.library.call((host, address.port), call)
        except UnicodeError:  # of a host that the stream's own name is a part of
            self.close("its host is no name that can be looked up")
        except OSError as error:
            self.close(error.strerror or str(error))

    def _why_refused(self, sock: int) -> str:
        return self._calls.library.why_refused(sock) or "nobody answers"

    def _pump(self) -> None:
        sock, left = self._sock, TURN_BYTES
        if sock is None or not self.is_sending or self.ended:
            return
        try:
            while (
                self.queue.has_queue
                and left > 0
                and self._calls.library.unsent_bytes(sock) < self._allowed
            ):
                count = self._send(sock, b"".join(self.queue.buffers()))
                left -= count
                if not count:
                    break
        except SrtError:
            self.close(NOBODY)

    def _send(self, sock: int, data: bytes) -> int:
        """Send some of the queue in messages of whole packets; how much."""
        at = 0
        while at < len(data):
            message = data[at : at + SEND_BYTES]
            if not self._calls.library.send(sock, message):
                break
            at += len(message)
        if at:
            self._moved_s = self._context.clock()
        self.queue.sent(at)
        self.sent_bytes += at
        return at


class SrtCalls:
    """Those of one process: the library, and the sockets' turns."""

    def __init__(self, context: TargetContext) -> None:
        """Load the library.

        Raises:
            OSError: it is not installed.
        """
        self.context = context
        self.library = SrtLibrary()
        self.channels = Channels(PushPieces)
        self._targets: set[SrtTarget] = set()
        self._timer: asyncio.TimerHandle | None = None

    def call(self, url: str, rendition: Rendition) -> SrtTarget:
        """Call an address. Raises AddressError."""
        target = SrtTarget(self, parse(url), rendition)
        self._targets.add(target)
        self._wake()
        return target

    def forget(self, target: SrtTarget) -> None:
        """It is over."""
        self._targets.discard(target)

    def _wake(self) -> None:
        if self._timer is None and self._targets:
            self._timer = self.context.loop.call_later(TURN_S, self._turn)

    def _turn(self) -> None:
        self._timer = None
        for target in tuple(self._targets):
            target.turn()
        self._wake()
