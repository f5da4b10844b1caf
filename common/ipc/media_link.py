"""The ways of media and tags between processes: Unix stream sockets on the running loop (IO).

Every frame of every stream crosses here, so there is nothing between `send` and the peer but one
write. ZeroMQ, which carries control, wakes a thread of its own at both ends of each message
(docs/performance.md has what that costs).

An inlet is bound by one incarnation of a worker or an egress under a name that is never bound
again; an outlet is connected once the supervisor has announced that name. Sends never block: what
the peer does not read is kept up to a limit for memory, then `send` gives False and the caller
drops by stream. What nobody waits for is sent `batched`: with the next message that is not, or some
time later. Who binds an inlet may answer. Frames: `common.ipc.framing`.
"""

import asyncio
import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from common.errors import FramingError
from common.ipc.endpoint import socket_path
from common.ipc.framing import FrameReader, header

log = logging.getLogger("tfarm.common.ipc.media_link")

Frames = Sequence[bytes]
OnFrames = Callable[[list[bytes], "Sender"], None]
OnAnswer = Callable[[list[bytes]], None]

KEPT_BYTES = 32 * 1024 * 1024  # for a peer that does not read; queues in time are its reader's
SOCKET_BYTES = 1024 * 1024  # asked of the kernel, which may give less
TURN_BYTES = 256 * 1024  # sent before the turn of the loop ends
RETRY_S = 0.2  # until a link that broke is tried again; meanwhile every stream hears of it
BATCH_S = 0.2  # that a message sent lazily waits at most


class Sender:
    """One who has connected to an inlet."""

    def __init__(self, connection: socket.socket) -> None:
        self.reader = FrameReader()
        self._connection = connection

    @property
    def closed(self) -> bool:
        return self._connection.fileno() < 0

    def answer(self, frames: Frames) -> bool:
        """Send it a small message; False: it takes none, now or any more. Answers are seldom."""
        data = header(frames) + b"".join(frames)
        try:
            return self._connection.send(data) == len(data)
        except OSError:
            return False


class MediaListener:
    """A bound socket, and all who have connected to it: hands each message to `on_frames`."""

    def __init__(
        self, address: str, on_frames: OnFrames, on_read: Callable[[], None] | None = None
    ) -> None:
        """`on_read` is called behind the messages of each read."""
        self._on_frames = on_frames
        self._on_read = on_read
        self._loop = asyncio.get_running_loop()
        self._path = socket_path(address)
        self._senders: dict[socket.socket, Sender] = {}
        self._listener = _unix_socket()
        try:
            self._listener.bind(self._path)
            self._listener.listen(256)
        except OSError:
            self._listener.close()
            raise
        self._loop.add_reader(self._listener, self._accept)

    def close(self) -> None:
        """Close all, and remove the socket's file."""
        if self._listener.fileno() < 0:
            return
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for peer in tuple(self._senders):
            self._drop(peer)
        with suppress(FileNotFoundError):
            os.unlink(self._path)

    def _accept(self) -> None:
        try:
            peer, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            log.warning("a peer was not accepted error=%s", error)
            return
        peer.setblocking(False)
        sender = self._senders[peer] = Sender(peer)
        self._loop.add_reader(peer, self._read, peer, sender)

    def _read(self, peer: socket.socket, sender: Sender) -> None:
        reader = sender.reader
        try:
            count = peer.recv_into(reader.room())
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            count = 0  # the peer's process has ended, which its supervisor tells of
        if count == 0:
            self._drop(peer)
            return
        reader.filled(count)
        try:
            messages = reader.messages()
        except FramingError as error:
            log.error("a media link is ended, what came is no message error=%s", error)
            self._drop(peer)
            return
        for frames in messages:
            try:
                self._on_frames(frames, sender)
            except Exception:
                # One bad message must not stop the reading of the socket: that would end everyone.
                log.exception("handling a media message failed")
        if self._on_read is not None:
            self._on_read()

    def _drop(self, peer: socket.socket) -> None:
        if self._senders.pop(peer, None) is not None:
            self._loop.remove_reader(peer)
            peer.close()


class MediaSender:
    """A connection to the inlet of one incarnation of a child."""

    def __init__(self, address: str, on_answer: OnAnswer | None = None) -> None:
        self._path = socket_path(address)
        self._on_answer = on_answer
        self._answers = FrameReader()
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._rest = memoryview(b"")  # what the peer's socket did not take of the last write
        self._posted: deque[bytes] = deque()  # behind it: what waits for its turn, or for room
        self._kept_bytes = 0  # of both
        self._is_full = False
        self._is_gathering = False
        self._written_s = -1.0  # the loop's time at the last write
        self._soon: asyncio.Handle | None = None
        self._late: asyncio.TimerHandle | None = None  # for what was sent lazily
        self._again: asyncio.TimerHandle | None = None
        self._closed = False
        self._connect()

    @property
    def closed(self) -> bool:
        return self._closed

    def send(self, frames: Frames, batched: bool = False) -> bool:
        """Send now, or what follows in the same millisecond together; False: full, or not there.

        `batched`: with what is sent next, within `BATCH_S`.
        """
        if self._socket is None or self._kept_bytes > KEPT_BYTES:
            return False
        head = header(frames)
        self._posted.append(head)
        self._posted += frames
        self._kept_bytes += len(head) + sum(map(len, frames))
        if self._is_full:
            return True
        if self._kept_bytes >= TURN_BYTES:
            self._write()
        elif self._is_gathering:
            pass
        elif batched:
            if self._late is None:
                self._late = self._loop.call_later(BATCH_S, self._on_late)
        elif self._soon is None:
            # uvloop's time goes by milliseconds: a link that is busy gets one write a turn
            now = self._loop.time()
            if now != self._written_s:
                self._written_s = now
                self._write()
            else:
                self._soon = self._loop.call_soon(self._on_turn_ends)
        return True

    def gather(self) -> None:
        """Write nothing before `flush`, but for what is too much."""
        self._is_gathering = True

    def flush(self) -> None:
        """Send now what was sent lazily, or has been gathered."""
        self._is_gathering = False
        if not self._is_full and self._posted:
            self._write()

    def close(self) -> None:
        """Drop what has not left: stale media is of no use to a successor."""
        self._closed = True
        self._disconnect()
        if self._again is not None:
            self._again.cancel()

    def _connect(self) -> None:
        self._again = None
        connection = _unix_socket()
        try:
            connection.connect(self._path)
        except OSError as error:
            connection.close()
            log.info("media link not up error=%s", error)
            self._again = self._loop.call_later(RETRY_S, self._connect)
            return
        self._socket = connection
        self._loop.add_reader(connection, self._read)

    def _disconnect(self) -> None:
        self._posted.clear()
        self._kept_bytes = 0
        self._rest = memoryview(b"")
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        if self._late is not None:
            self._late.cancel()
            self._late = None
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            if self._is_full:
                self._loop.remove_writer(self._socket)
                self._is_full = False
            self._socket.close()
            self._socket = None

    def _read(self) -> None:
        if self._socket is None:
            return
        try:
            count = self._socket.recv_into(self._answers.room())
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._break(str(error))
            return
        if count == 0:
            self._break("the peer ended it")
            return
        self._answers.filled(count)
        try:
            answers = self._answers.messages()
        except FramingError as error:
            self._break(str(error))
            return
        for frames in answers:
            if self._on_answer is not None:
                self._on_answer(frames)

    def _on_turn_ends(self) -> None:
        self._soon = None
        self.flush()

    def _on_late(self) -> None:
        self._late = None
        self.flush()

    def _write(self) -> None:
        """Send all there is, up to what the peer takes."""
        while self._socket is not None:
            data = self._rest or self._gather()
            try:
                sent = self._socket.send(data) if data else 0
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError as error:
                self._break(str(error))
                return
            self._kept_bytes -= sent
            self._rest = memoryview(data)[sent:]
            is_full = sent < len(data)
            if is_full is not self._is_full:
                self._is_full = is_full
                if is_full:
                    self._loop.add_writer(self._socket, self._write)
                else:
                    self._loop.remove_writer(self._socket)
            if is_full or not self._posted:
                return

    def _gather(self) -> bytes:
        """Frames for one write."""
        posted = self._posted
        if self._kept_bytes > 2 * TURN_BYTES:
            taken, size = [], 0
            while posted and size < TURN_BYTES:
                taken.append(posted.popleft())
                size += len(taken[-1])
            return b"".join(taken)
        data = b"".join(posted)
        posted.clear()
        return data

    def _break(self, why: str) -> None:
        """The peer is gone, or has ended the link."""
        log.info("media link broken reason=%s", why)
        self._disconnect()
        self._answers = FrameReader()
        self._again = self._loop.call_later(RETRY_S, self._connect)


def _unix_socket() -> socket.socket:
    """A non-blocking one."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
    return made
