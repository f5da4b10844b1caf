"""ZeroMQ on an asyncio loop (IO): the context, the options of all sockets, no task a message.

`zmq.asyncio` makes a future for each message; here a socket's descriptor is watched by the loop
and the socket is emptied in one go into a plain callback. The descriptor is edge-triggered
(zmq_getsockopt ZMQ_FD): whoever stops before EAGAIN, or sends, must look again by himself, which
`Receiver` does.

Control speaks through a `Receiver` as it is; media and tags have `common.ipc.media_link` over it.
Sends never block. Only `ipc://` addresses are bound, where the kernel names the process of whoever
has connected; what that may say is for the reader to judge (`common/ipc/socket_peers.py`).
"""

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from errno import EADDRINUSE
from functools import lru_cache
from typing import Final, cast

import zmq

from common.ipc.endpoint import socket_path
from common.ipc.envelope import MAX_PAYLOAD_BYTES
from common.media.units import Data
from common.process.log import RateLimit, more

log = logging.getLogger("tfarm.common.ipc.bus")

Frames = Sequence[Data]
OnFrames = Callable[[list[bytes]], None]
OnTurn = Callable[[], None]

HIGH_WATER_MARK: Final = 4000  # messages; only a stop for memory
BATCH: Final = 256  # messages taken before the loop gets a turn …
MEDIA_BATCH: Final = 16  # … of media, where each may have hundreds in it
TAKEN: Final = 0  # what `Receiver.push` gives for a message that is on its way

# Plain integers, and the methods of the compiled class: in the hot path enums and the Python
# layer above cost more than ZeroMQ itself.
_EVENTS, _IN, _OUT = int(zmq.EVENTS), int(zmq.POLLIN), int(zmq.POLLOUT)
_LAST, _MORE = int(zmq.NOBLOCK), int(zmq.NOBLOCK | zmq.SNDMORE)
_get = cast("Callable[[zmq.Socket[bytes], int], int]", zmq.backend.Socket.get)
_send, _recv = zmq.backend.Socket.send, zmq.backend.Socket.recv


class Bus:
    """One ZeroMQ context with one IO thread for a process; closes all that was opened on it."""

    def __init__(self) -> None:
        self._context = zmq.Context(io_threads=1)
        self._receivers: set[Receiver] = set()

    def router(
        self, address: str, on_frames: OnFrames, on_turn: OnTurn | None = None
    ) -> "Receiver":
        """Bind a ROUTER that others name themselves to.

        Messages come with, and are sent with, the peer's identity as first frame.
        """
        socket = self._socket(zmq.ROUTER)
        socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        socket.bind(address)
        return self._receiver(socket, on_frames, on_turn, knows_peers=True)

    def listener(
        self, address: str, on_frames: OnFrames, on_turn: OnTurn | None = None
    ) -> "Receiver":
        """Bind a ROUTER at an address of one incarnation; sending to who is gone is EHOSTUNREACH.

        Raises:
            OSError: the address is taken, or cannot be bound.
        """
        path = socket_path(address)
        if os.path.lexists(path):  # ZeroMQ would take it over
            raise OSError(EADDRINUSE, os.strerror(EADDRINUSE), path)
        socket = self._socket(zmq.ROUTER)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        try:
            socket.bind(address)
        except zmq.ZMQError as error:
            socket.close()
            raise OSError(error.errno, error.strerror, path) from error
        return self._receiver(socket, on_frames, on_turn, MEDIA_BATCH, knows_peers=True)

    def dealer(
        self, address: str, identity: bytes, on_frames: OnFrames, on_turn: OnTurn | None = None
    ) -> "Receiver":
        """Connect a DEALER under `identity`, again whenever the peer was away."""
        socket = self._socket(zmq.DEALER)
        socket.setsockopt(zmq.IDENTITY, identity)
        socket.setsockopt(zmq.RECONNECT_IVL, 50)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
        socket.connect(address)
        return self._receiver(socket, on_frames, on_turn)

    def sender(
        self, address: str, on_frames: OnFrames, on_turn: OnTurn | None = None
    ) -> "Receiver":
        """Connect a DEALER once; it takes messages while its peer is there, and keeps none."""
        socket = self._socket(zmq.DEALER)
        socket.setsockopt(zmq.IMMEDIATE, 1)
        socket.setsockopt(zmq.RECONNECT_IVL, -1)
        socket.connect(address)
        return self._receiver(socket, on_frames, on_turn)

    def close(self) -> None:
        for receiver in tuple(self._receivers):
            receiver.close()
        self._context.destroy(linger=0)

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
        on_frames: OnFrames,
        on_turn: OnTurn | None,
        batch: int = BATCH,
        *,
        knows_peers: bool = False,
    ) -> "Receiver":
        receiver = Receiver(socket, on_frames, on_turn, self._receivers.discard, batch)
        receiver.knows_peers = knows_peers
        self._receivers.add(receiver)
        return receiver


class Receiver:
    """A socket that is read by the loop, and may be sent on."""

    def __init__(
        self,
        socket: "zmq.Socket[bytes]",
        on_frames: OnFrames,
        on_turn: OnTurn | None,
        on_close: "Callable[[Receiver], None]",
        batch: int,
    ) -> None:
        """`on_turn` is called behind the messages of a turn, and when a peer came or went."""
        self.knows_peers = False  # which process a message is of
        # Of the message that is being handled, if it knows peers.
        self.peer_pid = 0  # 0: unknown
        self.peer_uid: int | None = None
        self._socket = socket
        self._on_frames = on_frames
        self._on_turn = on_turn
        self._on_close = on_close
        self._batch = batch
        self._loop = asyncio.get_running_loop()
        self._fd = int(socket.getsockopt(zmq.FD))
        self._closed = False
        self._lines = RateLimit(burst=5, interval_s=10.0)  # with a traceback each
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
        return not self._closed and bool(_get(self._socket, _EVENTS) & _OUT)

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
            # sending may have eaten the edge that a message in would have made
            if _get(socket, _EVENTS) & _IN:
                self._look_again()
        return TAKEN

    def listen_again(self, address: str) -> None:
        """Bind an address once more whose file was removed; links that stand are kept.

        Raises:
            OSError: it cannot be bound.
        """
        try:
            self._socket.bind(address)
        except zmq.ZMQError as error:
            raise OSError(error.errno, error.strerror, socket_path(address)) from error

    def close(self) -> None:
        """Close the socket; what has not left is dropped."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._fd)
            if self._again is not None:
                self._again.cancel()
            self._socket.close(linger=0)
            self._on_close(self)

    def _look_again(self) -> None:
        if self._again is None:
            self._again = self._loop.call_soon(self._drain_again)

    def _drain_again(self) -> None:
        self._again = None
        self._drain()

    def _drain(self) -> None:
        socket, on_frames = self._socket, self._on_frames
        for _ in range(self._batch):
            # asked first: to be told by an exception that nothing is there costs more
            if self._closed or not _get(socket, _EVENTS) & _IN:
                break
            try:
                frame = _recv(socket, _LAST, False)
                frames = [frame.bytes]
                while frame.more:
                    frame = _recv(socket, _LAST, False)
                    frames.append(frame.bytes)
            except zmq.Again:
                break
            if self.knows_peers:
                self.peer_uid, self.peer_pid = _peer_of(frame)
            try:
                on_frames(frames)
            except Exception:
                # One bad message must not stop the reading of the socket: that would end everyone.
                if (held := self._lines.allow(self._loop.time())) is not None:
                    log.exception("handling a message failed%s", more(held))
        else:
            self._look_again()
        if self._on_turn is not None and not self._closed:
            self._on_turn()


def _peer_of(frame: zmq.Frame) -> tuple[int | None, int]:
    """User and process that connected, as the kernel has them (SO_PEERCRED).

    None and 0 where libzmq does not say: of a peer that speaks a protocol older than ZMTP 3.
    """
    try:
        return _credentials(str(frame.get("Peer-Address")))
    except (zmq.ZMQError, ValueError):
        return None, 0


@lru_cache(maxsize=256)  # one entry a peer; on media this is asked for each message
def _credentials(peer_address: str) -> tuple[int, int]:
    """Read libzmq's "Peer-Address" of a Unix socket. Raises ValueError.

    It is ":UID:GID:PID", behind a name that means nothing (libzmq 4.3, stream_engine_base.cpp).
    """
    *_, uid, _, pid = peer_address.split(":")
    return int(uid), int(pid)
