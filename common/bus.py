"""ZeroMQ sockets on an asyncio loop (IO): options set in one place, no task and no await a message.

`zmq.asyncio` makes a future for each message; here a socket's descriptor is watched by the loop
and the socket is emptied in one go into a plain callback. The descriptor is edge-triggered
(zmq_getsockopt ZMQ_FD): a reader that stops before EAGAIN, and a socket that is also sent on, must
look again by themselves, which `Receiver` does.

Sends never block: a full socket gives False and the caller drops by stream (design.md, Messages).
What is posted in one turn of the loop goes as one message (`common.bundle`).
Endpoint names hold the child and its boot id and are never bound twice.
"""

import asyncio
import logging
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import zmq

from common import bundle
from common.errors import EnvelopeError
from common.identity import BootId, ChildName

log = logging.getLogger("tfarm.common.bus")

Frames = Sequence[bytes]
OnFrames = Callable[[list[bytes]], None]

HIGH_WATER_MARK = 4000  # messages; only a stop for memory, queues are bounded in ms by their owners
BATCH = 256  # messages taken before the loop gets a turn
BUNDLE_BYTES = 256 * 1024  # a bundle goes out once it holds this much
RETRY_S = 0.02  # until a full socket is tried again with what it was to take


def endpoint(run_dir: Path, child: ChildName, boot_id: BootId, socket: str) -> str:
    """A fresh ipc endpoint name.

    Raises:
        ValueError: the path is longer than a Unix socket path may be (107 bytes).
    """
    path = str(run_dir / f"{_file_name(child)}-{boot_id}.{socket}")
    if len(os.fsencode(path)) > 100:
        raise ValueError(f"run directory too long for socket names (100 bytes): {path}")
    return f"ipc://{path}"


def _file_name(child: ChildName) -> str:
    # GPU UUIDs are 40 characters; their first block tells GPUs of a host apart well enough with
    # the boot id beside it.
    return re.sub(r"[^a-zA-Z0-9]+", "-", child)[:24]


class Bus:
    """One ZeroMQ context for a process; closes all that was opened on it."""

    def __init__(self) -> None:
        self._context = zmq.Context(io_threads=1)
        self._sockets: list[Receiver | Push] = []

    def pull(self, address: str, on_frames: OnFrames) -> "Receiver":
        """Bind a PULL socket and hand each message to `on_frames`."""
        socket = self._socket(zmq.PULL)
        socket.bind(address)
        return self._receiver(socket, on_frames)

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

    def push(self, address: str) -> "Push":
        """Connect a PUSH socket."""
        socket = self._socket(zmq.PUSH)
        socket.connect(address)
        push = Push(socket)
        self._sockets = [entry for entry in self._sockets if not entry.closed]
        self._sockets.append(push)
        return push

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
            if bundle.is_bundle(frames):
                try:
                    for message in bundle.split(frames):
                        self._hand_on(message)
                    continue
                except EnvelopeError:
                    pass  # it is handed on whole, to be counted as the unreadable message it is
            self._hand_on(frames)
        self._loop.call_soon(self._drain)

    def _hand_on(self, frames: list[bytes]) -> None:
        try:
            self._on_frames(frames)
        except Exception:
            # One bad message must not stop the reading of the socket: that would end everyone.
            log.exception("handling a bus message failed")


class Push:
    """A PUSH socket towards one incarnation of a child."""

    def __init__(self, socket: "zmq.Socket[bytes]") -> None:
        self._socket = socket
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._posted: list[Frames] = []
        self._posted_bytes = 0
        self._flush: asyncio.Handle | None = None
        self._is_full = False

    @property
    def closed(self) -> bool:
        return self._closed

    def send(self, frames: Frames) -> bool:
        """Send without waiting; False when the peer is away or full."""
        if self._closed or not self._send_posted():
            return False
        return self._send(frames)

    def post(self, frames: Frames) -> bool:
        """Send with whatever else is posted in this turn of the loop, as one message.

        False when the peer is away or full: then this message is not taken. What was taken before
        the peer was found to be full goes as soon as it can.
        """
        if self._closed or (self._is_full and not self._send_posted()):
            return False
        self._posted.append(frames)
        for frame in frames:
            self._posted_bytes += len(frame)
        if self._flush is None:
            self._flush = self._loop.call_soon(self._on_turn_ends)
        if self._posted_bytes >= BUNDLE_BYTES or len(self._posted) >= bundle.MAX_MESSAGES:
            self._send_posted()
        return True

    def close(self) -> None:
        """Drop what has not left: stale media is of no use to a successor."""
        if not self._closed:
            self._closed = True
            self._posted.clear()
            if self._flush is not None:
                self._flush.cancel()
            self._socket.close(linger=0)

    def _on_turn_ends(self) -> None:
        self._flush = None
        if not self._send_posted():
            self._flush = self._loop.call_later(RETRY_S, self._on_turn_ends)

    def _send_posted(self) -> bool:
        """Send what is posted; whether nothing is left."""
        posted = self._posted
        if not posted:
            return True
        if not self._send(posted[0] if len(posted) == 1 else bundle.join(posted)):
            self._is_full = True
            return False
        self._is_full = False
        self._posted = []
        self._posted_bytes = 0
        return True

    def _send(self, frames: Frames) -> bool:
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK, copy=True)
        except zmq.Again:
            return False
        return True
