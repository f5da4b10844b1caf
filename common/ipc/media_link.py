"""The ways of media and tags between processes: ZeroMQ sockets on the running loop (IO).

Where the relay is one end it is a plain Unix socket (`plain/`): of a picture of another host each
hop counts, and ZeroMQ's wakes a thread at both ends.

A `MediaListener` (`media_listener.py`) is bound by one incarnation of a worker or an egress, at an
address that is never bound again; a `MediaSender` is connected once the supervisor has announced
that address. Sends never block. What nobody waits for is sent `batched`: with the next message that
is not, or some time later; all that leaves in one turn is one ZeroMQ message (`common.ipc.batch`).

The limit for memory counts bytes, as ZeroMQ's own does not: a sender keeps at most `KEPT_BYTES`
that its listener has not acknowledged, wherever they lie by now, in a queue here or there or on
the way between; then `send` gives False and the caller drops by stream. A listener acknowledges
what its process has taken, every MiB and every second. In ZeroMQ's queues are `WINDOW` messages at
most, which is below the high-water mark: a socket that takes no message has no peer.
"""

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from common.errors import EnvelopeError
from common.ipc.batch import MAX_MESSAGES, Frames, pack
from common.ipc.bus import HIGH_WATER_MARK, TAKEN, Bus, Receiver
from common.ipc.endpoint import socket_path
from common.ipc.envelope import MAX_FRAMES, MAX_PAYLOAD_BYTES, decode_frames
from common.ipc.media_messages import Acknowledgement
from common.ipc.plain.connection import PlainConnection
from common.ipc.plain.connection import connect as plain_link

log = logging.getLogger("tfarm.common.ipc.media_link")

OnAnswer = Callable[[Any], None]

KEPT_BYTES: Final = 32 * 1024 * 1024  # for a peer that does not read; queues in time are its own
WINDOW: Final = HIGH_WATER_MARK // 4  # ZeroMQ messages on the way: it counts what left by halves
TURN_BYTES: Final = 256 * 1024  # in one ZeroMQ message, but for a single larger one
CONNECT_S: Final = 1.0  # that an announced peer is waited for
RETRY_S: Final = 0.2  # until a link that broke is tried again; meanwhile every stream hears of it
BATCH_S: Final = 0.2  # that a message sent batched waits at most


class MediaSender:
    """A connection to the listener of one incarnation of a child."""

    def __init__(
        self,
        bus: Bus,
        address: str,
        on_answer: OnAnswer | None = None,
        *,
        is_plain: bool = False,
    ) -> None:
        """`on_answer` gets the messages that the listener's process answers with.

        `is_plain`: go by the listener's plain socket, if it has one.
        """
        self._is_plain = is_plain
        self._bus = bus
        self._address = address
        self._on_answer = on_answer
        self._loop = asyncio.get_running_loop()
        self._receiver: Receiver | PlainConnection | None = None
        self._is_up = False
        self._posted: deque[Frames] = deque()  # waits for its turn, for room, or for the peer
        self._posted_bytes = 0
        self._sent_messages = 0  # and not acknowledged
        self._sent_bytes = 0
        self._is_gathering = False
        self._is_due = False  # to be written as soon as the peer is there
        self._written_s = -1.0  # the loop's time at the last write
        self._soon: asyncio.Handle | None = None
        self._late: asyncio.TimerHandle | None = None  # for what was sent batched
        self._again: asyncio.TimerHandle | None = None
        self._closed = False
        # Who has been announced is there, and gets all that is sent from now on.
        self._is_expected = os.path.lexists(socket_path(address))
        self._connect()

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def is_there(self) -> bool:
        """True while the listener is there, or expected: what is sent may get there."""
        return self._is_up or self._is_expected

    def on_up(self) -> None:
        """Called when the listener is there; for who wants to know."""

    def on_down(self) -> None:
        """Called when the listener is gone, or was expected in vain."""

    def send(self, frames: Frames, batched: bool = False) -> bool:
        """Send now, or what follows in the same millisecond together; False: full, or not there.

        `batched`: with what is sent next, within `BATCH_S`.
        """
        size = sum(map(len, frames))
        if (
            not self.is_there
            or self._posted_bytes + self._sent_bytes > KEPT_BYTES
            or size > MAX_PAYLOAD_BYTES
            or len(frames) > MAX_FRAMES
        ):
            return False
        self._posted.append(tuple(frames))
        self._posted_bytes += size
        if self._posted_bytes >= TURN_BYTES:
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
        """Send now what was sent batched, or has been gathered."""
        self._is_gathering = False
        self._write()

    def close(self) -> None:
        """Drop what has not left: stale media is of no use to a successor."""
        self._closed = True
        self._disconnect()

    def _connect(self) -> None:
        """Try to reach the peer, for as long as it is expected or the next try is away."""
        plain = plain_link(self._address, self._read, self._on_turn) if self._is_plain else None
        self._receiver = plain or self._bus.sender(self._address, self._read, self._on_turn)
        patience_s = CONNECT_S if self._is_expected else RETRY_S
        self._again = self._loop.call_later(patience_s, self._retry)

    def _retry(self) -> None:
        was_expected = self._is_expected
        self._disconnect()
        self._connect()
        if was_expected:
            log.info("media link not up address=%s", self._address)
            self._loop.call_soon(self.on_down)

    def _disconnect(self) -> None:
        self._is_up = self._is_expected = False
        self._posted.clear()
        self._posted_bytes = self._sent_bytes = self._sent_messages = 0
        for handle in (self._soon, self._late, self._again):
            if handle is not None:
                handle.cancel()
        self._soon = self._late = self._again = None
        if self._receiver is not None:
            self._receiver.close()
            self._receiver = None

    def _break(self) -> None:
        """The peer is gone, or has ended the link."""
        log.info("media link broken address=%s", self._address)
        self._disconnect()
        self._again = self._loop.call_later(RETRY_S, self._connect)
        self._loop.call_soon(self.on_down)

    def _on_turn(self) -> None:
        """Something has happened to the socket: look whether its peer came or went."""
        if self._receiver is None or self._receiver.has_peer == self._is_up:
            return
        if self._is_up:
            self._break()
            return
        self._is_up, self._is_expected = True, False
        if self._again is not None:
            self._again.cancel()
            self._again = None
        if self._is_due:
            self._write()
        self.on_up()

    def _read(self, frames: list[bytes]) -> None:
        try:
            message, _ = decode_frames(frames)
        except EnvelopeError as error:
            log.warning("unreadable answer on a media link error=%s", error)
            return
        if not isinstance(message, Acknowledgement):
            if self._on_answer is not None:
                self._on_answer(message)
            return
        was_full = self._sent_messages >= WINDOW
        self._sent_messages = max(0, self._sent_messages - message.messages)
        self._sent_bytes = max(0, self._sent_bytes - message.size)
        if was_full and not self._is_gathering:
            self._write()

    def _on_turn_ends(self) -> None:
        self._soon = None
        self.flush()

    def _on_late(self) -> None:
        self._late = None
        self.flush()

    def _write(self) -> None:
        """Send all there is, up to what may be on the way."""
        self._is_due = not self._is_up
        while self._posted and self._is_up and self._sent_messages < WINDOW:
            messages, size = self._gather()
            packed = pack(messages)
            if self._receiver is None or self._receiver.push(packed) != TAKEN:
                self._break()
                return
            self._sent_messages += 1
            self._sent_bytes += size if len(messages) == 1 else size + len(packed[1])

    def _gather(self) -> tuple[Sequence[Frames], int]:
        """Take messages for one ZeroMQ message; and their bytes."""
        posted = self._posted
        is_all = self._posted_bytes <= TURN_BYTES and len(posted) <= MAX_MESSAGES
        if is_all and sum(map(len, posted)) <= MAX_FRAMES:
            messages, size = tuple(posted), self._posted_bytes
            posted.clear()
            self._posted_bytes = 0
            return messages, size
        taken: list[Frames] = []
        size = frames = 0
        while posted and len(taken) < MAX_MESSAGES:
            more = sum(map(len, posted[0]))
            frames += len(posted[0])
            if taken and (size + more > TURN_BYTES or frames > MAX_FRAMES):
                break
            size += more
            taken.append(posted.popleft())
        self._posted_bytes -= size
        return taken, size
