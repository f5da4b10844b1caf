"""Takes viewers' connections over (IO); the form is in `common.ipc.socket_handover`.

Each handover is a short connection on a Unix SEQPACKET socket in the run directory. A malformed one
is answered and closed, its descriptors with it. Only the farm's own processes hand viewers over, of
the kind that lets them in: others are closed, unless the topology that names them is still on its
way. Who connects and says nothing makes room for the next.
"""

import asyncio
import contextlib
import logging
import os
import socket
import struct
import time
from collections.abc import Callable, Set

from common.ipc.peer_credentials import is_trusted, peer_credentials
from common.ipc.socket_handover import (
    ADOPTED,
    DECLINED,
    HEADER,
    MAGIC,
    MAX_ANSWER_BYTES,
    MAX_STATE_BYTES,
    PIECE_BYTES,
)
from common.process.log import PeerLines, more

log = logging.getLogger("tfarm.egress.sockets.handover")

BACKLOG = 1024
DEADLINE_S = 5.0  # for one handover
MAX_AT_ONCE = 32  # each takes up to three descriptors
MAX_DESCRIPTORS = 2  # one is wanted, and what is too much must be seen
FULL_WAIT_S = 0.01
EXHAUSTED_WAIT_S = 0.1  # without accepting, when there are no descriptors left
ACCEPTS = 64  # a turn of the loop
# Who hands over says all at once, as soon as it is connected.
IDLE_S = 0.05
# One that has just started may be here before the topology that names it.
UNKNOWN_S = 1.0
MAX_UNKNOWN = 16

# Adopts the socket and returns None, or returns why not; then the socket is closed here.
Adopt = Callable[[socket.socket, bytes], str | None]


class HandoverServer:
    """Listens until closed."""

    def __init__(self, path: str, adopt: Adopt, kind: str = "ingest") -> None:
        """`kind`: of the children who hand over, for the log."""
        self._path = path
        self._adopt = adopt
        self._kind = kind
        self._loop = asyncio.get_running_loop()
        self._senders: Set[int] = frozenset()  # their processes
        self._unknown: dict[socket.socket, int] = {}  # the process that connected; oldest first
        self._incoming: dict[_Incoming, float] = {}  # since when; oldest first
        self._lines = PeerLines()
        self._listener = self._listen()

    def follow(self, senders: Set[int]) -> None:
        """Take viewers from these processes; 0 among them stands for any."""
        self._senders = senders
        for link, pid in tuple(self._unknown.items()):
            if self._is_sender(pid):
                del self._unknown[link]
                self._take(link, pid)

    def listen_again(self) -> None:
        """Listen at the same path again if the socket's file is gone. Raises OSError."""
        if self._listener.fileno() < 0 or os.path.lexists(self._path):
            return
        before, self._listener = self._listener, self._listen()
        self._loop.remove_reader(before.fileno())
        before.close()
        log.warning("listening again path=%s reason=the socket was removed", self._path)

    def close(self) -> None:
        """Stop listening and remove the socket file."""
        if self._listener.fileno() < 0:
            return
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()
        for incoming in tuple(self._incoming):
            incoming.close()
        for link in self._unknown:
            link.close()
        self._unknown.clear()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            listener.setblocking(False)
            listener.bind(self._path)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
        self._loop.add_reader(listener.fileno(), self._on_connections)
        return listener

    def _resume(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener.fileno(), self._on_connections)

    def _on_connections(self) -> None:
        for _ in range(ACCEPTS):
            if len(self._incoming) >= MAX_AT_ONCE and not self._end_idle():
                # The rest waits in the backlog.
                self._pause(FULL_WAIT_S)
                return
            try:
                link, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._warn("accepting a handover failed reason=%s", error, 0)
                self._pause(EXHAUSTED_WAIT_S)
                return
            link.setblocking(False)
            self._on_connection(link)

    def _on_connection(self, link: socket.socket) -> None:
        try:
            peer = peer_credentials(link)
        except OSError:
            link.close()
            return
        if not is_trusted(peer.uid):
            self._turn_away(link, peer.pid)
        elif self._is_sender(peer.pid):
            self._take(link, peer.pid)
        else:
            if len(self._unknown) >= MAX_UNKNOWN:
                oldest = next(iter(self._unknown))
                self._turn_away(oldest, self._unknown.pop(oldest))
            self._unknown[link] = peer.pid
            self._loop.call_later(UNKNOWN_S, self._on_unknown_late, link)

    def _on_unknown_late(self, link: socket.socket) -> None:
        if (pid := self._unknown.pop(link, None)) is not None:
            self._turn_away(link, pid)

    def _turn_away(self, link: socket.socket, pid: int) -> None:
        reason = f"process {pid} is no {self._kind} of this farm"
        self._warn("declined a handover reason=%s", reason, pid)
        link.close()

    def _is_sender(self, pid: int) -> bool:
        return pid in self._senders or 0 in self._senders

    def _take(self, link: socket.socket, pid: int) -> None:
        def warn(what: str, reason: object) -> None:
            self._warn(what, reason, pid)

        incoming = _Incoming(link, self._loop, self._adopt, self._incoming, warn)
        self._incoming[incoming] = self._loop.time()

    def _end_idle(self) -> bool:
        """End the one that has said nothing for the longest time, if it is too long."""
        until_s = self._loop.time() - IDLE_S
        for incoming, since_s in self._incoming.items():
            if since_s > until_s:
                return False
            if incoming.is_idle:
                incoming.decline("it said nothing")
                return True
        return False

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener.fileno())
        self._loop.call_later(seconds, self._resume)

    def _warn(self, what: str, reason: object, pid: int) -> None:
        """Log a warning, at a limited rate: what went wrong with one often does with many."""
        held_back = self._lines.allow(pid, time.monotonic())
        if held_back is not None:
            log.warning(f"{what}%s", reason, more(held_back))


class _Incoming:
    """One handover on its way."""

    def __init__(
        self,
        link: socket.socket,
        loop: asyncio.AbstractEventLoop,
        adopt: Adopt,
        all_of_them: "dict[_Incoming, float]",
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
        self._timer = loop.call_later(DEADLINE_S, self.decline, "the handover took too long")
        loop.add_reader(link.fileno(), self._on_packet)

    @property
    def is_idle(self) -> bool:
        """Tell if it has said nothing yet."""
        return not self._length

    def close(self) -> None:
        if self._link.fileno() >= 0:
            self._timer.cancel()
            self._loop.remove_reader(self._link.fileno())
            self._link.close()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._all.pop(self, None)

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
            self.decline("more than one socket")
        elif flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            for descriptor in descriptors:
                os.close(descriptor)
            # The kernel cuts descriptors off that this process has no room for.
            no_room = flags & socket.MSG_CTRUNC and not descriptors
            what = "no descriptors are left" if no_room else "a packet that is too long"
            self.decline(what)
        elif not data:
            self.close()
        elif not self._length:
            self._begin(data, descriptors)
        else:
            self._add(data)

    def _begin(self, data: bytes, descriptors: list[int]) -> None:
        if not descriptors:
            self.decline("no socket")
            return
        try:
            self._socket = socket.socket(fileno=descriptors[0])
        except OSError:
            os.close(descriptors[0])
            self.decline("the descriptor is no socket")
            return
        if len(data) < HEADER.size:
            self.decline("a packet that is too short")
            return
        magic, length = HEADER.unpack_from(data)
        if magic != MAGIC:
            self.decline("another version of the handover")
        elif not 0 < length <= MAX_STATE_BYTES:
            self.decline(f"a snapshot of {length} bytes")
        elif self._socket.type != socket.SOCK_STREAM:
            self.decline("the descriptor is no stream socket")
        else:
            self._length = length
            self._add(data[HEADER.size :])

    def _add(self, data: bytes) -> None:
        self._snapshot += data
        if len(self._snapshot) > self._length:
            self.decline("a snapshot longer than announced")
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
                self.decline(reason)

    def decline(self, reason: str) -> None:
        """Answer no, and end it."""
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
