"""ZeroMQ on an asyncio loop (IO): the context, the options of all sockets, no task a message.

`zmq.asyncio` makes a future for each message; here a socket's descriptor is watched by the loop
and the socket is emptied in one go into a plain callback. The descriptor is edge-triggered
(zmq_getsockopt ZMQ_FD): whoever stops before EAGAIN, or sends, must look again by himself, which
`Receiver` does.

Control speaks through a `Receiver` as it is; media and tags have `common.ipc.media_link` over it.
What is read waits in an inbox that has turns for each process (`common.ipc.fair_inbox`): one that
floods makes no other one wait for long.

Sends never block. Only `ipc://` addresses are bound, where the kernel names the process of whoever
has connected; what that may say is for the reader to judge (`common/ipc/socket_peers.py`).
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Sequence
from errno import EADDRINUSE
from functools import lru_cache
from typing import Any, Final, cast

import zmq

from common.ipc import doorkeeper
from common.ipc.doorkeeper import Admit, Doorkeeper, credentials
from common.ipc.endpoint import socket_path
from common.ipc.envelope import MAX_FRAMES, MAX_PAYLOAD_BYTES
from common.ipc.fair_inbox import FairInbox, weight
from common.media.units import Data
from common.process.log import PeerLines, RateLimit, more

log = logging.getLogger("tfarm.common.ipc.bus")

Frames = Sequence[Data]
OnFrames = Callable[[list[bytes]], None]
OnReceived = Callable[["Received"], bool]
OnTurn = Callable[[], None]

HIGH_WATER_MARK: Final = 4000  # messages; only a stop for memory
BATCH: Final = 256  # messages taken before the loop gets a turn …
MEDIA_BATCH: Final = 16  # … of media, and of answers, where each may have hundreds in it
TURN_BYTES: Final = 1024 * 1024  # … or so many bytes, but for a single larger message
TURN_PARTS: Final = 4096  # … or so many frames of one message
FRAME_BYTES: Final = 256  # that a frame counts for beside its bytes: reading it takes time, too
MAX_PARTS: Final = 3 + MAX_FRAMES  # of one ZeroMQ message: of a larger one nothing is read
MAX_BYTES: Final = MAX_PAYLOAD_BYTES + 8 * 1024 * 1024  # … likewise
TAKEN: Final = 0  # what `Receiver.push` gives for a message that is on its way

# Plain integers, and the methods of the compiled class: in the hot path enums and the Python
# layer above cost more than ZeroMQ itself.
_EVENTS, _IN, _OUT = int(zmq.EVENTS), int(zmq.POLLIN), int(zmq.POLLOUT)
_LAST, _MORE = int(zmq.NOBLOCK), int(zmq.NOBLOCK | zmq.SNDMORE)
_get = cast("Callable[[zmq.Socket[bytes], int], int]", zmq.backend.Socket.get)
_send, _recv = zmq.backend.Socket.send, zmq.backend.Socket.recv


class Received:
    """A ZeroMQ message that has been read."""

    __slots__ = ("frames", "pid", "rest", "size", "uid")

    def __init__(self, frames: list[bytes], size: int, uid: int | None, pid: int) -> None:
        self.frames = frames
        self.size = size  # bytes of them all
        self.uid = uid  # of who sent it; None: unknown
        self.pid = pid  # 0: unknown
        self.rest: Any = None  # its handler's, which takes it in several steps


class Bus:
    """One ZeroMQ context with one IO thread for a process; closes all that was opened on it."""

    def __init__(self) -> None:
        self._context = zmq.Context(io_threads=1)
        self._receivers: set[Receiver] = set()
        self._doorkeeper: Doorkeeper | None = None

    def router(
        self, address: str, on_frames: OnFrames, on_turn: OnTurn | None = None
    ) -> "Receiver":
        """Bind a ROUTER that others name themselves to.

        Messages come with, and are sent with, the peer's identity as first frame.
        """
        socket = self._socket(zmq.ROUTER)
        socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        socket.bind(address)
        return self._receiver(socket, _whole(on_frames), on_turn, knows_peers=True)

    def listener(
        self,
        address: str,
        on_received: OnReceived,
        on_turn: OnTurn | None = None,
        admit: Admit = lambda uid, pid: True,
    ) -> "Receiver":
        """Bind a ROUTER at an address of one incarnation; sending to who is gone is EHOSTUNREACH.

        `on_received` does some of a message's work at a time; True when that was the last of it.
        `admit`: who may connect.

        Raises:
            OSError: the address is taken, or cannot be bound.
        """
        path = socket_path(address)
        if os.path.lexists(path):  # ZeroMQ would take it over
            raise OSError(EADDRINUSE, os.strerror(EADDRINUSE), path)
        socket = self._socket(zmq.ROUTER)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        socket.setsockopt(zmq.ZAP_DOMAIN, self._named(admit))
        try:
            socket.bind(address)
        except zmq.ZMQError as error:
            socket.close()
            raise OSError(error.errno, error.strerror, path) from error
        return self._receiver(socket, on_received, on_turn, MEDIA_BATCH, knows_peers=True)

    def dealer(
        self, address: str, identity: bytes, on_frames: OnFrames, on_turn: OnTurn | None = None
    ) -> "Receiver":
        """Connect a DEALER under `identity`, again whenever the peer was away."""
        socket = self._socket(zmq.DEALER)
        socket.setsockopt(zmq.IDENTITY, identity)
        socket.setsockopt(zmq.RECONNECT_IVL, 50)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
        socket.connect(address)
        return self._receiver(socket, _whole(on_frames), on_turn)

    def sender(
        self, address: str, on_frames: OnFrames, on_turn: OnTurn | None = None
    ) -> "Receiver":
        """Connect a DEALER once; it takes messages while its peer is there, and keeps none."""
        socket = self._socket(zmq.DEALER)
        socket.setsockopt(zmq.IMMEDIATE, 1)
        socket.setsockopt(zmq.RECONNECT_IVL, -1)
        socket.connect(address)
        return self._receiver(socket, _whole(on_frames), on_turn, MEDIA_BATCH)

    def close(self) -> None:
        for receiver in tuple(self._receivers):
            receiver.close()
        self._context.destroy(linger=0)

    def _named(self, admit: Admit) -> bytes:
        """The name of a socket that has a say in who connects."""
        if self._doorkeeper is None:
            self._doorkeeper = keeper = Doorkeeper()
            socket = self._socket(zmq.ROUTER)
            socket.bind(doorkeeper.ADDRESS)

            def answer(request: list[bytes]) -> None:
                receiver.send(keeper.answer(request))

            receiver = self._receiver(socket, _whole(answer), None)
        return self._doorkeeper.add(admit)

    def _socket(self, kind: int) -> "zmq.Socket[bytes]":
        socket: zmq.Socket[bytes] = self._context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SNDHWM, HIGH_WATER_MARK)
        socket.setsockopt(zmq.RCVHWM, HIGH_WATER_MARK)
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_PAYLOAD_BYTES)  # of a frame; more ends the link
        return socket

    def _receiver(
        self,
        socket: "zmq.Socket[bytes]",
        on_received: OnReceived,
        on_turn: OnTurn | None,
        batch: int = BATCH,
        *,
        knows_peers: bool = False,
    ) -> "Receiver":
        receiver = Receiver(socket, on_received, on_turn, self._receivers.discard, batch)
        receiver.knows_peers = knows_peers
        self._receivers.add(receiver)
        return receiver


class Receiver:
    """A socket that is read by the loop, and may be sent on."""

    def __init__(
        self,
        socket: "zmq.Socket[bytes]",
        on_received: OnReceived,
        on_turn: OnTurn | None,
        on_close: "Callable[[Receiver], None]",
        batch: int,
    ) -> None:
        """`on_turn` is called behind the messages of a turn, and when a peer came or went."""
        self.knows_peers = False  # which process a message is of
        self.flooded = 0  # messages that were dropped unread: more than may wait of one process
        # Called with a process that has sent what no child of this farm sends, and what it was.
        self.on_flood: Callable[[int, str], None] = lambda pid, what: None
        # Of the message that is being handled, if it knows peers.
        self.peer_pid = 0  # 0: unknown
        self.peer_uid: int | None = None
        self._socket = socket
        self._on_received = on_received
        self._inbox = FairInbox(self._handle, time.monotonic)
        self._parts: list[zmq.Frame] = []  # of a message that is not read to its end
        self._late: asyncio.TimerHandle | None = None  # the next turn, of who sends too much
        self._floods = PeerLines()
        self._on_turn = on_turn
        self._on_close = on_close
        self._batch = batch
        self._loop = asyncio.get_running_loop()
        self._fd = int(socket.getsockopt(zmq.FD))
        self._closed = False
        self._lines = RateLimit(burst=5, interval_s=10.0)  # with a traceback each
        self._had_peer = False  # by the last look
        self._again: asyncio.Handle | None = None
        self._loop.add_reader(self._fd, self._drain)
        # what came before the reader was set gives no edge
        self._look_again()

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def has_peer(self) -> bool:
        """True when a message would be taken now."""
        return not self._closed and bool(self._events() & _OUT)

    def fileno(self) -> int:
        """The descriptor that becomes readable when anything happens to the socket."""
        return self._fd

    def send(self, frames: Frames) -> bool:
        """Send without waiting; False when the peer's queue is full or the peer is unknown."""
        return self.push(frames) == TAKEN

    def push(self, frames: Frames) -> int:
        """Send without waiting; `TAKEN`, or the errno that says why it was not."""
        if self._closed:
            return zmq.ENOTSOCK
        socket, last = self._socket, len(frames) - 1
        try:
            for frame in frames[:last]:
                _send(socket, frame, _MORE)
            _send(socket, frames[last], _LAST)
        except zmq.ZMQError as error:
            return error.errno or zmq.EAGAIN
        finally:
            self._events()
        return TAKEN

    def take(self, frames: list[bytes], size: int, uid: int, pid: int) -> None:
        """Have a message handled that came by another socket, in its turn; then call `turn`."""
        if not self._inbox.has_room(pid):
            self._flood(pid, "more than may wait")
        else:
            self._inbox.put(pid, Received(frames, size, uid, pid), weight(size, len(frames)))

    def listen_again(self, address: str) -> None:
        """Bind an address once more whose file was removed; links that stand are kept.

        Raises:
            OSError: it cannot be bound.
        """
        try:
            self._socket.bind(address)
        except zmq.ZMQError as error:
            raise OSError(error.errno, error.strerror, socket_path(address)) from error

    def close(self, linger_ms: int = 0) -> None:
        """Close the socket; what has not left is dropped, or may leave for so long.

        The context's end waits for that.
        """
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._fd)
            for handle in (self._again, self._late):
                if handle is not None:
                    handle.cancel()
            self._inbox.clear()
            self._socket.close(linger=linger_ms)
            self._on_close(self)

    def _events(self) -> int:
        """What can be done now.

        Asking, or sending before, may have eaten the edge that a message in, or the peer's going,
        would have made: then there is another turn.
        """
        events = _get(self._socket, _EVENTS)
        if events & _IN or (self._had_peer and not events & _OUT):
            self._look_again()
        self._had_peer = bool(events & _OUT)
        return events

    def _look_again(self) -> None:
        if self._again is None:
            self._again = self._loop.call_soon(self._drain_again)

    def _drain_again(self) -> None:
        self._again = None
        self._drain()

    def _drain(self) -> None:
        """Read for a turn, then handle for a turn."""
        if self._read():
            self._look_again()
        if self._closed:
            return
        self.turn()

    def _read(self) -> bool:
        """Read messages into the inbox; True if there may be more."""
        left = TURN_BYTES
        for _ in range(self._batch):
            parts = self._parts
            # asked first: to be told by an exception that nothing is there costs more
            if not (parts or _get(self._socket, _EVENTS) & _IN):
                return False
            try:
                last = self._read_message(parts)
            except zmq.Again:
                return False
            if last is None:
                return True
            self._parts = []
            left -= self._put(parts, last) + FRAME_BYTES * len(parts)
            if left <= 0:
                return True
        return True

    def _read_message(self, parts: "list[zmq.Frame]") -> "zmq.Frame | None":
        """Read the rest of a message; return its last frame; None: a turn's frames, and no end.

        Of one that has too many no more than that is kept.
        """
        socket = self._socket
        for _ in range(TURN_PARTS):
            frame = _recv(socket, _LAST, False)
            if len(parts) <= MAX_PARTS:
                parts.append(frame)
            if not frame.more:
                return frame
        return None

    def _put(self, parts: "list[zmq.Frame]", last: "zmq.Frame") -> int:
        """Have a message handled; return its bytes, which are copied for that."""
        uid, pid = _peer_of(last) if self.knows_peers else (None, 0)
        if not self._inbox.has_room(pid):
            self._flood(pid, "more than may wait")
            return 0
        size = sum(map(len, parts))
        if len(parts) > MAX_PARTS or size > MAX_BYTES:
            self._flood(pid, f"a message of {size} bytes and more than {len(parts) - 1} frames")
            return 0
        content = [part.bytes for part in parts]
        received = Received(content, size, uid, pid)
        self._inbox.put(pid, received, weight(size, len(content)))
        return size

    def turn(self) -> None:
        """Handle what was read, for a while."""
        again_s = self._inbox.turn()
        if self._on_turn is not None and not self._closed:
            self._on_turn()
        if again_s is None or self._closed:
            return
        if not again_s:
            self._look_again()
        elif self._late is None:
            self._late = self._loop.call_later(again_s, self._turn_late)

    def _turn_late(self) -> None:
        self._late = None
        self.turn()

    def _handle(self, received: Received) -> bool:
        """Do some of a message's work; True when it is done."""
        self.peer_uid, self.peer_pid = received.uid, received.pid
        try:
            return self._on_received(received)
        except Exception:
            # One bad message must not stop the reading of the socket: that would end everyone.
            if (held := self._lines.allow(self._loop.time())) is not None:
                log.exception("handling a message failed%s", more(held))
            return True

    def _flood(self, pid: int, what: str) -> None:
        """Drop a message unread: no honest process sends it."""
        self.flooded += 1
        if (held := self._floods.allow(pid, self._loop.time())) is not None:
            log.error("flooded pid=%d what=%s%s", pid, what, more(held))
            self.on_flood(pid, what)


def _whole(on_frames: OnFrames) -> OnReceived:
    """A handler that takes each message in one step."""

    def take(received: Received) -> bool:
        on_frames(received.frames)
        return True

    return take


def _peer_of(frame: zmq.Frame) -> tuple[int | None, int]:
    """User and process that connected, as the kernel has them (SO_PEERCRED).

    None and 0 where libzmq does not say: of a peer that speaks a protocol older than ZMTP 3.
    """
    try:
        return _credentials(str(frame.get("Peer-Address")))
    except (zmq.ZMQError, ValueError):
        return None, 0


# One entry a peer; on media this is asked for each message.
_credentials = lru_cache(maxsize=256)(credentials)
