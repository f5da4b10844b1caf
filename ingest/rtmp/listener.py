"""The RTMP listener (IO): accepts within the limits, and answers for its connections.

Sockets are bound before the supervisor is met, so that a port in use is a reason to end at once;
connections are accepted when the settings are there. A connection over a limit is closed before
anything is made for it. Log lines about connections are rate-limited.
"""

import asyncio
import errno
import logging
import socket
import time
from collections.abc import Sequence

from common.access.fair_turns import Budget
from common.access.peer_address import Networks, host_of, subscriber
from common.access.refusal import Refusal, RefusalReason
from common.access.refusals import Attempted
from common.config.settings import Settings
from common.process.fair_reading import FairReading
from common.process.log import PeerLines, key_hash, more
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

log = logging.getLogger("tfarm.ingest.rtmp.listener")

BACKLOG = 4096
READ_BYTES = 32 * 1024  # of a publisher: in chunks of one byte these take 30 ms of the loop
NEWCOMERS_SHARE = 0.4  # of a core, for all that do not publish
# What one connection may need until it publishes, for a second's handshakes of one address. A
# client sends 4 to 6 KB and costs 1 to 3 ms, where caches are cold.
NEWCOMER_CPU_S = 0.004
NEWCOMER_BYTES = 10 * 1024
ACCEPTS = 16  # a turn of the loop
PAUSE_S = 0.1  # without accepting, when the host has no descriptors left
_NO_FAMILY = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


def bind(host: str, port: int, *, is_shared: bool = False) -> list[socket.socket]:
    """Listening sockets for an address, which may be a name; connections wait in the backlog.

    `is_shared`: other processes of this user listen there too, each for a part of the connections.

    Raises:
        OSError: the address cannot be used, with the address in its text.
    """
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, _, _, _, address in dict.fromkeys(found):
            if sockets and port == 0:
                address = (address[0], sockets[0].getsockname()[1], *address[2:])
            try:
                sockets.append(_listener(family, address, is_shared))
            except OSError as error:
                # a name for both families, on a host with one
                if error.errno not in _NO_FAMILY or (not sockets and len(found) == 1):
                    raise
        if not sockets:
            raise OSError(errno.EADDRNOTAVAIL, "no such address on this host")
    except OSError as error:
        for sock in sockets:
            sock.close()
        why = error.strerror or str(error)
        raise OSError(error.errno, f"cannot listen on {join_address(host, port)}: {why}") from error
    return sockets


def _listener(family: int, address: tuple[object, ...], is_shared: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def join_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


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
        self._listeners = list(listeners)
        self._admission = admission
        self._streams = streams
        self._players = players
        self._recorder = recorder
        self._connections: set[Connection] = set()
        self._loop = asyncio.get_running_loop()
        self._emptied: asyncio.Future[None] = self._loop.create_future()  # after `stop`
        self._paused: asyncio.TimerHandle | None = None
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
        self._session_config = SessionConfig(max_message_bytes=settings.ingest.max_message_bytes)

    @property
    def connections(self) -> int:
        return len(self._connections)

    def start(self) -> None:
        """Accept connections."""
        for listener in self._listeners:
            self._loop.add_reader(listener.fileno(), self._accept, listener)

    def stop(self, reason: str) -> None:
        """Accept no more, and close what is open; publishers being answered take a moment."""
        if self._paused is not None:
            self._paused.cancel()
        for listener in self._listeners:
            self._loop.remove_reader(listener.fileno())
            listener.close()
        self._listeners.clear()
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
        self._log_refused(connection.peer, Refusal(RefusalReason.NOT_FOUND, words))
        connection.refuse_connect(request.request_id, NO_APP, what)

    def publish(self, connection: Connection, request: PublishRequested, now: float) -> None:
        if connection.publishes > 1:
            why_not = self._admission.admit_again(connection.host, now)
            if why_not is not None:
                refusal = Refusal(RefusalReason.DENIED, why_not)
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
        if not self._connections and not self._listeners and not self._emptied.done():
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

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTS):
            try:
                sock, address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    log.error("accepting paused reason=%s", error.strerror)
                    self._pause()
                    return
                raise
            self._take(sock, address[0], join_address(address[0], address[1]))

    def _take(self, sock: socket.socket, host: str, peer: str) -> None:
        now = self.now()
        if self.newcomers.is_refused(host):
            sock.close()
            self.refused += 1  # the log has a line of its address
            return
        why_not = self._admission.admit(host, now)
        if why_not is not None:
            sock.close()
            self._log_refused(peer, Refusal(RefusalReason.DENIED, why_not))
            return
        self.accepted += 1
        try:
            sock.setblocking(False)
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

    def _pause(self) -> None:
        for listener in self._listeners:
            self._loop.remove_reader(listener.fileno())
        self._paused = self._loop.call_later(PAUSE_S, self.start)
