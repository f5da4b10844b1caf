"""The RTMP listener (IO): accepts within the limits, and answers for its connections.

Sockets are bound before the supervisor is met, so that a port in use is a reason to end at once;
connections are accepted when the settings are there. A connection over a limit is closed before
anything is made for it. Whose a connection of a trusted proxy or of the `tls` child is stands in
its PROXY protocol header; limits, bans and logs know no other address of it. Log lines about
connections are rate-limited.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Sequence
from functools import partial

from common.access.fair_turns import Budget
from common.access.peer_address import Networks, host_of, subscriber
from common.access.refusal import Cause, Refusal, RefusalReason
from common.access.refusals import Attempted
from common.config.settings import Settings
from common.process.fair_reading import FairReading
from common.process.listening import Acceptor
from common.process.log import PeerLines, key_hash, more
from common.process.proxy_headers import ProxyHeaders
from common.rtmp.address import connect_app
from common.rtmp.events import ConnectRequested, Event, PlayRequested, PublishRequested
from common.rtmp.session import ServerSession, SessionConfig
from common.rtmp.status_codes import NO_APP, REJECTED
from ingest.capture.recorder import Recorder
from ingest.rtmp.connection import Connection, Phase
from ingest.rtmp.player_handover import Players
from ingest.rtmp.publish_address import attempt_of
from ingest.streams.admission import Admission
from ingest.streams.registry import Streams

FLOODS = Refusal(RefusalReason.DENIED, "it sent more than is read of an address", cause=Cause.FLOOD)

log = logging.getLogger("tfarm.ingest.rtmp.listener")

READ_BYTES = 32 * 1024  # of a publisher: in chunks of one byte these take 30 ms of the loop
NEWCOMERS_SHARE = 0.4  # of a core, for all that do not publish
# What one connection may need until it publishes, for a second's handshakes of one address. A
# client sends 4 to 6 KB and costs 1 to 3 ms, where caches are cold.
NEWCOMER_CPU_S = 0.004
NEWCOMER_BYTES = 10 * 1024


class Server:
    """The listener and all its connections. `start` once, `close` at the end."""

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        settings: Settings,
        admission: Admission,
        streams: Streams,
        players: Players,
        recorder: Recorder,
    ) -> None:
        self.buffer = memoryview(bytearray(READ_BYTES))
        self.accepted = 0
        self.refused = 0
        self.faults = 0
        self._acceptor = Acceptor(listeners, self._take)
        self._headers = ProxyHeaders()
        self._admission = admission
        self._streams = streams
        self._players = players
        self._recorder = recorder
        self._connections: set[Connection] = set()
        self._loop = asyncio.get_running_loop()
        self._is_stopping = False
        self._emptied: asyncio.Future[None] = self._loop.create_future()  # after `stop`
        self._log_refusals = PeerLines()
        self._log_ends = PeerLines()
        each = Budget(NEWCOMER_CPU_S, NEWCOMER_BYTES)
        self.newcomers = FairReading(self._loop, NEWCOMERS_SHARE, each, self.now)
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """Use other settings for new connections."""
        self._settings = settings
        self.open_timeout_s = settings.ingest.handshake_timeout_s
        rate = max(1.0, settings.ingest.max_handshakes_per_address)
        self.newcomers.configure(
            Budget(rate * NEWCOMER_CPU_S, rate * NEWCOMER_BYTES),
            Networks(settings.ingest.exempt_networks),
        )
        self._trusted_proxies = Networks(settings.ingest.trusted_proxies)
        self._session_config = SessionConfig(max_message_bytes=settings.ingest.max_message_bytes)

    @property
    def connections(self) -> int:
        return len(self._connections)

    def start(self) -> None:
        """Accept connections."""
        self._acceptor.start()

    def retire(self) -> None:
        """Accept no more; what is open, and what the `tls` child still brings, is served."""
        self._acceptor.close()

    def stop(self, reason: str) -> None:
        """Accept no more, and close what is open; publishers being answered take a moment."""
        self._is_stopping = True
        self._acceptor.close()
        self._headers.close()
        for connection in list(self._connections):
            if connection.phase is not Phase.CLOSING:
                connection.close(reason)

    async def emptied(self, timeout_s: float) -> None:
        """Wait until no connection is open, or for the timeout."""
        if self._connections:
            await asyncio.wait({self._emptied}, timeout=timeout_s)

    def look_again(self) -> None:
        """Notice connections that were reset unseen, and be heard by all; once a second."""
        now = self.now()
        self.newcomers.check()
        for connection in list(self._connections):
            if not connection.is_batched:
                connection.look_again()
            connection.show_life(now)

    def close(self) -> None:
        """Close what is still open."""
        for connection in list(self._connections):
            connection.close("stopped")
        self.newcomers.close()

    # ---- what connections ask -----------------------------------------------------------------

    def now(self) -> float:
        return time.monotonic()

    def connect(self, connection: Connection, request: ConnectRequested) -> None:
        self._recorder.connected(connection, request.flash_version)
        banned = self._streams.bans.refusal(connection.host)
        if banned is not None:
            self._log_refused(connection.peer, banned)
            connection.refuse_connect(request.request_id, REJECTED, banned.words)
            return
        app = connect_app(request.app)
        # Without an app in `connect` the publish or play name may still hold it.
        if self._settings.template(app) if app is not None else not request.app.strip("/"):
            connection.accept_connect(request.request_id)
            return
        what = f"there is no app {app[:64]!r} here" if app else "the address names no app"
        # What stands in the place of the app may be a key: people leave the app out.
        words = f"no such app (sha256 {key_hash(app or '')}...)"
        refusal = Refusal(RefusalReason.NOT_FOUND, words, cause=Cause.NO_APP)
        self._log_refused(connection.peer, refusal)
        connection.refuse_connect(request.request_id, NO_APP, what)

    def publish(self, connection: Connection, request: PublishRequested, now: float) -> None:
        if connection.publishes > 1:
            why_not = self._admission.admit_again(connection.host, now)
            if why_not is not None:
                refusal = Refusal(RefusalReason.DENIED, why_not, cause=Cause.LIMIT)
                self._log_refused(connection.peer, refusal)
                connection.refuse_publish(request.request_id, refusal)
                return
        self._recorder.requested(connection, request)
        attempt = attempt_of(request)
        if isinstance(attempt, Refusal):
            self._streams.refuse(connection, request.request_id, attempt, now)
        else:
            self._streams.publish(connection, attempt, now)

    def media(self, connection: Connection, events: Sequence[Event], now: float) -> None:
        if connection.demuxer is not None:
            self._recorder.add(connection, events, now)
            self._streams.media(connection, connection.demuxer.take(events, now), now)

    def unread(self, connection: Connection, count: int) -> int:
        self._recorder.note_unread(connection, count)
        return count

    def publish_ended(self, connection: Connection, how: str) -> None:
        self._streams.ended(connection, how)

    def play(self, connection: Connection, request: PlayRequested) -> None:
        self._players.take(connection, request)

    def closed(self, connection: Connection, reason: str, is_fault: bool) -> None:
        self._connections.discard(connection)
        if not self._connections and self._is_stopping and not self._emptied.done():
            self._emptied.set_result(None)
        self._admission.release(connection.host)
        now = self.now()
        if is_fault:
            self.faults += 1
            self._recorder.broken(connection, reason)
            held_back = self._log_ends.allow(subscriber(host_of(connection.peer)), now)
            if held_back is not None:
                log.warning(
                    "connection closed peer=%s bytes=%d reason=%s%s",
                    connection.peer,
                    connection.session.bytes_received,
                    reason,
                    more(held_back),
                )
        else:
            log.debug("connection closed peer=%s reason=%s", connection.peer, reason)
        self._streams.lost(connection, reason, now)
        self._recorder.closed(connection)

    # ---- accepting ----------------------------------------------------------------------------

    def take_decrypted(self, sock: socket.socket) -> None:
        """Take a connection of the `tls` child, which says whose it is."""
        self._headers.take(sock, "tls", self._admit, self._refuse_decrypted)

    def _take(self, sock: socket.socket, host: str, peer: str) -> None:
        if host in self._trusted_proxies:
            self._headers.take(sock, peer, self._admit, partial(self._refuse_header, peer))
        else:
            self._admit(sock, host, peer)

    def _refuse_header(self, proxy: str, reason: str) -> None:
        if reason:
            words = f"{reason}; it is in ingest.trusted_proxies, and must send one"
            self._log_refused(proxy, Refusal(RefusalReason.DENIED, words, cause=Cause.NO_HEADER))

    def _refuse_decrypted(self, reason: str) -> None:
        log.error("connection of the tls child refused reason=%s", reason or "it said nothing")

    def _admit(self, sock: socket.socket, host: str, peer: str) -> None:
        now = self.now()
        if self.newcomers.is_refused(host):
            sock.close()
            self.refused += 1  # the log has a line of its address
            self._streams.log.count(Attempted.CONNECT, peer, FLOODS)
            return
        why_not = self._admission.admit(host, now)
        if why_not is not None:
            sock.close()
            refusal = Refusal(RefusalReason.DENIED, why_not, cause=Cause.LIMIT)
            self._log_refused(peer, refusal)
            return
        self.accepted += 1
        try:
            sock.setblocking(False)
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            sock.close()  # gone already
            self._admission.release(host)
            return
        session = ServerSession(self._session_config)
        self._connections.add(Connection(sock, host, peer, session, self))

    def _log_refused(self, peer: str, refusal: Refusal) -> None:
        self.refused += 1
        self._streams.log.count(Attempted.CONNECT, peer, refusal)
        held_back = self._log_refusals.allow(subscriber(host_of(peer)), self.now())
        if held_back is not None:
            log.warning(
                "connection refused peer=%s reason=%s%s", peer, refusal.for_log, more(held_back)
            )
