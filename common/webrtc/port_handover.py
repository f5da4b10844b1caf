"""The UDP port on its way from a process to its successor (IO: a Unix socket).

A process that retires gives the socket of its port to its successor, and reads it no more; else
each of the two would be given some of the other's datagrams. It goes on sending by it. The
successor reads for both: what is of none of its own sessions goes back over the same connection,
to each that retires. So sessions stay where they are until their peers leave, and the port has
one reader at any time. If a successor ends, its next start connects anew, and is given the port.
"""

import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from common.ipc.control_messages import Endpoint
from common.ipc.endpoint import socket_path
from common.ipc.farm_socket import FarmSocket
from common.ipc.identity import ChildId
from common.ipc.socket_peers import SocketPeers
from common.webrtc.udp import MAX_DATAGRAM, Address

log = logging.getLogger("tfarm.common.webrtc.port_handover")

SOCKET: Final = "datagrams"
MAGIC: Final = b"TFU1"
ABSENT_S: Final = 10.0  # without a successor: peers would be silent for longer, too
READS: Final = 64
MAX_HOST: Final = 64
_ADDRESS: Final = struct.Struct("!BHII")  # length of the host's text, port; IPv6: flow, scope


def pack(datagram: bytes, address: Address) -> bytes:
    """A datagram with its sender."""
    host = str(address[0]).encode()[:MAX_HOST]
    flow, scope = address[2:4] if len(address) > 2 else (0, 0)
    return _ADDRESS.pack(len(host), address[1], flow, scope) + host + datagram


def unpack(message: bytes, family: int) -> tuple[bytes, Address] | None:
    """Datagram and sender as a socket of this family has it; None: it is no such message."""
    if len(message) < _ADDRESS.size:
        return None
    length, port, flow, scope = _ADDRESS.unpack_from(message)
    end = _ADDRESS.size + length
    if length > MAX_HOST or len(message) < end:
        return None
    try:
        host = message[_ADDRESS.size : end].decode("ascii")
    except UnicodeDecodeError:
        return None
    address = (host, port, flow, scope) if family == socket.AF_INET6 else (host, port)
    return message[end:], address


class PortGiver:
    """The end of who retires; listens until closed."""

    def __init__(
        self,
        path: str,
        give: Callable[[], socket.socket | None],
        deliver: Callable[[bytes, Address], object],
        on_absent: Callable[[], object],
        socket_name: str = SOCKET,
    ) -> None:
        """`give` returns the port's socket, if it has it, and reads it no more.

        `deliver` takes what the successor has read; `on_absent`: there is none for too long.
        `socket_name`: of its kind, in `common.ipc.socket_peers.SENDERS`.
        Raises OSError.
        """
        self._give, self._deliver, self._on_absent = give, deliver, on_absent
        self._loop = asyncio.get_running_loop()
        self._links: set[socket.socket] = set()
        self._ip = int(socket.AF_INET)
        self._absent: asyncio.TimerHandle | None = None
        peers = SocketPeers(socket_name)
        self._socket = FarmSocket(path, peers, self._take, kind=socket.SOCK_SEQPACKET)

    def follow(self, endpoints: Iterable[Endpoint]) -> None:
        self._socket.follow(endpoints)

    def listen_again(self) -> None:
        """Listen at the same path again if the socket's file is gone. Raises OSError."""
        self._socket.listen_again()

    def close(self) -> None:
        self._socket.close()
        self._stop_timer()
        for link in self._links:
            self._loop.remove_reader(link.fileno())
            link.close()
        self._links.clear()

    def _take(self, link: socket.socket, pid: int) -> None:
        port = self._give()
        try:
            socket.send_fds(link, [MAGIC], [] if port is None else [port.fileno()])
        except OSError as error:
            log.warning("the UDP port was not handed over reason=%s", error.strerror)
            link.close()
            self._start_timer()
            return
        if port is not None:
            self._ip = int(port.family)
            log.info("the UDP port is handed over pid=%d", pid)
        self._stop_timer()
        self._links.add(link)
        self._loop.add_reader(link.fileno(), self._on_readable, link)

    def _on_readable(self, link: socket.socket) -> None:
        for _ in range(READS):
            try:
                message = link.recv(MAX_DATAGRAM + _ADDRESS.size + MAX_HOST)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                message = b""
            if not message:
                self._loop.remove_reader(link.fileno())
                link.close()
                self._links.discard(link)
                self._start_timer()
                return
            if (found := unpack(message, self._ip)) is not None:
                self._deliver(*found)
            if link not in self._links:
                return  # closed by what was delivered

    def _start_timer(self) -> None:
        if not self._links and self._absent is None:
            self._absent = self._loop.call_later(ABSENT_S, self._on_absent)

    def _stop_timer(self) -> None:
        if self._absent is not None:
            self._absent.cancel()
            self._absent = None


class PortTaker:
    """The end of a successor: of all that retire beside it."""

    def __init__(
        self,
        own: ChildId,
        take: Callable[[socket.socket], bool],
        on_change: Callable[[], object],
        socket_name: str = SOCKET,
    ) -> None:
        """`take` is given a port, and says whether it has a use for it.

        `on_change`: `may_bind` may be another now. `socket_name`: as the giver has it.
        """
        self._own, self._take, self._on_change = own, take, on_change
        self._socket_name = socket_name
        self._loop = asyncio.get_running_loop()
        self._others: dict[ChildId, bool] = {}  # that run; True: it retires
        self._links: dict[ChildId, socket.socket] = {}
        self._given: set[ChildId] = set()  # whose answer has come, with a port or without
        self._knows_all = self._is_over = False
        self.dropped = 0  # datagrams that were not taken

    @property
    def may_bind(self) -> bool:
        """Whether nobody else of the farm can have the port."""
        return self._knows_all and all(child in self._given for child in self._others)

    def follow(self, endpoints: Sequence[Endpoint]) -> None:
        """These children run; those that retire are connected to, once, unless this one does."""
        if self._is_over or any(end.child == self._own and end.is_retiring for end in endpoints):
            return
        self._knows_all = True
        others = {end.child: end for end in endpoints if end.child != self._own}
        ends = {child: end for child, end in others.items() if self._path(end)}
        self._others = {child: end.is_retiring for child, end in ends.items()}
        self._given &= self._others.keys()
        for child, end in ends.items():
            if end.is_retiring and child not in self._links and child not in self._given:
                self._connect(child, socket_path(self._path(end)))
        self._on_change()

    def relay(self, datagram: bytes, address: Address) -> None:
        """Give what is of no session here to those that retire, as far as they take it."""
        if not self._links:
            return
        message = pack(datagram, address)
        for link in tuple(self._links.values()):
            try:
                link.send(message)
            except OSError:  # its queue is full, or it has just ended: its reader sees that
                self.dropped += 1

    def close(self) -> None:
        """Connect to nobody any more."""
        self._is_over = True
        for child in tuple(self._links):
            self._disconnect(child)

    def _path(self, end: Endpoint) -> str:
        path: str = getattr(end, self._socket_name)
        return path

    def _connect(self, child: ChildId, path: str) -> None:
        link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        link.setblocking(False)
        try:
            link.connect(path)
        except OSError as error:
            link.close()
            self._given.add(child)
            log.warning("no UDP port child=%s reason=%s", child, error.strerror)
            return
        self._links[child] = link
        self._loop.add_reader(link.fileno(), self._on_readable, child, link)

    def _on_readable(self, child: ChildId, link: socket.socket) -> None:
        size = socket.CMSG_SPACE(struct.calcsize("i"))
        try:
            data, ancillary, _, _ = link.recvmsg(len(MAGIC), size, socket.MSG_CMSG_CLOEXEC)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data, ancillary = b"", []
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                self._take_port(child, socket.socket(fileno=struct.unpack_from("i", content)[0]))
        self._given.add(child)
        if data != MAGIC:
            self._disconnect(child)
        self._on_change()

    def _take_port(self, child: ChildId, port: socket.socket) -> None:
        is_ours = port.type == socket.SOCK_DGRAM and port.family in (
            socket.AF_INET,
            socket.AF_INET6,
        )
        if is_ours:
            port.setblocking(False)
        if not is_ours or not self._take(port):
            port.close()
        else:
            log.info("the UDP port is taken over child=%s", child)

    def _disconnect(self, child: ChildId) -> None:
        link = self._links.pop(child, None)
        if link is not None:
            with contextlib.suppress(OSError):
                self._loop.remove_reader(link.fileno())
            link.close()
