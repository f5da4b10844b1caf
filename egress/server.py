"""The egress process's shell (IO): tags in from the bus, players in by handover, flushes out.

Everything that decides is elsewhere: streams and generations in `streams`, order and timing in
`rendition`, who is in step in `fanout`, admission in `admission`. Here are the sockets, the timers
and the supervisor's orders. Tags are taken as they come; what they touched is flushed in the same
turn of the loop, so that a backlog is merged into few writes instead of growing.
"""

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Any

from common.bus import Bus
from common.control_link import ControlLink, new_boot_id, start_ticks
from common.control_messages import (
    Configure,
    Endpoint,
    Heartbeat,
    HeldElsewhere,
    Hello,
    Positions,
    RenditionStatus,
    ServedStatus,
    StreamOrphaned,
    StreamWanted,
    SwitchGeneration,
    Welcome,
)
from common.descriptors import raise_limit
from common.endpoint import endpoint, socket_path
from common.envelope import decode_frames
from common.errors import EnvelopeError, ExitCode
from common.identity import ChildName, StreamId
from common.log import RateLimit, stream_label
from common.media_link import Inlet, Sender
from common.media_messages import GenerationEnd, RenditionOpen, StreamClosed, StreamOpen, Tags
from common.rtmp.events import PlayRequested
from common.rtmp.session import ServerSession
from common.rtmp.snapshot import SessionSnapshot
from common.settings import Settings
from egress.admission import PLAY_FAILED, PlayRefused, PlayWanted, judge, look_up, not_there
from egress.connection import Connection, ConnectionState
from egress.fanout import Channel
from egress.handover import HandoverServer
from egress.players_by_address import PlayersByAddress
from egress.ring import CHUNK_SIZE
from egress.stream import Stream, StreamState
from egress.streams import Streams
from egress.watching import Watching

log = logging.getLogger("tfarm.egress.server")

TICK_S = 0.5  # what is due sooner has a timer of its own
CHECK_S = 1.0  # between looks for players who take nothing
SLICE_S = 0.02  # of flushing before the loop gets a turn
STOP_S = 1.5  # to tell all players that it is over
SPARE_DESCRIPTORS = 96  # for handovers under way, the bus and files
KEEPALIVE = (  # finds players who vanished while there is nothing to send
    (socket.TCP_KEEPIDLE, 30),
    (socket.TCP_KEEPINTVL, 10),
    (socket.TCP_KEEPCNT, 3),
)


class EgressServer:
    """All of one egress process, on the running loop."""

    def __init__(self, child: ChildName, run_dir: Path, *, orphan_timeout_s: float = 30.0) -> None:
        self.child = child
        self.boot_id = new_boot_id()
        self.settings = Settings()
        self.exit_code = ExitCode.OK
        self.stopped = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._streams = Streams()
        self._channels: dict[StreamId, dict[str, Channel]] = {}
        self._waiting: dict[StreamId, set[Connection]] = {}
        self._connections: set[Connection] = set()
        self._holders = PlayersByAddress(self.settings)
        self._due: dict[Channel, None] = {}  # to be looked at in this turn, in order
        self._flush_is_set = False
        self._timers: dict[Channel, tuple[float, asyncio.TimerHandle]] = {}
        self._soon: dict[StreamId, float] = {}  # streams that are due before the next tick
        self._watching = Watching()
        self._counters = dict.fromkeys(
            ("adopted", "declined", "refused", "played", "closed", "stalled", "unreadable"), 0
        )
        self._lines = RateLimit()
        # A publisher may come and go in a loop; a farm that starts has many at once.
        self._stream_lines = RateLimit(burst=200, interval_s=0.2)
        self._is_stopping = False
        self._all_closed = asyncio.Event()
        self._checked_s = 0.0
        self._max_descriptors = raise_limit()
        self._bus = Bus()
        tags = endpoint(run_dir, child, self.boot_id, "tags")
        handover = endpoint(run_dir, child, self.boot_id, "handover")
        self.endpoint = Endpoint(child, self.boot_id, tags=tags, handover=handover)
        self._inlet = Inlet(tags, self.on_frames, self._flush_due)
        self._handover = HandoverServer(socket_path(handover), self.adopt)
        self._link = ControlLink(
            self._bus, run_dir, child, self.boot_id, self, orphan_timeout_s=orphan_timeout_s
        )

    async def run(self) -> None:
        """Serve until `stop` or the supervisor's absence; then tell the players and clean up."""
        link = asyncio.create_task(self._link.run(), name="control link")
        ticks = asyncio.create_task(self._tick_forever(), name="ticks")
        stopped = asyncio.create_task(self.stopped.wait(), name="stop")
        try:
            await asyncio.wait((ticks, link, stopped), return_when=asyncio.FIRST_COMPLETED)
            for task in (ticks, link):
                if task.done():
                    await task  # it has failed, or seen that nobody supervises any more
            await self._end_players("the server is stopping")
        finally:
            link.cancel()
            ticks.cancel()
            stopped.cancel()
            await asyncio.gather(link, ticks, stopped, return_exceptions=True)
            self._clean_up()

    def stop(self) -> None:
        """From SIGTERM: end in order."""
        self.stopped.set()

    # ---- tags ---------------------------------------------------------------------------------

    def on_frames(self, frames: list[bytes], sender: Sender) -> None:
        """One message of the media plane."""
        try:
            message, payloads = decode_frames(frames)
        except EnvelopeError as error:
            self._counters["unreadable"] += 1
            if (held := self._lines.allow(self.now())) is not None:
                log.warning("unreadable media message error=%s held_back=%d", error, held)
            return
        now = self.now()
        if isinstance(message, StreamOpen | RenditionOpen):
            self._watching.sends(message.stream_id, sender)
        match message:
            case Tags() | RenditionOpen() | GenerationEnd():
                stream, gone = self._streams.take(message, payloads, now)
            case StreamOpen():
                stream, gone = self._streams.open(message, now)
                if (held := self._stream_lines.allow(now)) is not None:
                    log.info(
                        "stream open stream=%s generation=%d rungs=%s held_back=%d",
                        stream_label(message.stream_id),
                        message.generation,
                        ",".join(message.rungs),
                        held,
                    )
            case StreamClosed():
                stream, gone = self._streams.close(message, now), ()
                if (held := self._stream_lines.allow(now)) is not None:
                    log.info(
                        "stream closed stream=%s hold_ms=%d reason=%s held_back=%d",
                        stream_label(message.stream_id),
                        message.hold_ms,
                        message.reason,
                        held,
                    )
            case _:
                self._counters["unreadable"] += 1
                return
        if stream is not None:
            self._follow(stream, gone, now)
            if isinstance(message, StreamOpen | RenditionOpen):
                self._tell_watched(stream, now)
            if stream.is_changing or not isinstance(message, Tags):
                self._tick_stream(stream, now)

    def _follow(self, stream: Stream, gone: Sequence[str], now: float) -> None:
        """Bring channels in line with the stream, and have what it touched looked at."""
        channels = self._channels.setdefault(stream.stream_id, {})
        for name in gone:
            channel = channels.pop(name, None)
            if channel is not None:
                self._end_channel(channel, f"this stream has no {name} any more")
        if len(channels) != len(stream.renditions):
            for name, rendition in stream.renditions.items():
                if name not in channels:
                    channels[name] = Channel(stream.stream_id, rendition)
        if stream.touched:
            for name in stream.touched:
                channel = channels[name]
                due = channel.rendition.due_at()
                if due is None or due > now:
                    self._look_again(channel, due, now)
                else:
                    self._due[channel] = None
            stream.touched.clear()
        if gone:
            self._look_up_waiting(stream)

    def _flush_soon(self) -> None:
        if self._due and not self._flush_is_set:
            self._flush_is_set = True
            self._loop.call_soon(self._flush_due)

    def _flush_due(self) -> None:
        """Flush what the last read touched, or what an earlier call has left."""
        self._flush_is_set = False
        if not self._due:
            return
        started = now = self.now()
        due, self._due = self._due, {}
        while due:
            channel = next(iter(due))
            del due[channel]
            try:
                self._flush(channel, now)
            except Exception:
                # A fault in one rendition must not hold up the others.
                log.exception("a flush failed")
            now = self.now()
            if now - started > SLICE_S and due:
                due.update(self._due)
                self._due = due
                self._flush_soon()
                return

    def _flush(self, channel: Channel, now: float) -> None:
        """Flush a channel if it is due, else have it looked at when it will be."""
        rendition = channel.rendition
        rendition.advance(now)
        due = rendition.due_at()
        if due is not None and due <= now:
            channel.flush(now)
            rendition.gone(self.now())
            due = rendition.due_at()
        self._look_again(channel, due, now)
        if self._waiting and rendition.has_start:
            self._attach_waiting(channel)

    def _look_again(self, channel: Channel, due: float | None, now: float) -> None:
        """Have the channel looked at when it is due and not before: waking up costs the most."""
        timer = self._timers.get(channel)
        if timer is not None:
            if timer[0] == due:
                return
            timer[1].cancel()
            del self._timers[channel]
        if due is None:
            return
        handle = self._loop.call_later(max(0.0, due - now), self._on_flush_timer, channel)
        self._timers[channel] = due, handle

    def _on_flush_timer(self, channel: Channel) -> None:
        del self._timers[channel]
        self._flush(channel, self.now())

    # ---- players ------------------------------------------------------------------------------

    def now(self) -> float:
        return time.monotonic()

    def adopt(self, tcp: socket.socket, snapshot: bytes) -> str | None:
        """Take a connection over from ingest; returns why not."""
        reason = self._adopt(tcp, snapshot)
        self._counters["adopted" if reason is None else "declined"] += 1
        return reason

    def _adopt(self, tcp: socket.socket, snapshot: bytes) -> str | None:
        if self._is_stopping:
            return "this egress is stopping"
        limit = self.settings.egress.max_players
        if self.settings.egress.processes > 1 and len(self._connections) >= limit:
            return f"all egresses have the {limit} players that they take; try again later"
        if tcp.fileno() > self._max_descriptors - SPARE_DESCRIPTORS:
            return "this egress has no descriptors left"
        try:
            session = ServerSession.restore(SessionSnapshot.from_bytes(snapshot))
        except EnvelopeError as error:
            return str(error)
        if session.out_chunk_size != CHUNK_SIZE:
            # Players share their bytes, so they all have the chunk size that ingest announces.
            return f"chunk size {session.out_chunk_size} where all players have {CHUNK_SIZE}"
        limits = self.settings.egress
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
        self._holders.add(connection.host)
        connection.start()
        return None

    def on_play(self, connection: Connection, request: PlayRequested) -> None:
        """A player asks for a stream."""
        wanted = judge(self.settings, request.app, request.tc_url, request.name)
        if self._is_stopping:
            self._refuse(connection, PlayRefused(PLAY_FAILED, "the server is stopping"))
        elif len(self._connections) > self.settings.egress.max_players:
            limit = self.settings.egress.max_players
            text = f"the server has all the {limit} players that it takes; try again later"
            self._refuse(connection, PlayRefused(PLAY_FAILED, text))
        elif self._holders.are_too_many(connection.host):
            limit = self.settings.egress.max_players_per_address
            text = f"{limit} players are here from this address, as many as one may"
            self._refuse(connection, PlayRefused(PLAY_FAILED, text))
        elif isinstance(wanted, PlayRefused):
            self._refuse(connection, wanted)
        else:
            connection.wanted = wanted
            stream = self._streams.get(wanted.stream_id)
            if stream is None or stream.state is not StreamState.LIVE:
                # it may be one that goes to another egress
                self._ask_for(wanted.stream_id)
            if not self._try_attach(connection, wanted):
                self._waiting.setdefault(wanted.stream_id, set()).add(connection)
                if stream is not None:
                    self._tell_watched(stream, self.now())
                connection.wait(wanted.wait_ms / 1000, self._on_waited)

    def _ask_for(self, stream_id: StreamId) -> None:
        """Have a stream's tags sent here too, if it is there; not for every player."""
        if self.settings.egress.processes > 1 and stream_id not in self._waiting:
            self._link.send(StreamWanted(self.child, stream_id))

    def on_play_ended(self, connection: Connection) -> None:
        wanted, connection.wanted = connection.wanted, None
        if isinstance(wanted, PlayWanted):
            self._stop_waiting(connection, wanted)

    def on_closed(self, connection: Connection, reason: str) -> None:
        self._connections.discard(connection)
        self._holders.remove(connection.host)
        if not self._connections:
            self._all_closed.set()
        self._counters["closed"] += 1
        self._counters["stalled"] += reason == "took no byte for too long"
        if (held := self._lines.allow(self.now())) is not None:
            log.info(
                "player closed address=%s seconds=%.1f dropped=%d reason=%s held_back=%d",
                connection.address,
                self.now() - connection.opened_s,
                connection.player.dropped,
                reason,
                held,
            )

    def _try_attach(self, connection: Connection, wanted: PlayWanted) -> bool:
        """Grant or refuse a request, if that can be decided now."""
        found = look_up(self._streams.get(wanted.stream_id), wanted)
        if isinstance(found, PlayRefused):
            self._refuse(connection, found)
            return True
        if not found:
            return False
        self._stop_waiting(connection, wanted)
        self._counters["played"] += 1
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
            self._tell_watched(self._streams.by_id[wanted.stream_id], self.now())
        return True

    def _tell_watched(self, stream: Stream, now: float) -> None:
        """Let those who send the stream know what of it must come at once."""
        waiting = self._waiting.get(stream.stream_id, ())
        watched = {c.wanted.rendition for c in waiting if isinstance(c.wanted, PlayWanted)}
        for name, channel in self._channels.get(stream.stream_id, {}).items():
            if channel.players:
                watched.add(name)
            rendition = channel.rendition
            if name not in watched:
                rendition.watched_since_s = inf
            elif rendition.watched_since_s == inf:
                rendition.watched_since_s = now
        self._watching.tell(stream.stream_id, watched)

    def _refuse(self, connection: Connection, refusal: PlayRefused) -> None:
        self._counters["refused"] += 1
        connection.refuse(refusal.code, refusal.description)

    def _on_waited(self, connection: Connection) -> None:
        wanted = connection.wanted
        if connection.state is ConnectionState.ASKING and isinstance(wanted, PlayWanted):
            self._refuse(connection, not_there(self._streams.get(wanted.stream_id), wanted))

    def _stop_waiting(self, connection: Connection, wanted: PlayWanted) -> None:
        waiting = self._waiting.get(wanted.stream_id)
        if waiting is not None:
            waiting.discard(connection)
            if not waiting:
                del self._waiting[wanted.stream_id]

    def _attach_waiting(self, channel: Channel) -> None:
        """The channel's rendition has a start: those who wait for it get it."""
        for connection in tuple(self._waiting.get(channel.stream_id, ())):
            wanted = connection.wanted
            if isinstance(wanted, PlayWanted) and wanted.rendition == channel.rendition.name:
                self._try_attach(connection, wanted)

    def _look_up_waiting(self, stream: Stream) -> None:
        """The stream's ladder is known: those who wait for what it has not are told."""
        for connection in tuple(self._waiting.get(stream.stream_id, ())):
            if isinstance(connection.wanted, PlayWanted):
                self._try_attach(connection, connection.wanted)

    # ---- time ---------------------------------------------------------------------------------

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            now = self.now()
            self._streams.expire(now)
            for stream in tuple(self._streams.by_id.values()):
                self._tick_stream(stream, now)
            if now - self._checked_s >= CHECK_S:
                self._checked_s = now
                for stream in self._streams.by_id.values():
                    self._tell_watched(stream, now)
                self._watching.prune(self._streams.by_id.keys())
                stall_timeout_s = self.settings.egress.stall_timeout_s
                for connection in tuple(self._connections):
                    connection.check(now, stall_timeout_s)

    def _tick_stream(self, stream: Stream, now: float) -> None:
        due = stream.due_at()
        if due is not None and due <= now:
            self._follow(stream, stream.tick(now), now)
            self._flush_soon()
        if stream.state is StreamState.ENDED:
            self._end_stream(stream)
            return
        if self._waiting:
            self._look_up_waiting(stream)
        due = stream.due_at()
        if due is not None and due < now + TICK_S and self._soon.get(stream.stream_id) != due:
            self._soon[stream.stream_id] = due
            self._loop.call_later(max(0.001, due - now), self._tick_again, stream)

    def _tick_again(self, stream: Stream) -> None:
        self._soon.pop(stream.stream_id, None)
        if self._streams.get(stream.stream_id) is stream:
            self._tick_stream(stream, self.now())

    def _end_stream(self, stream: Stream) -> None:
        self._streams.remove(stream.stream_id)
        self._watching.forget(stream.stream_id)
        for channel in self._channels.pop(stream.stream_id, {}).values():
            self._end_channel(channel, stream.reason or "the stream has ended")

    def _end_channel(self, channel: Channel, reason: str) -> None:
        """Flush, and tell the players."""
        self._due.pop(channel, None)
        timer = self._timers.pop(channel, None)
        if timer is not None:
            timer[1].cancel()
        channel.flush(self.now())
        for sink in channel.sinks():
            if isinstance(sink, Connection):
                sink.finish(reason)

    async def _end_players(self, reason: str) -> None:
        self._is_stopping = True
        log.info("stopping players=%d", len(self._connections))
        self._handover.close()
        for connection in tuple(self._connections):
            connection.finish(reason)
        if self._connections:
            self._all_closed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_S):
                    await self._all_closed.wait()

    def _clean_up(self) -> None:
        for connection in tuple(self._connections):
            connection.close("the server is stopping")
        for _, timer in self._timers.values():
            timer.cancel()
        self._handover.close()
        self._inlet.close()
        self._bus.close()

    # ---- the supervisor -----------------------------------------------------------------------

    def hello(self) -> Hello:
        return Hello(
            self.child,
            "egress",
            self.boot_id,
            os.getpid(),
            start_ticks(os.getpid()),
            self.endpoint,
            served=self._served(),
        )

    def heartbeat(self) -> Heartbeat:
        counters = {
            **self._counters,
            "players": len(self._connections),
            "waiting": sum(map(len, self._waiting.values())),
            "unplaced": self._streams.unplaced,
            "parked": self._streams.parked,
            "stale": sum(stream.stale for stream in self._streams.by_id.values()),
        }
        is_one_of_several = self.settings.egress.processes > 1
        return Heartbeat(
            self.child,
            self.boot_id,
            served=self._served(),
            counters=counters,
            held=self._holders.held() if is_one_of_several else {},
        )

    def on_message(self, message: Any) -> None:
        match message:
            case Welcome(settings=settings) | Configure(settings=settings):
                self.settings = settings
                self._holders.configure(settings)
                if isinstance(message, Welcome):
                    self._holders.told_elsewhere({})  # this supervisor has told nothing yet
                logging.getLogger("tfarm").setLevel(settings.log_level)
            case SwitchGeneration(request_id, stream_id, generation):
                stream = self._streams.get(stream_id)
                last_pts_ms = stream.revoke(generation) if stream is not None else None
                self._link.send(Positions(request_id, stream_id, last_pts_ms))
            case HeldElsewhere(held):
                self._holders.told_elsewhere(held)
            case StreamOrphaned(stream_id, generation, reason, hold_ms):
                closed = StreamClosed(stream_id, generation, reason, hold_ms)
                stream = self._streams.close(closed, self.now())
                if stream is not None:
                    self._tick_stream(stream, self.now())
            case _:
                pass  # Topology and whatever a newer supervisor says: nothing to do here

    def on_orphaned(self) -> None:
        self.exit_code = ExitCode.ORPHANED
        self.stop()

    def _served(self) -> tuple[ServedStatus, ...]:
        now = self.now()
        served = []
        for stream_id, channels in self._channels.items():
            stream = self._streams.get(stream_id)
            if stream is None:
                continue
            served.append(
                ServedStatus(
                    stream_id,
                    stream.generation,
                    tuple(_rendition_status(channel, now) for channel in channels.values()),
                    len(self._waiting.get(stream_id, ())),
                    {
                        stage: times
                        for channel in channels.values()
                        for stage, times in channel.rendition.stages.told(now).items()
                    },
                )
            )
        return tuple(served)


def _rendition_status(channel: Channel, now: float) -> RenditionStatus:
    rendition = channel.rendition
    fps, bitrate_bps = rendition.rates.sample(now, rendition.frames, rendition.bytes)
    return RenditionStatus(
        rendition.name,
        frames=rendition.frames,
        bytes=rendition.bytes,
        fps=fps,
        bitrate_bps=bitrate_bps,
        players=channel.players,
        dropped=rendition.dropped + channel.dropped(),
        last_pts_ms=rendition.last_pts_ms,
    )
