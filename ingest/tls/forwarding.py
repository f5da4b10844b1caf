"""One connection whose TLS stands: bytes go both ways, between it and its Unix socket (IO).

Of each direction at most one piece waits here, and while it does nothing more is read of where it
comes from: so the kernel's buffers fill, and whoever sends notices, as without TLS. A direction
that ends is passed on as an end. Who takes nothing of what is left for it is reset.
"""

import asyncio
import contextlib
import select
import socket
import ssl
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from common.process.socket_end import close_now, unsent_bytes
from ingest.rtmp.deadline import Deadline

READ_BYTES: Final = 64 * 1024  # at a time; what one that takes no more may leave here
MAX_READS: Final = 8  # before the others get their turn
# From one side's end to the other's: that one has something to send yet, and has to take it.
ENDING_S: Final = 5.0
MAX_ENDINGS: Final = 6  # as long as it takes some of it
LINGER_S: Final = 1.0  # for the last words to be read, while what comes is thrown away

_AGAIN: Final = (BlockingIOError, InterruptedError, ssl.SSLWantReadError)


class _Phase(Enum):
    OPEN = auto()
    LINGERING = auto()  # the client has all, and is given a moment
    CLOSED = auto()


class Forwarding:
    """Owns both sockets, until `close`."""

    __slots__ = (
        "_buffer",
        "_client",
        "_deadline",
        "_endings",
        "_farm",
        "_has_client_ended",
        "_has_farm_ended",
        "_loop",
        "_on_closed",
        "_phase",
        "_read_needs_write",
        "_registered",
        "_taken",
        "_taken_before",
        "_to_client",
        "_to_farm",
        "_unsent",
        "host",
        "peer",
    )

    def __init__(
        self,
        client: ssl.SSLSocket,
        farm: socket.socket,
        buffer: memoryview,
        host: str,
        peer: str,
        on_closed: Callable[["Forwarding", str], None],
    ) -> None:
        """`buffer` is what all connections read into, in turn."""
        self.host, self.peer = host, peer
        self._client, self._farm = client, farm
        self._buffer = buffer
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._deadline = Deadline(self._loop)
        self._phase = _Phase.OPEN
        self._to_client = self._to_farm = b""  # what the other side has not taken
        self._has_client_ended = self._has_farm_ended = False
        self._read_needs_write = False  # TLS has to answer before it gives more
        self._endings = 0
        self._unsent = 0
        self._taken = self._taken_before = 0  # bytes of the farm's
        # Which events the loop was told to look for: the client's and the farm's.
        self._registered = [False, False, False, False]
        self._watch()
        self._loop.call_soon(self._read_client)  # what came with the handshake is here already

    # ---- the client ---------------------------------------------------------------------------

    def look_again(self) -> None:
        """Notice what the loop has not reported, such as a reset; to be called once a second."""
        if self._phase is _Phase.OPEN:
            self._read_client()
            self._read_farm()
        if self._phase is _Phase.OPEN and self._to_client and not self._endings:
            # The farm is not read now, and may have left a client that takes nothing.
            poll = select.poll()
            poll.register(self._farm, select.POLLRDHUP)
            if poll.poll(0):
                self._await_end()

    def _read_client(self) -> None:
        for _ in range(MAX_READS):
            if self._phase is not _Phase.OPEN or self._to_farm or self._has_client_ended:
                return
            try:
                count = self._client.recv_into(self._buffer)
            except _AGAIN:
                return
            except ssl.SSLWantWriteError:
                self._read_needs_write = True
                return self._watch()
            except OSError as error:
                return self.close(_words(error))
            if not count:
                return self._on_client_end()
            self._send_farm(self._buffer[:count])
        if self._client.pending():
            self._loop.call_soon(self._read_client)  # the kernel knows nothing of it

    def _on_client_end(self) -> None:
        self._has_client_ended = True
        self._watch()
        if not self._to_farm:
            self._end_farm()

    def _send_client(self, data: bytes | memoryview) -> None:
        try:
            sent = self._client.send(data)
        except (*_AGAIN, ssl.SSLWantWriteError):
            sent = 0  # TLS wants the same bytes again then
        except OSError as error:
            return self.close(_words(error))
        self._to_client = bytes(data[sent:])
        self._taken += sent
        if self._to_client or self._registered[1]:
            self._watch()

    def _on_client_writable(self) -> None:
        if self._phase is not _Phase.OPEN:
            return
        if self._to_client:
            self._send_client(self._to_client)
        if self._phase is _Phase.OPEN and not self._to_client:
            if self._has_farm_ended:
                self._end_client()
            elif self._read_needs_write:
                self._read_needs_write = False
                self._watch()
                self._read_client()

    def _end_client(self) -> None:
        """Say that nothing more comes, and read on for a while: a reset would take it along."""
        with contextlib.suppress(OSError, ValueError):
            self._client.unwrap()  # sends what ends TLS; the answer is not waited for
        try:
            self._client.shutdown(socket.SHUT_WR)
        except OSError as error:
            return self.close(_words(error))
        self._phase = _Phase.LINGERING
        self._watch()
        self._deadline.set(LINGER_S, self._on_lingered)

    def _discard(self) -> None:
        for _ in range(MAX_READS):
            try:
                count = self._client.recv_into(self._buffer)
            except _AGAIN:
                return
            except OSError as error:
                return self.close(_words(error))
            if not count:
                return self.close("")

    # ---- the farm -----------------------------------------------------------------------------

    def _read_farm(self) -> None:
        for _ in range(MAX_READS):
            if self._phase is not _Phase.OPEN or self._to_client or self._has_farm_ended:
                return
            try:
                count = self._farm.recv_into(self._buffer)
            except _AGAIN:
                return
            except OSError:
                count = 0  # it has closed with something unread
            if not count:
                return self._on_farm_end()
            self._send_client(self._buffer[:count])
            if count < READ_BYTES:
                return  # the loop says when there is more

    def _on_farm_end(self) -> None:
        self._has_farm_ended = True
        self._to_farm = b""
        self._watch()
        if self._to_client:
            self._await_end()
        else:
            self._end_client()

    def _send_farm(self, data: bytes | memoryview) -> None:
        try:
            sent = self._farm.send(data)
        except _AGAIN:
            sent = 0
        except OSError:  # its last words may still be unread
            self._has_client_ended = True
            return self._watch()
        self._to_farm = bytes(data[sent:])
        if self._to_farm or self._registered[3]:
            self._watch()

    def _on_farm_writable(self) -> None:
        if self._phase is not _Phase.OPEN:
            return
        self._send_farm(self._to_farm)
        if not self._to_farm:
            if self._has_client_ended:
                self._end_farm()
            else:
                self._read_client()

    def _end_farm(self) -> None:
        with contextlib.suppress(OSError):
            self._farm.shutdown(socket.SHUT_WR)
        self._await_end()

    # ---- the end ------------------------------------------------------------------------------

    def close(self, reason: str) -> None:
        """Close both sides at once."""
        if self._phase is _Phase.CLOSED:
            return
        self._phase = _Phase.CLOSED
        self._deadline.clear()
        self._watch()
        close_now(self._client)
        self._farm.close()
        self._to_client = self._to_farm = b""
        self._on_closed(self, reason)

    def _await_end(self) -> None:
        self._endings += 1
        self._unsent, self._taken_before = self._unsent_bytes(), self._taken
        self._deadline.set(ENDING_S, self._on_late)

    def _on_late(self) -> None:
        """One side has ended, and the other one has not followed."""
        unsent = self._unsent_bytes()
        is_taking = unsent < self._unsent or self._taken > self._taken_before
        if unsent and is_taking and self._endings < MAX_ENDINGS:
            return self._await_end()
        self.close("takes nothing of what is left for it" if unsent else "")

    def _on_lingered(self) -> None:
        self._endings += 1
        unsent = unsent_bytes(self._client)
        if unsent and self._endings < MAX_ENDINGS * 5:
            self._deadline.set(LINGER_S, self._on_lingered)
        else:
            self.close("takes nothing of what is left for it" if unsent else "")

    def _unsent_bytes(self) -> int:
        return unsent_bytes(self._client) + len(self._to_client)

    def _watch(self) -> None:
        """Have the loop look for what can be done now, and for nothing else."""
        is_open, loop = self._phase is _Phase.OPEN, self._loop
        is_lingering = self._phase is _Phase.LINGERING
        reads_client = is_open and not (
            self._to_farm or self._has_client_ended or self._read_needs_write
        )
        wanted = [
            reads_client or is_lingering,
            is_open and (bool(self._to_client) or self._read_needs_write),
            is_open and not (self._to_client or self._has_farm_ended),
            is_open and bool(self._to_farm),
        ]
        if is_lingering and self._registered[0]:
            loop.remove_reader(self._client.fileno())  # another callback
            self._registered[0] = False
        if wanted == self._registered:
            return
        client, farm = self._client.fileno(), self._farm.fileno()
        on_read = self._discard if is_lingering else self._read_client
        for index, (add, remove, fd, callback) in enumerate(
            (
                (loop.add_reader, loop.remove_reader, client, on_read),
                (loop.add_writer, loop.remove_writer, client, self._on_client_writable),
                (loop.add_reader, loop.remove_reader, farm, self._read_farm),
                (loop.add_writer, loop.remove_writer, farm, self._on_farm_writable),
            )
        ):
            if wanted[index] != self._registered[index]:
                if wanted[index]:
                    add(fd, callback)
                else:
                    remove(fd)
        self._registered = wanted


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {(error.reason or 'unknown').lower().replace('_', ' ')}"
    return error.strerror or str(error)
