"""The egress process's shell (IO): tags in from media links, the streams' clock, the supervisor.

Everything that decides is elsewhere: streams and generations in `streams`, order and timing in
`rendition`, when a channel is flushed in `flushes`, who is in step in `fanout`; players and what
they ask for in `players`. Here these are built and joined: each message of the media plane changes
a stream, whose channels follow it; each tick ends what is over; each order is carried out.
"""

import asyncio
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.config.settings import Settings
from common.errors import EnvelopeError, ExitCode
from common.ipc.bus import Bus
from common.ipc.control_link import ControlLink, new_boot_id, start_ticks
from common.ipc.control_messages import (
    AddressUsage,
    Configure,
    Endpoint,
    Heartbeat,
    Hello,
    IngestLost,
    Positions,
    ServedStatus,
    StreamWanted,
    SwitchGeneration,
    Welcome,
)
from common.ipc.endpoint import UNIX, endpoint, socket_path
from common.ipc.envelope import decode_frames
from common.ipc.identity import ChildId, StreamId
from common.ipc.media_link import MediaListener, Sender
from common.ipc.media_messages import GenerationEnd, RenditionOpen, StreamClosed, StreamOpen, Tags
from common.process.log import RateLimit, stream_label
from egress import status
from egress.rtmp.fanout import Channel
from egress.rtmp.flush_scheduler import Flushes
from egress.rtmp.handover import HandoverServer
from egress.rtmp.players import Players
from egress.streams.demand import Watching
from egress.streams.registry import Streams
from egress.streams.stream import Stream, StreamState

log = logging.getLogger("tfarm.egress.run")

TICK_S = 0.5  # what is due sooner has a timer of its own
CHECK_S = 1.0  # between looks for players who take nothing


class EgressServer:
    """All of one egress process, on the running loop."""

    def __init__(self, child: ChildId, run_dir: Path, *, orphan_timeout_s: float = 30.0) -> None:
        self.child = child
        self.boot_id = new_boot_id()
        self.settings = Settings()
        self.exit_code = ExitCode.OK
        self.stopped = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._streams = Streams()
        self._channels: dict[StreamId, dict[str, Channel]] = {}
        self._watching = Watching()
        self._players = Players(
            self._streams, self._channels, self._watching, self._want, time.monotonic
        )
        self._flushes = Flushes(
            self._loop, time.monotonic, self._players.waiting, self._players.attach_waiting
        )
        self._soon: dict[StreamId, float] = {}  # streams that are due before the next tick
        self._unreadable = 0
        self._lines = RateLimit()
        # A publisher may come and go in a loop; a farm that starts has many at once.
        self._stream_lines = RateLimit(burst=200, interval_s=0.2)
        self._checked_s = 0.0
        self._bus = Bus()
        tags = endpoint(run_dir, child, self.boot_id, "tags")
        handover = endpoint(run_dir, child, self.boot_id, "handover", UNIX)
        self.endpoint = Endpoint(child, self.boot_id, tags=tags, handover=handover)
        self._inlet = MediaListener(self._bus, tags, self._on_frames, self._flushes.flush_due)
        self._handover = HandoverServer(socket_path(handover), self._players.adopt)
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
            self._handover.close()
            await self._players.stop("the server is stopping")
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

    def _on_frames(self, frames: list[bytes], sender: Sender) -> None:
        """One message of the media plane."""
        try:
            message, payloads = decode_frames(frames)
        except EnvelopeError as error:
            self._unreadable += 1
            if (held := self._lines.allow(time.monotonic())) is not None:
                log.warning("unreadable media message error=%s held_back=%d", error, held)
            return
        now = time.monotonic()
        if isinstance(message, StreamOpen | RenditionOpen):
            self._watching.sends(message.stream_id, sender)
        match message:
            case Tags() | RenditionOpen() | GenerationEnd():
                stream, gone = self._streams.take(message, payloads, now)
            case StreamOpen():
                stream, gone = self._streams.open(message, now)
                if (held := self._stream_lines.allow(now)) is not None:
                    log.info(
                        "stream open stream=%s generation=%d renditions=%s held_back=%d",
                        stream_label(message.stream_id),
                        message.generation,
                        ",".join(message.renditions),
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
                self._unreadable += 1
                return
        if stream is not None:
            self._follow(stream, gone, now)
            if isinstance(message, StreamOpen | RenditionOpen):
                self._players.tell_watched(stream.stream_id, now)
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
            self._flushes.touched(channels, stream.touched, now)
            stream.touched.clear()
        if gone:
            self._players.look_up_waiting(stream.stream_id)

    # ---- time ---------------------------------------------------------------------------------

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            now = time.monotonic()
            self._streams.expire(now)
            for stream in tuple(self._streams.by_id.values()):
                self._tick_stream(stream, now)
            if now - self._checked_s >= CHECK_S:
                self._checked_s = now
                for stream_id in self._streams.by_id:
                    self._players.tell_watched(stream_id, now)
                self._watching.prune(self._streams.by_id.keys())
                self._players.check(now)

    def _tick_stream(self, stream: Stream, now: float) -> None:
        due = stream.due_at()
        if due is not None and due <= now:
            self._follow(stream, stream.tick(now), now)
            self._flushes.flush_soon()
        if stream.state is StreamState.ENDED:
            self._end_stream(stream)
            return
        if self._players.waiting:
            self._players.look_up_waiting(stream.stream_id)
        due = stream.due_at()
        if due is not None and due < now + TICK_S and self._soon.get(stream.stream_id) != due:
            self._soon[stream.stream_id] = due
            self._loop.call_later(max(0.001, due - now), self._tick_again, stream)

    def _tick_again(self, stream: Stream) -> None:
        self._soon.pop(stream.stream_id, None)
        if self._streams.get(stream.stream_id) is stream:
            self._tick_stream(stream, time.monotonic())

    def _end_stream(self, stream: Stream) -> None:
        self._streams.remove(stream.stream_id)
        self._watching.forget(stream.stream_id)
        for channel in self._channels.pop(stream.stream_id, {}).values():
            self._end_channel(channel, stream.reason or "the stream has ended")

    def _end_channel(self, channel: Channel, reason: str) -> None:
        """Flush, and tell the players."""
        self._flushes.finish(channel)
        self._players.end(channel.sinks(), reason)

    def _clean_up(self) -> None:
        self._players.close("the server is stopping")
        self._flushes.close()
        self._handover.close()
        self._inlet.close()
        self._bus.close()

    # ---- the supervisor -----------------------------------------------------------------------

    def hello(self) -> Hello:
        return Hello(
            self.child,
            self.boot_id,
            os.getpid(),
            start_ticks(os.getpid()),
            self.endpoint,
            served=self._served(),
        )

    def heartbeat(self) -> Heartbeat:
        players = self._players
        counters = {
            **players.counters,
            "unreadable": self._unreadable + self._inlet.unreadable,
            "players": len(players),
            "waiting": sum(map(len, players.waiting.values())),
            "unplaced": self._streams.unplaced,
            "parked": self._streams.queued,
            "stale": sum(stream.stale for stream in self._streams.by_id.values()),
        }
        is_one_of_several = self.settings.egress.processes > 1
        return Heartbeat(
            self.child,
            self.boot_id,
            served=self._served(),
            counters=counters,
            address_usage=players.by_address.usage() if is_one_of_several else {},
        )

    def on_message(self, message: Any) -> None:
        match message:
            case Welcome(settings=settings) | Configure(settings=settings):
                self.settings = settings
                self._players.configure(settings)
                if isinstance(message, Welcome):
                    self._players.by_address.set_elsewhere({})  # it has told nothing yet
                logging.getLogger("tfarm").setLevel(settings.log_level)
            case SwitchGeneration(request_id, stream_id, generation):
                stream = self._streams.get(stream_id)
                last_pts_ms = stream.revoke(generation) if stream is not None else None
                self._link.send(Positions(request_id, stream_id, last_pts_ms))
            case AddressUsage(usage):
                self._players.by_address.set_elsewhere(usage)
            case IngestLost(stream_id, generation, reason, hold_ms):
                closed = StreamClosed(stream_id, generation, reason, hold_ms)
                stream = self._streams.close(closed, time.monotonic())
                if stream is not None:
                    self._tick_stream(stream, time.monotonic())
            case _:
                pass  # Topology and whatever a newer supervisor says: nothing to do here

    def on_orphaned(self) -> None:
        self.exit_code = ExitCode.ORPHANED
        self.stop()

    def _want(self, stream_id: StreamId) -> None:
        self._link.send(StreamWanted(self.child, stream_id))

    def _served(self) -> tuple[ServedStatus, ...]:
        return status.served(
            self._streams.by_id, self._channels, self._players.waiting, time.monotonic()
        )
