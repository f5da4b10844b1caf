"""One viewer's connection by HTTP after its handover (IO): bytes out, and its end.

Its request was read by another process. What it still sends is read, so that its end is seen, and
counts against the little that a viewer has to say. Every way out ends in `close`, once.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any, Final, Protocol

from common.access.peer_address import host_of
from common.process.fair_reading import FairReading
from common.process.socket_end import close_now, unsent_bytes
from egress.sockets.queue_writer import QueueWriter, SendQueue
from egress.sockets.socket_reader import SocketReader, lost

END_S: Final = 5.0  # for what is queued, and what the kernel has of it, to go out
STALLED: Final = "took no byte for too long"


class Host(Protocol):
    """The server, as a connection calls it."""

    @property
    def reading(self) -> FairReading: ...

    @property
    def now(self) -> Callable[[], float]: ...

    def on_closed(self, viewer: Any, reason: str, /) -> None: ...


class ViewerConnection:
    """The socket with its queue; what is queued is its owner's."""

    def __init__(
        self,
        tcp: socket.socket,
        queue: SendQueue,
        address: str,
        number: int,
        host: Host,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """`address` is HOST:PORT, whose connection it is; `number` one that no other ever has."""
        self.peer = tcp
        self.address = address
        self.host = host_of(address)
        self.number = number
        self.opened_s = host.now()
        self.is_closed = False
        self._server = host
        self._loop = loop
        self._queue = queue
        self._writer = QueueWriter(tcp, queue, loop, host.now)
        self._reader = SocketReader(tcp, host.reading)
        self._reason = ""  # why it ends
        self._ends_s: float | None = None  # when at the latest

    @property
    def is_ending(self) -> bool:
        """Whether nothing follows what is queued."""
        return self._ends_s is not None or self.is_closed

    def watch(self) -> None:
        """Notice its end from now on."""
        self._reader.watch(self.host, lambda data: None, self.close)

    def on_queued(self) -> None:
        """Send what is queued, unless the socket is known to take nothing."""
        if not self._writer.is_waiting and not self.is_closed:
            self._writer.note_progress()
            self.pump()

    def end(self, reason: str) -> None:
        """Send what is queued, and close once that has arrived."""
        self._reason = reason
        self._ends_s = self._server.now() + END_S
        self.on_queued()

    def check(self, now: float, stall_timeout_s: float) -> None:
        """Close one that takes nothing, or has got its end; once a second."""
        if self._ends_s is not None:
            is_sent = not self._queue.has_queue and not unsent_bytes(self.peer)
            if is_sent or now >= self._ends_s:
                self.close(self._reason)
        elif self._writer.is_stalled(stall_timeout_s, self.pump):
            self.close(STALLED)

    def close(self, reason: str) -> None:
        """Close at once. Does nothing the second time."""
        if self.is_closed:
            return
        self.is_closed = True
        self.on_leaving(self._reason or reason)
        self._reader.stop()
        self._writer.stop_waiting()
        close_now(self.peer)
        self._server.on_closed(self, self._reason or reason)

    def pump(self) -> None:
        """Send what is queued, as far as the socket takes it."""
        if self.is_closed:
            return
        try:
            is_sent = self._writer.write(self.pump)
        except OSError as error:
            # not here: this may be in the middle of a channel's loop
            self._loop.call_soon(self.close, lost(error))
            return
        if is_sent:
            self.on_sent()
            if self._ends_s is not None:
                with contextlib.suppress(OSError):
                    self.peer.shutdown(socket.SHUT_WR)  # its end is seen at once

    # ---- the owner's ---------------------------------------------------------------------------

    def on_sent(self) -> None:
        """All that was queued is sent."""

    def on_leaving(self, reason: str) -> None:
        """It gets nothing more."""


def prepare(tcp: socket.socket, send_buffer_bytes: int) -> str:
    """Set a socket up that was handed over; why it cannot be used, "" if it can.

    One by way of TLS is a Unix socket.
    """
    tcp.setblocking(False)
    try:
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
        if tcp.family != socket.AF_UNIX:
            tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        return f"the connection is lost: {error.strerror}"
    return ""
