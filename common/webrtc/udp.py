"""The one UDP port of a process (IO)."""

import asyncio
import logging
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from common.process.log import RateLimit, more

log = logging.getLogger("tfarm.common.webrtc.udp")

READS: Final = 64  # datagrams a turn of the loop: what is sent goes on in between
MAX_DATAGRAM: Final = 2048
BUFFER_BYTES: Final = 4 * 1024 * 1024  # as far as the kernel allows
MAX_QUEUED_BYTES: Final = 8 * 1024 * 1024  # that the kernel does not take at once

Address = tuple[Any, ...]  # as the socket has it


class UdpPort:
    """One socket; whoever it is for is told by the address."""

    def __init__(
        self, sock: socket.socket, on_datagram: Callable[[bytes, Address], object]
    ) -> None:
        """`sock` is bound, does not block, and is its own from now on."""
        self._loop = asyncio.get_running_loop()
        self._on_datagram = on_datagram
        self._queue: deque[tuple[bytes, Address]] = deque()
        self._queued_bytes = 0
        self._lines = RateLimit(burst=1, interval_s=60.0)
        self.dropped = 0  # datagrams that the kernel did not take
        self.received = 0
        self._socket = sock
        self._loop.add_reader(self._socket.fileno(), self._on_readable)

    @property
    def address(self) -> tuple[str, int]:
        """Where it is bound."""
        host, port = self._socket.getsockname()[:2]
        return str(host), int(port)

    def send(self, datagram: bytes, address: Address) -> None:
        """Send at once, or as soon as the kernel takes it; what is too much is dropped."""
        if not self._queue:
            try:
                self._socket.sendto(datagram, address)
                return
            except (BlockingIOError, InterruptedError):
                self._loop.add_writer(self._socket.fileno(), self._on_writable)
            except OSError as error:
                self._drop(error)
                return
        if self._queued_bytes + len(datagram) > MAX_QUEUED_BYTES:
            self.dropped += 1
            return
        self._queue.append((datagram, address))
        self._queued_bytes += len(datagram)

    def give(self) -> socket.socket:
        """The socket, for another process; it is not read here any more, and sends as before."""
        self._loop.remove_reader(self._socket.fileno())
        return self._socket

    def close(self) -> None:
        """Close the socket. Does nothing the second time."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._loop.remove_writer(self._socket.fileno())
            self._socket.close()
            self._queue.clear()

    def _on_readable(self) -> None:
        receive = self._socket.recvfrom
        for _ in range(READS):
            try:
                datagram, address = receive(MAX_DATAGRAM)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                continue  # an ICMP error of somebody who is gone
            self.received += 1
            self._on_datagram(datagram, address)
            if self._socket.fileno() < 0:
                return

    def _on_writable(self) -> None:
        while self._queue:
            datagram, address = self._queue[0]
            try:
                self._socket.sendto(datagram, address)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._drop(error)
            self._queue.popleft()
            self._queued_bytes -= len(datagram)
        self._loop.remove_writer(self._socket.fileno())

    def _drop(self, error: OSError) -> None:
        self.dropped += 1
        if (held := self._lines.allow(time.monotonic())) is not None:
            log.warning("a datagram was not sent reason=%s%s", error.strerror, more(held))


def bound(host: str, port: int) -> socket.socket:
    """A socket at this address. Raises OSError."""
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = found[0]
    sock = socket.socket(family, kind, protocol)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
        sock.setblocking(False)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock
