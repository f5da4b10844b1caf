"""ZeroMQ sockets for control on an asyncio loop (IO): options in one place, no task a message.

`zmq.asyncio` makes a future for each message; here a socket's descriptor is watched by the loop
and the socket is emptied in one go into a plain callback. The descriptor is edge-triggered
(zmq_getsockopt ZMQ_FD): a reader that stops before EAGAIN, and a socket that is also sent on, must
look again by themselves, which `Receiver` does.

Sends never block: a full socket gives False. Media and tags go by `common.ipc.media_link`.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

import zmq

log = logging.getLogger("tfarm.common.ipc.bus")

Frames = Sequence[bytes]
OnFrames = Callable[[list[bytes]], None]

HIGH_WATER_MARK = 4000  # messages; only a stop for memory
BATCH = 256  # messages taken before the loop gets a turn


class Bus:
    """One ZeroMQ context for a process; closes all that was opened on it."""

    def __init__(self) -> None:
        self._context = zmq.Context(io_threads=1)
        self._sockets: list[Receiver] = []

    def router(self, address: str, on_frames: OnFrames) -> "Receiver":
        """Bind a ROUTER; messages come with, and are sent with, the peer's id as first frame."""
        socket = self._socket(zmq.ROUTER)
        socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        socket.bind(address)
        return self._receiver(socket, on_frames)

    def dealer(self, address: str, identity: bytes, on_frames: OnFrames) -> "Receiver":
        """Connect a DEALER under `identity`."""
        socket = self._socket(zmq.DEALER)
        socket.setsockopt(zmq.IDENTITY, identity)
        socket.setsockopt(zmq.RECONNECT_IVL, 50)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
        socket.connect(address)
        return self._receiver(socket, on_frames)

    def close(self) -> None:
        for socket in self._sockets:
            socket.close()
        self._sockets.clear()
        self._context.destroy(linger=0)

    def _socket(self, kind: int) -> "zmq.Socket[bytes]":
        socket: zmq.Socket[bytes] = self._context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SNDHWM, HIGH_WATER_MARK)
        socket.setsockopt(zmq.RCVHWM, HIGH_WATER_MARK)
        return socket

    def _receiver(self, socket: "zmq.Socket[bytes]", on_frames: OnFrames) -> "Receiver":
        receiver = Receiver(socket, on_frames)
        self._sockets.append(receiver)
        return receiver


class Receiver:
    """A socket that is read by the loop, and may be sent on."""

    def __init__(self, socket: "zmq.Socket[bytes]", on_frames: OnFrames) -> None:
        self._socket = socket
        self._on_frames = on_frames
        self._loop = asyncio.get_running_loop()
        self._fd = int(socket.getsockopt(zmq.FD))
        self._closed = False
        self._loop.add_reader(self._fd, self._drain)
        # what came before the reader was set gives no edge
        self._loop.call_soon(self._drain)

    @property
    def closed(self) -> bool:
        return self._closed

    def send(self, frames: Frames) -> bool:
        """Send without waiting; False when the peer's queue is full or the peer is unknown."""
        if self._closed:
            return False
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK, copy=True)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            log.debug("send failed error=%s", error)
            return False
        finally:
            # sending may have eaten the edge that a message in would have made
            self._loop.call_soon(self._drain)
        return True

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._fd)
            self._socket.close(linger=0)

    def _drain(self) -> None:
        for _ in range(BATCH):
            # asked first: to be told by an exception that nothing is there costs more
            if self._closed or not int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
                return
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._hand_on(frames)
        self._loop.call_soon(self._drain)

    def _hand_on(self, frames: list[bytes]) -> None:
        try:
            self._on_frames(frames)
        except Exception:
            # One bad message must not stop the reading of the socket: that would end everyone.
            log.exception("handling a bus message failed")
