"""Accepts clients with TLS, and gives each its way into the farm (IO).

accept → PROXY protocol header, of a trusted proxy → handshake → a Unix socket to one of the
ingests, which begins with a PROXY protocol header that says whose connection it is → forwarding.
"""

import asyncio
import itertools
import logging
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from common.access.fair_turns import Budget
from common.access.peer_address import Networks, host_of, parse, subscriber
from common.access.proxy_protocol import header_v2
from common.access.refusal import Cause, RefusalReason
from common.access.refusals import Attempted, RefusalStatus, RefusalTable
from common.config.settings import IngestSettings, Settings
from common.ipc.endpoint import socket_path
from common.process.fair_reading import FairReading
from common.process.listening import Acceptor
from common.process.log import PeerLines, more
from common.process.proxy_headers import ProxyHeaders
from ingest.streams.admission import Admission
from ingest.tls.forwarding import READ_BYTES, Forwarding
from ingest.tls.handshake import Handshake

log = logging.getLogger("tfarm.ingest.tls.front")

# Of a core, for all handshakes; connections that stand have the rest.
HANDSHAKES_SHARE = 0.4
# What a handshake may need, for a second's of one address. With RSA of 4096 bits it takes 6 ms.
HANDSHAKE_CPU_S = 0.008
HANDSHAKE_BYTES = 8 * 1024
FARM_BUFFER = 212_992  # of the socket to the farm; the kernel takes twice of it
RETRY_S = 0.05
NO_INGEST_S = 5.0  # for an ingest to come back
STOP_S = 1.0  # to take what is left
KEEPALIVE = (  # finds clients that vanished while there is nothing to send
    (socket.TCP_KEEPIDLE, 30),
    (socket.TCP_KEEPINTVL, 10),
    (socket.TCP_KEEPCNT, 3),
)


class Front:
    """The listener and all its connections. `start` once, `close` at the end."""

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        settings: Settings,
        context: Callable[[], ssl.SSLContext],
        max_descriptors: int,
    ) -> None:
        """`context` gives that of new handshakes."""
        self.context = context
        self.refusals = RefusalTable()
        self._counts = dict.fromkeys(("accepted", "refused", "handshakes", "failed handshakes"), 0)
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._loop = asyncio.get_running_loop()
        self._acceptor = Acceptor(listeners, self._take)
        self._headers = ProxyHeaders()
        self._admission = Admission(_limits(settings), max_descriptors)
        self._lines = PeerLines()
        self._ingests: Sequence[str] = ()  # paths of sockets
        self._turn = itertools.count()
        self._handshakes: set[Handshake] = set()
        self._forwardings: set[Forwarding] = set()
        self._is_ending = False
        self._emptied: asyncio.Future[None] = self._loop.create_future()  # after `stop`
        each = Budget(HANDSHAKE_CPU_S, HANDSHAKE_BYTES)
        self.fair = FairReading(self._loop, HANDSHAKES_SHARE, each)
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """Use other settings for new connections."""
        self._admission.configure(_limits(settings))
        self.timeout_s = settings.ingest.handshake_timeout_s
        self._send_buffer_bytes = settings.egress.send_buffer_bytes
        self._trusted_proxies = Networks(settings.ingest.trusted_proxies)
        rate = max(1.0, settings.ingest.max_handshakes_per_address)
        self.fair.configure(
            Budget(rate * HANDSHAKE_CPU_S, rate * HANDSHAKE_BYTES),
            Networks(settings.ingest.exempt_networks),
        )

    def follow(self, ingests: Sequence[str]) -> None:
        """Have new connections go to these sockets of ingests, in turn."""
        self._ingests = [socket_path(address) for address in ingests]

    @property
    def counters(self) -> dict[str, int]:
        return {"connections": len(self._forwardings), **self._counts}

    def start(self) -> None:
        """Accept connections."""
        self._acceptor.start()

    def check(self) -> None:
        """Notice what nobody reported; to be called once a second."""
        self.fair.check()
        for forwarding in tuple(self._forwardings):
            forwarding.look_again()

    @property
    def is_empty(self) -> bool:
        """Tell if nobody is connected."""
        return not self._forwardings and not self._handshakes

    def retire(self) -> None:
        """Accept no more, and serve who is connected."""
        self._acceptor.close()

    async def stop(self) -> None:
        """Accept no more; who is still told something gets a moment, then all are closed."""
        self._is_ending = True
        self._acceptor.close()
        self._headers.close()
        for handshake in tuple(self._handshakes):
            handshake.fail("")
        if self._forwardings:
            await asyncio.wait({self._emptied}, timeout=STOP_S)

    def close(self) -> None:
        """Close what is still open."""
        self._is_ending = True
        self._acceptor.close()
        self._headers.close()
        for handshake in tuple(self._handshakes):
            handshake.fail("")
        for forwarding in tuple(self._forwardings):
            forwarding.close("")
        self.fair.close()

    # ---- accepting ----------------------------------------------------------------------------

    def _take(self, sock: socket.socket, host: str, peer: str) -> None:
        if host in self._trusted_proxies:
            self._headers.take(sock, peer, self._admit, partial(self._refuse_header, peer))
        else:
            self._admit(sock, host, peer)

    def _refuse_header(self, proxy: str, reason: str) -> None:
        if reason:
            words = f"{reason}; it is in ingest.trusted_proxies, and must send one"
            self._log_refused(proxy, words, Cause.NO_HEADER)

    def _admit(self, sock: socket.socket, host: str, peer: str) -> None:
        if self.fair.is_refused(host):
            sock.close()
            self._counts["refused"] += 1  # the log has a line of its address
            return
        why_not = self._admission.admit(host, self.fair.clock())
        if why_not is not None:
            sock.close()
            self._log_refused(peer, why_not, Cause.LIMIT)
            return
        self._counts["accepted"] += 1
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._send_buffer_bytes)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in KEEPALIVE:
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
        except OSError:
            sock.close()  # gone already
            self._admission.release(host)
            return
        self._handshakes.add(Handshake(sock, host, peer, self))

    # ---- what handshakes ask ------------------------------------------------------------------

    def established(self, handshake: Handshake, client: ssl.SSLSocket) -> None:
        self._handshakes.discard(handshake)
        self._counts["handshakes"] += 1
        self._enter(handshake, client, self.fair.clock() + NO_INGEST_S)

    def failed(self, handshake: Handshake, reason: str) -> None:
        self._handshakes.discard(handshake)
        self._admission.release(handshake.host)
        if reason:
            self._counts["failed handshakes"] += 1
            self._log_closed(handshake.peer, reason)

    def _enter(self, client: Handshake, tls: ssl.SSLSocket, until_s: float) -> None:
        """Connect to an ingest, or try again for a while."""
        farm = None if self._is_ending else self._connect()
        if farm is not None:
            try:
                farm.send(_header(client.peer, tls))
            except OSError:
                farm.close()
                farm = None
        if farm is not None:
            self._forwardings.add(
                Forwarding(tls, farm, self._buffer, client.host, client.peer, self._on_closed)
            )
        elif self._is_ending or self.fair.clock() >= until_s:
            tls.close()
            self._admission.release(client.host)
            if not self._is_ending:
                self._log_closed(client.peer, f"nobody took it within {NO_INGEST_S:g} s")
        else:
            self._loop.call_later(RETRY_S, self._enter, client, tls, until_s)

    def _connect(self) -> socket.socket | None:
        """A connection to an ingest; None: there is none now, or its queue is full."""
        for _ in self._ingests:
            path = self._ingests[next(self._turn) % len(self._ingests)]
            farm = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            farm.setblocking(False)
            try:
                farm.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, FARM_BUFFER)
                farm.connect(path)
            except OSError:
                farm.close()
            else:
                return farm
        return None

    def _on_closed(self, forwarding: Forwarding, reason: str) -> None:
        self._forwardings.discard(forwarding)
        self._admission.release(forwarding.host)
        if self._is_ending and not self._forwardings and not self._emptied.done():
            self._emptied.set_result(None)
        if reason:
            self._log_closed(forwarding.peer, reason)

    # ---- the log ------------------------------------------------------------------------------

    def _log_closed(self, peer: str, reason: str) -> None:
        held_back = self._lines.allow(subscriber(host_of(peer)), self.fair.clock())
        if held_back is not None:
            log.warning("connection closed peer=%s reason=%s%s", peer, reason, more(held_back))

    def _log_refused(self, peer: str, reason: str, cause: Cause) -> None:
        self._counts["refused"] += 1
        self.refusals.add(
            RefusalStatus(
                Attempted.CONNECT,
                RefusalReason.DENIED,
                reason,
                peer,
                time.time(),
                cause=cause.value,
            )
        )
        held_back = self._lines.allow(subscriber(host_of(peer)), self.fair.clock())
        if held_back is not None:
            log.warning("connection refused peer=%s reason=%s%s", peer, reason, more(held_back))


def _limits(settings: Settings) -> IngestSettings:
    """Those of an ingest, with the most connections that may have TLS."""
    return replace(settings.ingest, max_connections=settings.tls.max_connections, processes=1)


def _header(peer: str, tls: ssl.SSLSocket) -> bytes:
    """Say whose connection it is."""
    port = int(peer.rpartition(":")[2])
    host = str(parse(host_of(peer)))
    here = "::1" if ":" in host else "127.0.0.1"
    return header_v2((host, port), (here, 0))
