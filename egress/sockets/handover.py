"""Takes viewers' connections over (IO); the form is in `common.ipc.socket_handover`.

Each handover is a short connection on a Unix SEQPACKET socket in the run directory. A malformed one
is answered and closed, its descriptors with it. Only the farm's own processes hand viewers over, of
the kind that lets them in (`common.ipc.farm_socket`). Who connects and says nothing makes room for
the next.
"""

import asyncio
import logging
import os
import socket
import struct
import time
from collections.abc import Callable, Iterable

from common.ipc.control_messages import Endpoint
from common.ipc.farm_socket import FarmSocket
from common.ipc.socket_handover import (
    ADOPTED,
    DECLINED,
    HEADER,
    MAGIC,
    MAX_ANSWER_BYTES,
    MAX_STATE_BYTES,
    PIECE_BYTES,
)
from common.ipc.socket_peers import SocketPeers
from common.process.log import PeerLines, more

log = logging.getLogger("tfarm.egress.sockets.handover")

DEADLINE_S = 5.0  # for one handover
MAX_AT_ONCE = 32  # each takes up to three descriptors
MAX_DESCRIPTORS = 2  # one is wanted, and what is too much must be seen
# Who hands over says all at once, as soon as it is connected.
IDLE_S = 0.05

# Adopts the socket and returns None, or returns why not; then the socket is closed here.
Adopt = Callable[[socket.socket, bytes], str | None]


class HandoverServer:
    """Listens until closed."""

    def __init__(self, path: str, adopt: Adopt, name: str) -> None:
        """`name`: the socket's in `common.ipc.socket_peers.SENDERS`, which has who hands over."""
        self._adopt = adopt
        self._loop = asyncio.get_running_loop()
        self._incoming: dict[_Incoming, float] = {}  # since when; oldest first
        self._lines = PeerLines()
        self._socket = FarmSocket(
            path,
            SocketPeers(name),
            self._take,
            kind=socket.SOCK_SEQPACKET,
            may_accept=self._has_room,
            on_refused=self._on_refused,
        )

    def follow(self, endpoints: Iterable[Endpoint]) -> None:
        """Take viewers from those of the children that run now that hand them over."""
        self._socket.follow(endpoints)

    def listen_again(self) -> None:
        """Listen at the same path again if the socket's file is gone. Raises OSError."""
        self._socket.listen_again()

    def close(self) -> None:
        """Stop listening and remove the socket file."""
        self._socket.close()
        for incoming in tuple(self._incoming):
            incoming.close()

    def _on_refused(self, pid: int, reason: str) -> None:
        if pid:
            self._warn("declined a handover reason=%s", reason, pid)
        else:
            self._warn("accepting a handover failed reason=%s", reason, pid)

    def _take(self, link: socket.socket, pid: int) -> None:
        def warn(what: str, reason: object) -> None:
            self._warn(what, reason, pid)

        incoming = _Incoming(link, self._loop, self._adopt, self._incoming, warn)
        self._incoming[incoming] = self._loop.time()

    def _has_room(self) -> bool:
        """Tell if another one may be read; who has said nothing for too long makes room."""
        return len(self._incoming) < MAX_AT_ONCE or self._end_idle()

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
