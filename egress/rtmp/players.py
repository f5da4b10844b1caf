"""All RTMP players here (IO): adopted with their sockets, granted what they ask for, ended.

A play request is judged by `egress.access`; one that cannot be granted yet waits for its stream or
its rendition's start. A connection reads and writes its own socket; what a player gets is decided
by its channel.
"""

import asyncio
import contextlib
import logging
import socket
import time
from functools import partial

from common.access.authorise import used_before
from common.access.fair_turns import Budget
from common.access.peer_address import Networks, host_of, subscriber
from common.access.refusal import Cause, Refusal, RefusalReason
from common.access.refusals import Attempted, RefusalStatus
from common.access.wrong_keys import WrongKeys
from common.config.limits import too_many_players
from common.config.settings import Settings
from common.errors import EnvelopeError
from common.ipc.identity import StreamId
from common.process.descriptors import raise_limit
from common.process.fair_reading import FairReading
from common.process.log import PeerLines, more, stream_label
from common.rtmp.events import PlayRequested
from common.rtmp.session import ServerSession
from common.rtmp.snapshot import SessionSnapshot
from egress.access import PlayWanted, Viewer, look_up, not_there
from egress.output import OutputContext, ViewerStatus
from egress.rtmp.connection import Connection, ConnectionState
from egress.rtmp.fanout import Channels
from egress.rtmp.from_units import CHUNK_SIZE
from egress.rtmp.play_address import judge_address, label_of
from egress.streams.stream import StreamState

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
        self.channels = Channels()
        self.now = context.clock
        self.counters = dict.fromkeys(
            ("adopted", "declined", "refused", "played", "closed", "stalled"), 0
        )
        self._context = context
        self._streams = context.streams
        self._waiting = context.waiting
        self._by_address = context.by_address
        self._loop = asyncio.get_running_loop()
        self._settings = Settings()
        each = Budget(PLAYER_CPU_S, PLAYER_BYTES)
        self.reading = FairReading(self._loop, PLAYERS_SHARE, each, self.now)
        self._connections: set[Connection] = set()
        self._last_number = 0
        self._max_descriptors = raise_limit()
        self._lines = PeerLines()
        self._is_stopping = False
        self._wrong_keys = WrongKeys()
        self._bans_seen = 0  # the version of the list
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
        self._wrong_keys.configure(Networks(settings.ingest.exempt_networks))

    # ---- connections --------------------------------------------------------------------------

    def adopt(self, tcp: socket.socket, snapshot: bytes) -> str | None:
        """Take a connection over from ingest; returns why not."""
        reason = self._adopt(tcp, snapshot)
        self.counters["adopted" if reason is None else "declined"] += 1
        return reason

    def _adopt(self, tcp: socket.socket, snapshot: bytes) -> str | None:
        limits = self._settings.egress
        if self._is_stopping:
            return "this egress is stopping"
        if limits.processes > 1 and len(self._connections) >= limits.max_players:
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
        connection = Connection(tcp, session, self, queue_ms, self._loop, peer=found.peer)
        self._last_number += 1
        connection.number = self._last_number
        self._connections.add(connection)
        self._by_address.here.add(connection.host)
        connection.start()
        return None

    def on_closed(self, connection: Connection, reason: str) -> None:
        self._connections.discard(connection)
        self._by_address.here.remove(connection.host)
        if not self._connections:
            self._all_closed.set()
        self.counters["closed"] += 1
        self.counters["stalled"] += reason == "took no byte for too long"
        if (held := self._may_log(connection)) is not None:
            log.info(
                "player closed stream=%s address=%s seconds=%.1f dropped=%d reason=%s%s",
                self._label(connection) or "?",
                connection.address,
                self.now() - connection.opened_s,
                connection.player.dropped,
                reason,
                more(held),
            )

    def check(self, now: float) -> None:
        """Look for players who take nothing or are banned, and for floods; once a second."""
        self.reading.check()
        if self._bans_seen != self._context.bans.version:
            self._bans_seen = self._context.bans.version
            self._end_banned()
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
            if connection.state is ConnectionState.PLAYING
            and isinstance(connection.wanted, PlayWanted)
        ]

    def end_viewer(self, number: int, reason: str) -> None:
        for connection in tuple(self._connections):
            if connection.number == number:
                connection.finish(reason)

    def _end_banned(self) -> None:
        for connection in tuple(self._connections):
            banned = self._banned(connection, connection.wanted)
            if banned is not None:
                connection.finish(banned.words)

    async def stop(self, reason: str) -> None:
        """Take no more; tell all players that it is over, and let their last bytes go out."""
        self._is_stopping = True
        log.info("stopping players=%d", len(self._connections))
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
        connection.asked = request
        limits = self._settings.egress
        viewer = Viewer(connection.host, time.time())
        wanted = judge_address(self._settings, request.app, request.tc_url, request.name, viewer)
        if self._is_stopping:
            self._refuse(connection, Refusal(RefusalReason.UNAVAILABLE, "the server is stopping"))
        elif banned := self._banned(connection, wanted):
            self._refuse(connection, banned)
        elif len(self._connections) > limits.max_players:
            text = f"the server has all the {limits.max_players} players that it takes"
            self._refuse(connection, Refusal(RefusalReason.FULL, f"{text}; try again later"))
        elif self._by_address.is_exceeded(connection.host):
            limit = limits.max_players_per_address
            text = f"{limit} players are here from this address, as many as one may"
            self._refuse(connection, Refusal(RefusalReason.DENIED, text, cause=Cause.LIMIT))
        elif isinstance(wanted, Refusal):
            self._refuse_in_time(connection, wanted)
        elif why := self._beyond_template(connection, wanted):
            self._refuse(connection, Refusal(RefusalReason.FULL, f"{why}; try again later"))
        elif not self._context.used_urls.use(wanted.use, wanted.until_unix, viewer.now_unix):
            self._refuse(connection, used_before())
        else:
            connection.wanted = wanted
            stream = self._streams.get(wanted.stream_id)
            if stream is None or stream.state is not StreamState.LIVE:
                # it may be one that goes to another egress
                self._request_stream(wanted.stream_id)
            if not self._try_attach(connection, wanted):
                self._waiting.add(
                    wanted.stream_id,
                    wanted.rendition,
                    connection,
                    partial(self._try_attach, connection, wanted),
                )
                self._context.report_demand(wanted.stream_id)
                connection.wait(wanted.wait_ms / 1000, self._on_waited)

    def _beyond_template(self, connection: Connection, wanted: PlayWanted) -> str:
        """Why its stream or its app takes no further player here; "": they do."""
        own = self._settings.stream_keys.get(wanted.stream_id)
        most = own.limits.players if own is not None and own.limits is not None else 0
        template = self._settings.template(wanted.app)
        if template is None or not (most or template.limits.players):
            return ""
        others = [
            other.wanted
            for other in self._connections
            if other is not connection and isinstance(other.wanted, PlayWanted)
        ]
        if most and sum(one.stream_id == wanted.stream_id for one in others) >= most:
            return f"this stream has the {most} players that it takes (max_players)"
        players = sum(one.app == wanted.app for one in others)
        is_full = 0 < template.limits.players <= players
        return too_many_players(template.limits) if is_full else ""

    def _banned(self, connection: Connection, wanted: object) -> Refusal | None:
        stream = wanted.stream_id if isinstance(wanted, PlayWanted) else ""
        return self._context.bans.refusal(connection.host, stream)

    def on_play_ended(self, connection: Connection) -> None:
        wanted, connection.wanted = connection.wanted, None
        if isinstance(wanted, PlayWanted):
            self._waiting.remove(wanted.stream_id, connection)

    def _request_stream(self, stream_id: StreamId) -> None:
        """Have a stream's tags sent here too, if it is there; not for every player."""
        if self._settings.egress.processes > 1 and stream_id not in self._waiting:
            self._context.request_stream(stream_id)

    def _try_attach(self, connection: Connection, wanted: PlayWanted) -> bool:
        """Grant or refuse a request, if that can be decided now."""
        stream = self._streams.get(wanted.stream_id)
        found = look_up(stream, wanted)
        if isinstance(found, Refusal):
            self._refuse(connection, found)
            return True
        if stream is None or not found:
            return False
        self._waiting.remove(wanted.stream_id, connection)
        self.counters["played"] += 1
        if (held := self._may_log(connection)) is not None:
            log.info(
                "player open address=%s stream=%s rendition=%s start=%s%s",
                connection.address,
                stream_label(wanted.stream_id),
                wanted.rendition,
                wanted.start.value,
                more(held),
            )
        channel = self.channels.get(stream.renditions[wanted.rendition])
        connection.accept(channel, wanted.start)
        return True

    def _refuse_in_time(self, connection: Connection, refusal: Refusal) -> None:
        """Refuse at once, or later one that may be guessing keys."""
        delay_s = 0.0
        if refusal.is_wrong_key:
            delay_s = self._wrong_keys.delay(connection.host, self.now())
        if delay_s:
            connection.wait(delay_s, lambda waited: self._refuse(waited, refusal))
        else:
            self._refuse(connection, refusal)

    def _refuse(self, connection: Connection, refusal: Refusal) -> None:
        self.counters["refused"] += 1
        self._context.refusals.add(
            RefusalStatus(
                Attempted.PLAY,
                refusal.reason,
                refusal.for_log,
                connection.address,
                time.time(),
                self._label(connection),
                cause=refusal.cause.value,
            )
        )
        connection.refuse(refusal)

    def _may_log(self, connection: Connection) -> int | None:
        """Whether its address may have a line, as `PeerLines.allow` says it."""
        return self._lines.allow(subscriber(host_of(connection.address)), self.now())

    def _label(self, connection: Connection) -> str:
        """What the log calls the stream that it asked for last."""
        asked = connection.asked
        if asked is None:
            return ""
        return label_of(self._settings, asked.app, asked.tc_url, asked.name)

    def _on_waited(self, connection: Connection) -> None:
        wanted = connection.wanted
        if connection.state is ConnectionState.ASKING and isinstance(wanted, PlayWanted):
            self._refuse(connection, not_there(self._streams.get(wanted.stream_id), wanted))
