"""The connections between hosts, with TLS 1.3 (IO): who may connect, and how they break.

Both ends show a certificate of the cluster's CA. The one that connects looks for the name of the
host that it means; the one that serves compares the name in the certificate with the greeting. A
connection whose peer is silent, or takes nothing, ends within seconds; the end that plays tries
again.
"""

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol, cast

from common.access.peer_address import host_of
from common.errors import LinkError
from common.link.backlog import Parts
from common.link.messages import LinkGreeting
from common.link.serving import Demanded, Serving
from common.process.listening import Acceptor
from common.process.log import PeerLines, more
from egress.relay.play import Host
from egress.relay.pulls import Pulls

log = logging.getLogger("tfarm.egress.relay.connections")

HANDSHAKE_S: Final = 5.0
GREETING_S: Final = 5.0  # after the handshake
SILENT_S: Final = 6.0  # a host that plays reports every second
MAX_CONNECTIONS: Final = 512  # those in their handshake included
RETRY_S: Final = (0.2, 0.5, 1.0, 2.0)  # between attempts
LINE_EVERY_S: Final = 60.0  # about one peer
_TCP: Final = (
    (socket.TCP_KEEPIDLE, 1),
    (socket.TCP_KEEPINTVL, 1),
    (socket.TCP_KEEPCNT, 2),
    (socket.TCP_USER_TIMEOUT, 2_000),  # ms that what was sent may stay without an answer
)


_NOWHERE: Final = memoryview(bytearray(4096))  # what still comes over a connection that is gone


class Served(Protocol):
    """Who has the streams: `egress.relay.output.RelayOutput`."""

    def arrived(self, serving: Serving) -> None: ...

    def left(self, serving: Serving) -> None: ...

    def demanded(self, serving: Serving, demanded: Demanded) -> None: ...


class Publishing(Protocol):
    """Who takes publishers of other hosts: `egress.relay.publishers.Publishers`."""

    def arrived(self, serving: Serving) -> None: ...

    def left(self, serving: Serving) -> None: ...


class _Link(asyncio.BufferedProtocol):
    """One connection: what is written first in a millisecond leaves at once, the rest together.

    What comes is decrypted into the memory that frames are cut from.
    """

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.received_s = time.monotonic()
        self._parts: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        self._is_late = False  # there is a call to come that writes the parts
        self._written_s = -1.0  # the loop's time at the last write
        self.is_over = False  # it is closed from this end: what still comes is not taken

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's TLS transport is none of asyncio's classes, and has their methods
        self.transport = cast(asyncio.Transport, transport)

    def write(self, parts: Parts) -> None:
        """Write now, or what follows in the same millisecond together."""
        self._parts += parts
        if self._is_late:
            return
        now = self._loop.time()  # uvloop's goes by milliseconds
        if now != self._written_s:
            self._written_s = now
            self._flush()
        else:
            self._is_late = True
            self._loop.call_soon(self._write_late)

    def close(self) -> None:
        """Send what is there, and end it."""
        self.is_over = True
        self._flush()
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """End it at once."""
        if self.transport is not None:
            self.transport.abort()

    def _write_late(self) -> None:
        self._is_late = False
        self._flush()

    def _flush(self) -> None:
        parts, self._parts = self._parts, []
        # a closed transport would write a line to the log for each call
        if parts and self.transport is not None and not self.transport.is_closing():
            self.transport.write(b"".join(parts))


class _ServingLink(_Link):
    """One that a host plays streams of this one by."""

    def __init__(self, server: "LinkServer", peer: str) -> None:
        super().__init__()
        self._server = server
        self.peer = peer
        self.serving: Serving | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        names = certified(transport.get_extra_info("peercert"))
        self.serving = Serving(self._server.own, names, self.write, time.monotonic)
        self._server.arrived(self, self.serving)

    def get_buffer(self, sizehint: int) -> memoryview:
        if self.serving is None or self.is_over:
            return _NOWHERE
        return self.serving.room()

    def buffer_updated(self, nbytes: int) -> None:
        self.received_s = time.monotonic()
        if self.serving is not None and not self.is_over:
            self._server.received(self, self.serving, nbytes)

    def connection_lost(self, error: Exception | None) -> None:
        serving, self.serving = self.serving, None
        if serving is not None:
            self._server.left(self, serving)


class LinkServer:
    """Where other hosts connect."""

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        context: Callable[[], ssl.SSLContext],
        served: Served,
    ) -> None:
        """`context` gives that of new handshakes."""
        self.own = LinkGreeting(0, "", "", "")
        self.counters = {"relay connections": 0, "relay refused": 0}
        self.publishers: Publishing | None = None
        self._context = context
        self._served = served
        self._loop = asyncio.get_running_loop()
        self._links: set[_ServingLink] = set()
        self._handshakes: set[asyncio.Task[None]] = set()
        self._lines = _lines()
        self._acceptor = Acceptor(listeners, self._take)
        self._is_retiring = False

    @property
    def is_in_use(self) -> bool:
        """Tell if a host has a stream of here, or a publisher whose stream is here."""
        return bool(self._handshakes) or any(map(_is_used, self._links))

    def start(self, own: LinkGreeting) -> None:
        """Accept connections; `own` is how this host greets."""
        self.own = own
        self._acceptor.start()

    def check(self, now: float) -> None:
        """End who is silent; to be called once a second."""
        for link in tuple(self._links):
            greeted = link.serving is not None and link.serving.peer is not None
            if now - link.received_s >= (SILENT_S if greeted else GREETING_S):
                self._refuse(link, "it is silent" if greeted else "it does not greet")
            elif self._is_retiring and greeted and not _is_used(link):
                link.close()  # what its host wants next it gets of the successor

    def retire(self) -> None:
        """Accept no more, and keep each connection for as long as something goes by it."""
        self._acceptor.close()
        self._is_retiring = True

    def stop(self) -> None:
        """Accept no more, and end all in order."""
        self._acceptor.close()
        for link in tuple(self._links):
            link.close()

    def close(self) -> None:
        """End at once what is left."""
        self._acceptor.close()
        for task in tuple(self._handshakes):
            task.cancel()
        for link in tuple(self._links):
            link.abort()

    # ---- for the connections ------------------------------------------------------------------

    def arrived(self, link: _ServingLink, serving: Serving) -> None:
        """TLS stands."""
        self._links.add(link)
        self.counters["relay connections"] += 1
        self._served.arrived(serving)
        if self.publishers is not None:
            self.publishers.arrived(serving)

    def received(self, link: _ServingLink, serving: Serving, size: int) -> None:
        """Take what has come: so many bytes, in its room."""
        was_greeted = serving.peer is not None
        try:
            demanded = serving.filled(size)
        except LinkError as error:
            self._refuse(link, str(error))
            return
        if not was_greeted and serving.peer is not None:
            log.info("host connected host=%s peer=%s", serving.peer.host, link.peer)
        for each in demanded:
            self._served.demanded(serving, each)

    def left(self, link: _ServingLink, serving: Serving) -> None:
        """It is gone."""
        self._links.discard(link)
        self._served.left(serving)
        if self.publishers is not None:
            self.publishers.left(serving)
        if serving.peer is not None:
            log.info("host gone host=%s peer=%s", serving.peer.host, link.peer)

    # ---- inside -------------------------------------------------------------------------------

    def _take(self, sock: socket.socket, host: str, peer: str) -> None:
        if len(self._links) + len(self._handshakes) >= MAX_CONNECTIONS:
            sock.close()
            self._log_refusal(peer, f"{MAX_CONNECTIONS} connections are there")
            return
        task = self._loop.create_task(self._shake_hands(sock, peer))
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    async def _shake_hands(self, sock: socket.socket, peer: str) -> None:
        try:
            sock.setblocking(False)
            harden(sock)
            await self._loop.connect_accepted_socket(
                lambda: _ServingLink(self, peer),
                sock,
                ssl=self._context(),
                ssl_handshake_timeout=HANDSHAKE_S,
            )
        except (OSError, TimeoutError) as error:  # ssl.SSLError is one
            sock.close()
            self._log_refusal(peer, why_refused(error))

    def _refuse(self, link: _ServingLink, reason: str) -> None:
        if link.serving is not None:
            link.serving.refuse(reason)
        link.close()
        self._log_refusal(link.peer, reason)

    def _log_refusal(self, peer: str, reason: str) -> None:
        self.counters["relay refused"] += 1
        if (held := self._lines.allow(host_of(peer), time.monotonic())) is not None:
            log.warning("host refused peer=%s reason=%s%s", peer, reason, more(held))


def _is_used(link: _ServingLink) -> bool:
    """Tell if a stream is wanted by it, or publishers come by it."""
    serving = link.serving
    return serving is not None and bool(serving.streams or serving.receiving.numbers)


class _PullingLink(_Link):
    """One that streams of another host are played by."""

    def __init__(self, client: "LinkClient", host: Host) -> None:
        super().__init__()
        self._client = client
        self.host = host
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._client.links.add(self)
        self.host.pulling.connected(self.write)

    def get_buffer(self, sizehint: int) -> memoryview:
        return _NOWHERE if self.is_over else self.host.pulling.room()

    def buffer_updated(self, nbytes: int) -> None:
        now = self.received_s = time.monotonic()
        if self.is_over:
            return
        try:
            self._client.pulls.on_all_media(self.host, self.host.pulling.filled(nbytes, now), now)
            if len(self._client.pulls.hosts) != self._client.followed:
                self._client.follow()  # another host is to be asked
        except LinkError as error:
            self.host.pulling.refuse(str(error))
            self.end(str(error))

    def end(self, reason: str) -> None:
        """Close it; the reason is for the log."""
        if not self.closed.done():
            self.closed.set_result(reason)
        self.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._client.links.discard(self)
        if not self.closed.done():
            why = str(error) if error is not None else "the other host has closed it"
            self.closed.set_result(why)


class LinkClient:
    """The connections to all hosts that streams are pulled from."""

    def __init__(self, pulls: Pulls, context: Callable[[], ssl.SSLContext]) -> None:
        """`context` gives that of new handshakes."""
        self.pulls = pulls
        self._context = context
        self.links: set[_PullingLink] = set()
        self.followed = 0  # hosts
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._loop = asyncio.get_running_loop()
        self._lines = _lines()

    def follow(self) -> None:
        """Connect to the hosts that streams are pulled from, and leave the others."""
        hosts = self.pulls.hosts
        self.followed = len(hosts)
        for key in [key for key in self._tasks if key not in hosts]:
            self._tasks.pop(key).cancel()
        for key, host in hosts.items():
            if key not in self._tasks:
                self._tasks[key] = self._loop.create_task(self._keep(host))

    def sending(self, since_s: float) -> set[tuple[str, str]]:
        """Return name and address of the hosts that have sent something by a link since then."""
        found = {link.host for link in self.links if link.received_s >= since_s}
        return {(host.name, host.address) for host in found if host.pulling.is_ready}

    async def stop(self) -> None:
        """End all in order."""
        tasks = tuple(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def close(self) -> None:
        """End at once what is left."""
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()
        for link in tuple(self.links):
            link.abort()

    async def _keep(self, host: Host) -> None:
        attempts = 0
        while True:
            link = None
            reason = ""
            try:
                link = await self._connect(host)
                reason = await self._until_closed(link, host)
            except (OSError, TimeoutError, ssl.CertificateError) as error:
                reason = why_refused(error)
            finally:
                was_ready = host.pulling.is_ready
                if link is not None:
                    link.close()
                self.pulls.on_lost(host, time.monotonic(), reason)
                self.follow()
            if (held := self._lines.allow(host.name, time.monotonic())) is not None:
                log.warning(
                    "no link to a host host=%s peer=%s reason=%s%s",
                    host.name,
                    host.address,
                    reason,
                    more(held),
                )
            attempts = 0 if was_ready else attempts + 1
            await asyncio.sleep(RETRY_S[min(attempts, len(RETRY_S) - 1)])

    async def _connect(self, host: Host) -> _PullingLink:
        name, _, port = host.address.rpartition(":")
        async with asyncio.timeout(HANDSHAKE_S):
            _, link = await self._loop.create_connection(
                lambda: _PullingLink(self, host),
                name.strip("[]"),
                int(port),
                ssl=self._context(),
                server_hostname=host.name,
                ssl_handshake_timeout=HANDSHAKE_S,
            )
        transport = link.transport
        assert transport is not None
        harden(transport.get_extra_info("socket"))
        return link

    async def _until_closed(self, link: _PullingLink, host: Host) -> str:
        """Return why it has ended."""
        began_s = time.monotonic()
        while not link.closed.done():
            await asyncio.wait((link.closed,), timeout=1.0)
            now = time.monotonic()
            if not host.pulling.is_ready and now - began_s >= GREETING_S:
                return "it does not greet"
        return link.closed.result()


def harden(sock: socket.socket) -> None:
    """Have a connection break soon whose other end is gone."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for option, value in _TCP:
        sock.setsockopt(socket.IPPROTO_TCP, option, value)


def certified(certificate: object) -> frozenset[str]:
    """Return the DNS names that a verified certificate is for, in lower case."""
    if not isinstance(certificate, dict):
        return frozenset()
    found = certificate.get("subjectAltName", ())
    return frozenset(str(name).lower() for kind, name in found if kind == "DNS")


def why_refused(error: BaseException) -> str:
    """Say in words why TLS does not stand."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message or error.reason}"
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error)).lower().replace("_", " ")
        return f"no TLS: {reason}"
    if isinstance(error, TimeoutError):
        return f"no TLS within {HANDSHAKE_S:g} s"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _lines() -> PeerLines:
    return PeerLines(burst=1, interval_s=LINE_EVERY_S)
