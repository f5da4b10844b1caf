"""All RTMP players here (IO): adopted with their sockets, granted what they ask for, ended.

Who may play is the entrance's to say. A connection reads and writes its own socket; what a player
gets is decided by its channel.
"""

import asyncio
import contextlib
import logging
import socket

from common.access.fair_turns import Budget
from common.access.peer_address import Networks
from common.config.settings import Settings
from common.errors import EnvelopeError
from common.process.descriptors import raise_limit
from common.process.fair_reading import FairReading
from common.process.log import more
from common.rtmp.events import PlayRequested
from common.rtmp.session import ServerSession
from common.rtmp.snapshot import SessionSnapshot
from egress.fanout.channel import Channels
from egress.output import OutputContext, ViewerStatus
from egress.rtmp.connection import Connection, ConnectionState
from egress.rtmp.from_units import CHUNK_SIZE
from egress.rtmp.play_address import wish_of

log = logging.getLogger("tfarm.egress.rtmp.players")

# All that players say: acknowledgements, now and then a command. A part of a core for all; of one
# address, what the players that it may have may need in a second.
PLAYERS_SHARE = 0.3
PLAYER_CPU_S = 0.000_1
PLAYER_BYTES = 2 * 1024
STOP_S = 1.5  # to tell all players that it is over
SPARE_DESCRIPTORS = 96  # for handovers under way, the bus and files
KEEPALIVE = (  # finds players who vanished while there is nothing to send
    (socket.TCP_KEEPIDLE, 30),
    (socket.TCP_KEEPINTVL, 10),
    (socket.TCP_KEEPCNT, 3),
)


class Players:
    """Every connection here; they call it back as their `Host`."""

    def __init__(self, context: OutputContext) -> None:
        self.channels: Channels = context.channels()
        self.now = context.clock
        self.counters = dict.fromkeys(("adopted", "declined", "closed", "stalled"), 0)
        self._entrance = context.entrance()
        self._loop = asyncio.get_running_loop()
        self._settings = Settings()
        each = Budget(PLAYER_CPU_S, PLAYER_BYTES)
        self.reading = FairReading(self._loop, PLAYERS_SHARE, each, self.now)
        self._connections: set[Connection] = set()
        self._last_number = 0
        self._max_descriptors = raise_limit()
        self._all_closed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._connections)

    def configure(self, settings: Settings) -> None:
        """Use other settings from now on; who plays goes on."""
        self._settings = settings
        players = settings.egress.max_players_per_address
        self.reading.configure(
            Budget(players * PLAYER_CPU_S, players * PLAYER_BYTES),
            Networks(settings.ingest.exempt_networks),
        )

    # ---- connections --------------------------------------------------------------------------

    def adopt(self, tcp: socket.socket, snapshot: bytes) -> str | None:
        """Take a connection over from ingest; returns why not."""
        reason = self._adopt(tcp, snapshot)
        self.counters["adopted" if reason is None else "declined"] += 1
        return reason

    def _adopt(self, tcp: socket.socket, snapshot: bytes) -> str | None:
        limits = self._settings.egress
        if self._entrance.is_stopping:
            return "this egress is stopping"
        if limits.processes > 1 and len(self._entrance) >= limits.max_players:
            return (
                f"all egresses have the {limits.max_players} players that they take; "
                "try again later"
            )
        if tcp.fileno() > self._max_descriptors - SPARE_DESCRIPTORS:
            return "this egress has no descriptors left"
        try:
            found = SessionSnapshot.from_bytes(snapshot)
            session = ServerSession.restore(found)
        except EnvelopeError as error:
            return str(error)
        if session.out_chunk_size != CHUNK_SIZE:
            # Players share their bytes, so they all have the chunk size that ingest announces.
            return f"chunk size {session.out_chunk_size} where all players have {CHUNK_SIZE}"
        tcp.setblocking(False)
        try:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, limits.send_buffer_bytes)
            if tcp.family != socket.AF_UNIX:
                tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                tcp.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                for option, value in KEEPALIVE:
                    tcp.setsockopt(socket.IPPROTO_TCP, option, value)
        except OSError as error:
            return f"the connection is lost: {error.strerror}"
        queue_ms = limits.queue_ms
        connection = Connection(
            tcp, session, self, queue_ms, self._loop, peer=found.peer, fourccs=found.fourccs
        )
        self._last_number += 1
        connection.number = self._last_number
        self._connections.add(connection)
        self._entrance.arrived(connection)
        connection.start()
        return None

    def on_closed(self, connection: Connection, reason: str) -> None:
        self._connections.discard(connection)
        self._entrance.left(connection)
        if not self._connections:
            self._all_closed.set()
        self.counters["closed"] += 1
        self.counters["stalled"] += reason == "took no byte for too long"
        if (held := self._entrance.may_log(connection)) is not None:
            log.info(
                "player closed stream=%s address=%s seconds=%.1f dropped=%d reason=%s%s",
                self._entrance.label(connection) or "?",
                connection.address,
                self.now() - connection.opened_s,
                connection.player.dropped,
                reason,
                more(held),
            )

    def check(self, now: float) -> None:
        """Look for players who take nothing, and for floods; once a second."""
        self.reading.check()
        for connection in tuple(self._connections):
            connection.check(now, self._settings.egress.stall_timeout_s)

    def viewers(self) -> list[ViewerStatus]:
        """Those who play."""
        now = self.now()
        return [
            ViewerStatus(
                connection.number,
                connection.wanted.stream_id,
                connection.wanted.rendition,
                "rtmp",
                connection.address,
                now - connection.opened_s,
                connection.player.dropped,
            )
            for connection in self._connections
            if connection.state is ConnectionState.PLAYING and connection.wanted is not None
        ]

    def end_viewer(self, number: int, reason: str) -> None:
        for connection in tuple(self._connections):
            if connection.number == number:
                connection.finish(reason)

    async def stop(self, reason: str) -> None:
        """Take no more; tell all players that it is over, and let their last bytes go out."""
        self._entrance.is_stopping = True
        log.info("egress ends players=%d", len(self._connections))
        for connection in tuple(self._connections):
            connection.finish(reason)
        if self._connections:
            self._all_closed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_S):
                    await self._all_closed.wait()

    def close(self, reason: str) -> None:
        """Close what is still open."""
        for connection in tuple(self._connections):
            connection.close(reason, resets=False)
        self.reading.close()

    # ---- play requests ------------------------------------------------------------------------

    def on_play(self, connection: Connection, request: PlayRequested) -> None:
        """A player asks for a stream."""
        self._entrance.ask(connection, wish_of(request.app, request.tc_url, request.name))

    def on_play_ended(self, connection: Connection, reason: str) -> None:
        """A player plays or asks for nothing any more."""
        self._entrance.ended(connection, reason)
