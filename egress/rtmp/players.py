"""All players of this egress (IO): adopted with their sockets, granted what they ask for, ended.

A play request is judged by `admission`; one that cannot be granted yet waits for its stream or its
rendition's start. From what is played and waited for follows what must come at once, which those
who send a stream are told. Sockets' bytes are `connection`'s; what a player gets is the fan-out's.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterable, Mapping
from math import inf

from common.access.address_limits import AddressBook
from common.access.peer_address import Networks
from common.access.refusal import Refusal, RefusalReason
from common.config.settings import Settings
from common.errors import EnvelopeError
from common.ipc.identity import StreamId
from common.process.descriptors import raise_limit
from common.process.log import RateLimit, stream_label
from common.rtmp.events import PlayRequested
from common.rtmp.session import ServerSession
from common.rtmp.snapshot import SessionSnapshot
from egress.access import PlayWanted, judge, look_up, not_there
from egress.rtmp.connection import Connection, ConnectionState
from egress.rtmp.fanout import Channel, Sink
from egress.streams.demand import Watching
from egress.streams.gop_buffer import CHUNK_SIZE
from egress.streams.registry import Streams
from egress.streams.stream import StreamState

log = logging.getLogger("tfarm.egress.rtmp.players")

STOP_S = 1.5  # to tell all players that it is over
SPARE_DESCRIPTORS = 96  # for handovers under way, the bus and files
KEEPALIVE = (  # finds players who vanished while there is nothing to send
    (socket.TCP_KEEPIDLE, 30),
    (socket.TCP_KEEPINTVL, 10),
    (socket.TCP_KEEPCNT, 3),
)


class Players:
    """Every connection here; they call it back as their `Host`."""

    def __init__(
        self,
        streams: Streams,
        channels: Mapping[StreamId, Mapping[str, Channel]],
        watching: Watching,
        want: Callable[[StreamId], object],
        clock: Callable[[], float],
    ) -> None:
        """`want` has a stream's tags sent here too, if another egress has it."""
        self.waiting: dict[StreamId, set[Connection]] = {}
        self.by_address = AddressBook()
        self.now = clock
        self.counters = dict.fromkeys(
            ("adopted", "declined", "refused", "played", "closed", "stalled"), 0
        )
        self._streams = streams
        self._channels = channels
        self._watching = watching
        self._want = want
        self._loop = asyncio.get_running_loop()
        self._settings = Settings()
        self._connections: set[Connection] = set()
        self._max_descriptors = raise_limit()
        self._lines = RateLimit()
        self._is_stopping = False
        self._all_closed = asyncio.Event()
        self.configure(self._settings)

    def __len__(self) -> int:
        return len(self._connections)

    def configure(self, settings: Settings) -> None:
        """Use other settings from now on; who plays goes on."""
        self._settings = settings
        exempt = Networks(settings.ingest.exempt_networks)
        self.by_address.configure(settings.egress.max_players_per_address, 0, exempt)

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
            session = ServerSession.restore(SessionSnapshot.from_bytes(snapshot))
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
        connection = Connection(tcp, session, self, limits.queue_ms, self._loop)
        self._connections.add(connection)
        self.by_address.connections.here.add(connection.host)
        connection.start()
        return None

    def on_closed(self, connection: Connection, reason: str) -> None:
        self._connections.discard(connection)
        self.by_address.connections.here.remove(connection.host)
        if not self._connections:
            self._all_closed.set()
        self.counters["closed"] += 1
        self.counters["stalled"] += reason == "took no byte for too long"
        if (held := self._lines.allow(self.now())) is not None:
            log.info(
                "player closed address=%s seconds=%.1f dropped=%d reason=%s held_back=%d",
                connection.address,
                self.now() - connection.opened_s,
                connection.player.dropped,
                reason,
                held,
            )

    def check(self, now: float) -> None:
        """Look for players who take nothing; once a second."""
        for connection in tuple(self._connections):
            connection.check(now, self._settings.egress.stall_timeout_s)

    def end(self, sinks: Iterable[Sink], reason: str) -> None:
        """What these play is over: tell them, and close."""
        for sink in sinks:
            if isinstance(sink, Connection):
                sink.finish(reason)

    async def stop(self, reason: str) -> None:
        """Take no more; tell all that it is over, and give them a moment to hear it."""
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
            connection.close(reason)

    # ---- play requests ------------------------------------------------------------------------

    def on_play(self, connection: Connection, request: PlayRequested) -> None:
        """A player asks for a stream."""
        limits = self._settings.egress
        wanted = judge(self._settings, request.app, request.tc_url, request.name)
        if self._is_stopping:
            self._refuse(connection, Refusal(RefusalReason.UNAVAILABLE, "the server is stopping"))
        elif len(self._connections) > limits.max_players:
            text = f"the server has all the {limits.max_players} players that it takes"
            self._refuse(connection, Refusal(RefusalReason.FULL, f"{text}; try again later"))
        elif self.by_address.connections.is_exceeded(connection.host):
            limit = limits.max_players_per_address
            text = f"{limit} players are here from this address, as many as one may"
            self._refuse(connection, Refusal(RefusalReason.DENIED, text))
        elif isinstance(wanted, Refusal):
            self._refuse(connection, wanted)
        else:
            connection.wanted = wanted
            stream = self._streams.get(wanted.stream_id)
            if stream is None or stream.state is not StreamState.LIVE:
                # it may be one that goes to another egress
                self._ask_for(wanted.stream_id)
            if not self._try_attach(connection, wanted):
                self.waiting.setdefault(wanted.stream_id, set()).add(connection)
                if stream is not None:
                    self.tell_watched(wanted.stream_id, self.now())
                connection.wait(wanted.wait_ms / 1000, self._on_waited)

    def on_play_ended(self, connection: Connection) -> None:
        wanted, connection.wanted = connection.wanted, None
        if isinstance(wanted, PlayWanted):
            self._stop_waiting(connection, wanted)

    def attach_waiting(self, channel: Channel) -> None:
        """The channel's rendition has a start: those who wait for it get it."""
        for connection in tuple(self.waiting.get(channel.stream_id, ())):
            wanted = connection.wanted
            if isinstance(wanted, PlayWanted) and wanted.rendition == channel.rendition.name:
                self._try_attach(connection, wanted)

    def look_up_waiting(self, stream_id: StreamId) -> None:
        """The stream's ladder is known: those who wait for what it has not are told."""
        for connection in tuple(self.waiting.get(stream_id, ())):
            if isinstance(connection.wanted, PlayWanted):
                self._try_attach(connection, connection.wanted)

    def tell_watched(self, stream_id: StreamId, now: float) -> None:
        """Let those who send the stream know what of it must come at once."""
        waiting = self.waiting.get(stream_id, ())
        watched = {c.wanted.rendition for c in waiting if isinstance(c.wanted, PlayWanted)}
        for name, channel in self._channels.get(stream_id, {}).items():
            if channel.players:
                watched.add(name)
            rendition = channel.rendition
            if name not in watched:
                rendition.watched_since_s = inf
            elif rendition.watched_since_s == inf:
                rendition.watched_since_s = now
        self._watching.tell(stream_id, watched)

    def _ask_for(self, stream_id: StreamId) -> None:
        """Have a stream's tags sent here too, if it is there; not for every player."""
        if self._settings.egress.processes > 1 and stream_id not in self.waiting:
            self._want(stream_id)

    def _try_attach(self, connection: Connection, wanted: PlayWanted) -> bool:
        """Grant or refuse a request, if that can be decided now."""
        found = look_up(self._streams.get(wanted.stream_id), wanted)
        if isinstance(found, Refusal):
            self._refuse(connection, found)
            return True
        if not found:
            return False
        self._stop_waiting(connection, wanted)
        self.counters["played"] += 1
        if (held := self._lines.allow(self.now())) is not None:
            log.info(
                "player open address=%s stream=%s rendition=%s start=%s held_back=%d",
                connection.address,
                stream_label(wanted.stream_id),
                wanted.rendition,
                wanted.start.value,
                held,
            )
        channel = self._channels[wanted.stream_id][wanted.rendition]
        connection.accept(channel, wanted.start)
        if channel.rendition.watched_since_s == inf:
            self.tell_watched(wanted.stream_id, self.now())
        return True

    def _refuse(self, connection: Connection, refusal: Refusal) -> None:
        self.counters["refused"] += 1
        connection.refuse(refusal)

    def _on_waited(self, connection: Connection) -> None:
        wanted = connection.wanted
        if connection.state is ConnectionState.ASKING and isinstance(wanted, PlayWanted):
            self._refuse(connection, not_there(self._streams.get(wanted.stream_id), wanted))

    def _stop_waiting(self, connection: Connection, wanted: PlayWanted) -> None:
        waiting = self.waiting.get(wanted.stream_id)
        if waiting is not None:
            waiting.discard(connection)
            if not waiting:
                del self.waiting[wanted.stream_id]
