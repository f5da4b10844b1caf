"""Takes players' connections over from ingest (IO); the form is in `common.ipc.socket_handover`.

Each handover is a short connection on a Unix SEQPACKET socket in the run directory. A malformed one
is answered and closed, its descriptors with it.
"""

import asyncio
import contextlib
import logging
import os
import socket
import struct
import time
from collections.abc import Callable

from common.ipc.socket_handover import (
    ADOPTED,
    DECLINED,
    HEADER,
    MAGIC,
    MAX_ANSWER_BYTES,
    PIECE_BYTES,
)
from common.process.log import RateLimit, more
from common.rtmp.snapshot import MAX_SNAPSHOT_BYTES

log = logging.getLogger("tfarm.egress.rtmp.handover")

BACKLOG = 1024
DEADLINE_S = 5.0  # for one handover
MAX_AT_ONCE = 32  # each takes up to three descriptors
MAX_DESCRIPTORS = 2  # one is wanted, and what is too much must be seen
FULL_WAIT_S = 0.01
EXHAUSTED_WAIT_S = 0.1  # without accepting, when there are no descriptors left
ACCEPTS = 64  # a turn of the loop

# Adopts the socket and returns None, or returns why not; then the socket is closed here.
Adopt = Callable[[socket.socket, bytes], str | None]


class HandoverServer:
    """Listens until closed."""

    def __init__(self, path: str, adopt: Adopt) -> None:
        self._path = path
        self._adopt = adopt
        self._loop = asyncio.get_running_loop()
        self._incoming: set[_Incoming] = set()
        self._lines = RateLimit()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.setblocking(False)
        self._listener.bind(path)
        self._listener.listen(BACKLOG)
        self._loop.add_reader(self._listener.fileno(), self._on_connections)

    def close(self) -> None:
        """Stop listening and remove the socket file."""
        if self._listener.fileno() < 0:
            return
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()
        for incoming in tuple(self._incoming):
            incoming.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)

    def _resume(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener.fileno(), self._on_connections)

    def _on_connections(self) -> None:
        for _ in range(ACCEPTS):
            if len(self._incoming) >= MAX_AT_ONCE:
                # The rest waits in the backlog.
                self._pause(FULL_WAIT_S)
                return
            try:
                link, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._warn("accepting a handover failed reason=%s", error)
                self._pause(EXHAUSTED_WAIT_S)
                return
            link.setblocking(False)
            incoming = _Incoming(link, self._loop, self._adopt, self._incoming, self._warn)
            self._incoming.add(incoming)

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener.fileno())
        self._loop.call_later(seconds, self._resume)

    def _warn(self, what: str, reason: object) -> None:
        """Log a warning, at a limited rate: what went wrong with one often does with many."""
        held_back = self._lines.allow(time.monotonic())
        if held_back is not None:
            log.warning(f"{what}%s", reason, more(held_back))


class _Incoming:
    """One handover on its way."""

    def __init__(
        self,
        link: socket.socket,
        loop: asyncio.AbstractEventLoop,
        adopt: Adopt,
        all_of_them: "set[_Incoming]",
        warn: Callable[[str, object], None],
    ) -> None:
        self._warn = warn
        self._link = link
        self._loop = loop
        self._adopt = adopt
        self._all = all_of_them
        self._socket: socket.socket | None = None
        self._length = 0
        self._snapshot = bytearray()
        self._timer = loop.call_later(DEADLINE_S, self._decline, "the handover took too long")
        loop.add_reader(link.fileno(), self._on_packet)

    def close(self) -> None:
        if self._link.fileno() >= 0:
            self._timer.cancel()
            self._loop.remove_reader(self._link.fileno())
            self._link.close()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._all.discard(self)

    def _on_packet(self) -> None:
        try:
            data, descriptors, flags = _receive(self._link)
        except BlockingIOError:
            return
        except OSError as error:
            self._warn("a handover broke off reason=%s", error)
            self.close()
            return
        if descriptors and (len(descriptors) > 1 or self._length):
            for descriptor in descriptors:
                os.close(descriptor)
            self._decline("more than one socket")
        elif flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            for descriptor in descriptors:
                os.close(descriptor)
            # The kernel cuts descriptors off that this process has no room for.
            no_room = flags & socket.MSG_CTRUNC and not descriptors
            what = "no descriptors are left" if no_room else "a packet that is too long"
            self._decline(what)
        elif not data:
            self.close()
        elif not self._length:
            self._begin(data, descriptors)
        else:
            self._add(data)

    def _begin(self, data: bytes, descriptors: list[int]) -> None:
        if not descriptors:
            self._decline("no socket")
            return
        try:
            self._socket = socket.socket(fileno=descriptors[0])
        except OSError:
            os.close(descriptors[0])
            self._decline("the descriptor is no socket")
            return
        if len(data) < HEADER.size:
            self._decline("a packet that is too short")
            return
        magic, length = HEADER.unpack_from(data)
        if magic != MAGIC:
            self._decline("another version of the handover")
        elif not 0 < length <= MAX_SNAPSHOT_BYTES:
            self._decline(f"a snapshot of {length} bytes")
        elif self._socket.type != socket.SOCK_STREAM:
            self._decline("the descriptor is no stream socket")
        else:
            self._length = length
            self._add(data[HEADER.size :])

    def _add(self, data: bytes) -> None:
        self._snapshot += data
        if len(self._snapshot) > self._length:
            self._decline("a snapshot longer than announced")
        elif len(self._snapshot) == self._length and self._socket is not None:
            taken, self._socket = self._socket, None
            try:
                reason = self._adopt(taken, bytes(self._snapshot))
            except Exception:
                log.exception("adopting a connection failed")
                reason = "egress failed"
            if reason is None:
                self._answer(ADOPTED)
            else:
                taken.close()
                self._decline(reason)

    def _decline(self, reason: str) -> None:
        self._warn("declined a handover reason=%s", reason)
        self._answer((DECLINED + reason.encode())[:MAX_ANSWER_BYTES])

    def _answer(self, answer: bytes) -> None:
        try:
            self._link.send(answer)
        except OSError as error:
            self._warn("a handover's sender is gone reason=%s", error)
        self.close()


def _receive(link: socket.socket) -> tuple[bytes, list[int], int]:
    """One packet, the descriptors with it, and its flags.

    Not socket.recv_fds: in Python 3.11 it leaves out the flags that it is given.
    """
    size = struct.calcsize("i")
    data, ancillary, flags, _ = link.recvmsg(
        HEADER.size + PIECE_BYTES + 1,
        socket.CMSG_SPACE(MAX_DESCRIPTORS * size),
        socket.MSG_CMSG_CLOEXEC,
    )
    descriptors: list[int] = []
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            count = len(content) // size
            descriptors += struct.unpack(f"{count}i", content[: count * size])
    return data, descriptors, flags
