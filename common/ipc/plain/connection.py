"""One connection by a plain Unix socket, under a media link (IO): frames in, frames out.

It stands where a socket of ZeroMQ's would (`common/ipc/bus.py`): a message out is one `sendmsg`,
and one in wakes this process's loop and no thread beside it. What the kernel does not take waits
here; how much that may be is for whoever sends, by what the other end has acknowledged.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from errno import EAGAIN, EHOSTUNREACH
from typing import Final

from common.errors import LinkError
from common.ipc.bus import MAX_BYTES, MAX_PARTS, TAKEN
from common.ipc.endpoint import plain_path
from common.ipc.envelope import MAX_PAYLOAD_BYTES
from common.ipc.plain.frames import FrameReader, Limits, to_head
from common.media.units import Data

log = logging.getLogger("tfarm.common.ipc.plain.connection")

LIMITS: Final = Limits(MAX_BYTES, MAX_PARTS, MAX_PAYLOAD_BYTES)  # as of ZeroMQ's messages
MAX_WAITING: Final = 128 * 1024 * 1024  # bytes; only a stop for memory
MAX_BUFFERS: Final = 1000  # of one sendmsg; the kernel takes 1024

OnMessage = Callable[[list[bytes]], object]


class PlainConnection:
    """One that stands, whichever its end."""

    def __init__(
        self,
        sock: socket.socket,
        on_message: OnMessage,
        on_turn: Callable[[], object],
    ) -> None:
        """`on_turn` is called behind the messages of a read, and at the end of the connection."""
        sock.setblocking(False)
        self._socket = sock
        self._fd = sock.fileno()
        self._on_message, self._on_turn = on_message, on_turn
        self._reader = FrameReader(LIMITS)
        self._waiting: list[Data] = []
        self._waiting_bytes = 0
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._on_readable)

    @property
    def has_peer(self) -> bool:
        """True when a message would be taken now."""
        return not self._closed

    def push(self, frames: Sequence[Data]) -> int:
        """Send without waiting; `TAKEN`, or the errno that says why it was not."""
        if self._closed:
            return EHOSTUNREACH
        if self._waiting_bytes > MAX_WAITING:
            return EAGAIN
        parts = [to_head(frames[0], frames[1:], LIMITS), *frames]
        if self._waiting:
            self._wait(parts)
        else:
            self._send(parts)
        return TAKEN

    def close(self) -> None:
        """End it; what has not left is dropped."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._fd)
            if self._waiting:
                self._loop.remove_writer(self._fd)
            self._waiting.clear()
            self._socket.close()

    # ---- inside -------------------------------------------------------------------------------

    def _send(self, parts: list[Data]) -> None:
        """Send what the kernel takes, and have the rest wait."""
        try:
            sent = self._socket.sendmsg(parts[:MAX_BUFFERS])
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self._end()
            return
        for at, part in enumerate(parts):
            if sent < len(part):
                rest: list[Data] = [memoryview(part)[sent:], *parts[at + 1 :]]
                self._loop.add_writer(self._fd, self._on_writable)
                self._wait(rest)
                return
            sent -= len(part)

    def _wait(self, parts: Sequence[Data]) -> None:
        self._waiting += parts
        self._waiting_bytes += sum(map(len, parts))

    def _on_writable(self) -> None:
        self._loop.remove_writer(self._fd)
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        self._send(waiting)

    def _on_readable(self) -> None:
        reader = self._reader
        try:
            size = self._socket.recv_into(reader.room())
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            size = 0
        if not size:
            self._end()
            return
        reader.filled(size)
        try:
            while not self._closed and (frame := reader.next()) is not None:
                self._on_message([frame[0], *frame[1]])
        except LinkError as error:
            log.warning("unreadable message on a media link error=%s", error)
            self._end()
            return
        self._on_turn()

    def _end(self) -> None:
        """The other end is gone, or not to be understood."""
        self.close()
        self._loop.call_soon(self._on_turn)


def connect(
    address: str, on_message: OnMessage, on_turn: Callable[[], object]
) -> PlainConnection | None:
    """Connect to the plain socket beside an address of ZeroMQ's; None: nobody listens there.

    `on_turn` is called as soon as the connection may be used, too.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        sock.connect(plain_path(address))
    except OSError:
        sock.close()
        return None
    connection = PlainConnection(sock, on_message, on_turn)
    asyncio.get_running_loop().call_soon(on_turn)
    return connection
