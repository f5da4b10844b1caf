"""The shell of an egress (IO): tags in from media links, the streams' clock, the supervisor.

It is the whole of the process `egress`, with the outputs of `OUTPUTS`, and the part of other
processes with viewers that has to do with streams (`egress/web/`). Those are no stream's home: a
stream comes to them while somebody watches it there.

Everything that decides is elsewhere: streams and generations in `streams.stream`, order and timing
in `streams.rendition`, when a rendition is flushed in `streams.flush_scheduler`; who takes it by
which protocol in the outputs. Here these are built and joined: each message of the media plane
changes a stream; each tick ends what is over.
"""

import asyncio
import contextlib
import logging
import time
from collections import ChainMap
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from common.access.address_limits import AddressBook
from common.access.bans import Bans
from common.access.peer_address import Networks
from common.access.refusals import RefusalTable
from common.access.used_urls import Claims
from common.config.settings import Settings
from common.errors import EnvelopeError
from common.ipc.api_messages import PlayersWanted
from common.ipc.child import ChildProcess
from common.ipc.control_messages import (
    AddressUsage,
    BanList,
    Endpoint,
    Heartbeat,
    Hello,
    IngestLost,
    Positions,
    StreamWanted,
    SwitchGeneration,
    UrlsUsed,
)
from common.ipc.envelope import decode_frames
from common.ipc.hook_messages import HookAnswer
from common.ipc.identity import StreamId
from common.ipc.kinds import takes_last_gop
from common.ipc.media_listener import Sender
from common.ipc.media_messages import GenerationEnd, RenditionOpen, StreamClosed, StreamOpen, Tags
from common.ipc.status_messages import ServedStatus
from common.process.log import PeerLines, RateLimit, more, stream_label
from egress import status
from egress.entrance import Entrance, MostViewers
from egress.fanout.channel import Channels
from egress.flv.output import FlvOutput
from egress.http.output import HttpOutput
from egress.output import Output, OutputContext
from egress.player_list import player_list
from egress.rtmp.output import RtmpOutput
from egress.sound.coded import SoundForms
from egress.sound.link import SoundLink
from egress.stream_lines import StreamLines
from egress.streams import registry
from egress.streams.demand import DemandReports, demanded
from egress.streams.flush_scheduler import FlushScheduler
from egress.streams.registry import Streams
from egress.streams.rendition import Rendition
from egress.streams.senders import StreamMessage
from egress.streams.stream import Stream, StreamState
from egress.streams.waiting import WaitingViewers
from egress.streams.wanted import WantedStreams
from egress.ts.output import TsOutput
from egress.viewer_hooks import ViewerHooks

log = logging.getLogger("tfarm.egress.run")

# Every way out of an egress: another one is a folder and a line here.
OUTPUTS: Sequence[Callable[[OutputContext], Output]] = (
    RtmpOutput,
    FlvOutput,
    HttpOutput,
    TsOutput,
)

TICK_S = 0.5
QUIET_TICK_S = 1.0  # without a stream; what is due sooner has a timer of its own
CHECK_S = 1.0  # between looks for viewers who take nothing


# long: the shell, where every message and every tick come in
class EgressServer:
    """All of one egress process, on the running loop; a `ChildService`."""

    # long: all parts are built and joined here
    def __init__(
        self,
        process: ChildProcess,
        outputs: Sequence[Callable[[OutputContext], Output]] | None = None,
        *,
        is_home: bool = True,
        most_viewers: MostViewers = lambda settings: settings.egress.max_players,
    ) -> None:
        """`outputs`: in place of `OUTPUTS`. `is_home`: streams come here without being asked for.

        `most_viewers`: how many may be here at once by the settings.
        """
        self._process = process
        self._is_home = is_home
        self._wanted = WantedStreams(
            lambda stream, names: process.send(StreamWanted(process.child, stream, names))
        )
        self._loop = asyncio.get_running_loop()
        self._demand = DemandReports()
        self._streams = Streams(
            self._report_demand,
            self._demand.add_sender,
            self._on_denied,
            for_segments=takes_last_gop(process.child.kind),
        )
        self._waiting = WaitingViewers()
        self._by_address = AddressBook()
        self._refusals, self._bans = RefusalTable(), Bans(time.time)
        self._claims = Claims(lambda uses: process.send(UrlsUsed(uses, time.time())))
        self._hooks = ViewerHooks(process.send, time.monotonic, time.time)
        self._scheduler = FlushScheduler(self._loop, time.monotonic, self._waiting)
        self._ended: dict[StreamId, ServedStatus] = {}  # for the next heartbeat
        self._soon: dict[StreamId, float] = {}  # streams that are due before the next tick
        self._unreadable, self._checked_s = 0, 0.0
        self._lines, self._denials = RateLimit(), PeerLines()
        self._output_faults = RateLimit(burst=1, interval_s=60.0)  # a look is due every second
        self._stream_lines = StreamLines()
        self._listener = process.listener("tags", self._on_frames, self._scheduler.flush_due)
        self.context = OutputContext(
            child=process.child,
            streams=self._streams,
            waiting=self._waiting,
            by_address=self._by_address.connections,
            clock=time.monotonic,
            endpoint=process.address,
            report_demand=self._report_demand,
            request_stream=self._request_stream,
            refusals=self._refusals,
            bans=self._bans,
            hooks=self._hooks,
            claims=self._claims,
            entrance=lambda: self._entrance,
            channels=lambda: self._channels,
            sounds=lambda: self._sounds,
        )
        self._sounds = SoundForms(lambda frames: self._sound_link.encode(frames))
        self._sound_link = SoundLink(self._sounds.came)
        self._channels = Channels(self._sounds)
        self._entrance = Entrance(self.context, time.time, most_viewers)
        self.outputs: Sequence[Output] = [
            make(self.context) for make in (OUTPUTS if outputs is None else outputs)
        ]
        sockets = ChainMap(*[dict(output.endpoints) for output in self.outputs])
        self.endpoint = Endpoint(
            process.child,
            process.boot_id,
            tags=self._listener.address,
            **sockets,  # type: ignore[arg-type]  # of its fields these are addresses alone
        )
        process.retires(lambda: None, lambda: not self.serves())
        self.configure(Settings())
        process.is_idle = lambda: self._streams.are_none

    def serves(self) -> bool:
        """Tell if somebody would lose by the end of this process."""
        return any(output.serves() for output in self.outputs)

    def tasks(self) -> Sequence[Coroutine[Any, Any, None]]:
        return (self._tick_forever(),)

    async def end(self) -> None:
        """End all viewers."""
        self._entrance.is_stopping = True
        reason = "the server is stopping"
        await asyncio.gather(*(output.stop(reason) for output in self.outputs))

    # ---- tags ---------------------------------------------------------------------------------

    def _on_frames(self, frames: list[bytes], sender: Sender) -> None:
        """Take one message of the media plane."""
        try:
            message, payloads = decode_frames(frames)
        except EnvelopeError as error:
            self._unreadable += 1
            if (held := self._lines.allow(time.monotonic())) is not None:
                log.warning("unreadable media message error=%s%s", error, more(held))
            return
        now = time.monotonic()
        if isinstance(message, Tags):
            self._take_tags(message, payloads, sender, now)
        else:
            self._take_change(message, payloads, sender, now)

    def _take_tags(
        self, message: Tags, payloads: Sequence[bytes], sender: Sender, now: float
    ) -> None:
        stream, gone = self._streams.take(message, payloads, now, sender)
        if stream is not None:
            self._follow(stream, gone, now)
            if stream.is_changing:
                self._tick_stream(stream, now)

    def _take_change(
        self, message: Any, payloads: Sequence[bytes], sender: Sender, now: float
    ) -> None:
        """Take what opens, changes or ends a stream or a rendition."""
        match message:
            case RenditionOpen() | GenerationEnd():
                stream, gone = self._streams.take(message, payloads, now, sender)
            case StreamOpen():
                stream, gone = self._streams.open(message, now, sender)
                if stream is not None:
                    self._stream_lines.opened(message, now)
            case StreamClosed():
                stream, gone = self._streams.close(message, now, sender), ()
                if stream is not None:
                    self._stream_lines.closed(message, now)
            case _:
                self._unreadable += 1
                return
        if stream is not None:
            self._follow(stream, gone, now)
            if isinstance(message, StreamOpen | RenditionOpen):
                self._report_demand(stream.stream_id)
            self._tick_stream(stream, now)

    def _on_denied(self, message: StreamMessage, sender: registry.Sender) -> None:
        """A child has sent what is another's."""
        if (held := self._denials.allow(sender.child, time.monotonic())) is not None:
            what, label = type(message).__name__, stream_label(message.stream_id)
            log.error("denied child=%s what=%s stream=%s%s", sender.child, what, label, more(held))

    def _follow(self, stream: Stream, gone: Sequence[Rendition], now: float) -> None:
        """End the renditions that are gone, report new ones, and look at those that have tags."""
        for rendition in gone:
            self._end_rendition(rendition, f"this stream has no {rendition.name} any more")
        if stream.has_new_renditions:
            # Before any of their tags is flushed: who subscribes now misses nothing.
            stream.has_new_renditions = False
            self._ask_outputs("on_stream", lambda output: output.on_stream(stream))
        if stream.touched:
            self._scheduler.touched(stream.renditions, stream.touched, now)
            stream.touched.clear()
        if gone:
            self._waiting.on_stream(stream.stream_id)

    def _ask_outputs(self, call: str, ask: Callable[[Output], object]) -> None:
        """Call each output; the fault of one is logged, and costs the others nothing."""
        for output in self.outputs:
            try:
                ask(output)
            except Exception:
                name = type(output).__name__
                if (held := self._output_faults.allow(time.monotonic())) is not None:
                    words = "an output failed output=%s call=%s%s"
                    log.exception(words, name, call, more(held))

    # ---- time ---------------------------------------------------------------------------------

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(QUIET_TICK_S if self._streams.are_none else TICK_S)
            now = time.monotonic()
            self._streams.expire(now)
            self._stream_lines.check(now)
            for stream in tuple(self._streams.by_id.values()):
                self._tick_stream(stream, now)
            if now - self._checked_s >= CHECK_S:
                self._checked_s = now
                for stream_id in {*self._streams.by_id, *self._waiting.streams}:
                    self._report_demand(stream_id)
                self._wanted.repeat(now)
                self._demand.prune(self._streams.by_id.keys())
                self._entrance.check()
                self._ask_outputs("check", lambda output: output.check(self._checked_s))
                with contextlib.suppress(OSError):  # the run directory is not there yet
                    self._listener.listen_again()

    def _tick_stream(self, stream: Stream, now: float) -> None:
        due = stream.due_at()
        if due is not None and due <= now:
            self._follow(stream, stream.tick(now), now)
            self._scheduler.flush_soon()
        if stream.state is StreamState.ENDED:
            self._end_stream(stream)
            return
        if self._waiting:
            self._waiting.on_stream(stream.stream_id)
        due = stream.due_at()
        if due is not None and due < now + QUIET_TICK_S and self._soon.get(stream.stream_id) != due:
            self._soon[stream.stream_id] = due
            self._loop.call_later(max(0.001, due - now), self._tick_again, stream)

    def _tick_again(self, stream: Stream) -> None:
        self._soon.pop(stream.stream_id, None)
        if self._streams.get(stream.stream_id) is stream:
            self._tick_stream(stream, time.monotonic())

    def _end_stream(self, stream: Stream) -> None:
        self._stream_lines.ended(stream.stream_id, time.monotonic())
        for last in status.served({stream.stream_id: stream}, self.outputs, self._waiting, 0.0):
            self._ended[stream.stream_id] = last
        self._streams.remove(stream.stream_id)
        self._demand.forget(stream.stream_id)
        for rendition in stream.renditions.values():
            self._end_rendition(rendition, stream.reason or "the stream has ended")

    def _end_rendition(self, rendition: Rendition, reason: str) -> None:
        """Flush for the last time, and end the subscribers."""
        self._scheduler.finish(rendition)
        rendition.end(reason)

    def _report_demand(self, stream_id: StreamId) -> None:
        """Let those who send the stream know what of it must come at once."""
        stream = self._streams.get(stream_id)
        names = self._waiting.renditions(stream_id)
        if stream is not None:
            names = demanded(stream.renditions, names, time.monotonic())
            self._demand.report(stream_id, names)
        if names and (not self._is_home or (stream is None and self._is_in_cluster)):
            self._wanted.want(stream_id, names, time.monotonic())

    def close(self) -> None:
        self._ask_outputs("close", lambda output: output.close("the server is stopping"))
        self._scheduler.close()
        self._sound_link.close()
        self._listener.close()

    # ---- the supervisor -----------------------------------------------------------------------

    def hello(self) -> Hello:
        return self._process.new_hello(self.endpoint, served=self._served())

    def heartbeat(self) -> Heartbeat:
        counters = {
            **self._entrance.counters,
            **ChainMap(*[dict(output.counters) for output in self.outputs]),
            **self._sound_link.counters,
            "sound forms": len(self._sounds),
            "unreadable": self._unreadable + self._listener.unreadable,
            "waiting": len(self._waiting),
            "unplaced": self._streams.unplaced,
            "denied": self._listener.denied + self._streams.denied,
            "flooded": self._listener.flooded,
            "queued": self._streams.queued,
            "stale": sum(stream.stale for stream in self._streams.by_id.values()),
        }
        ended, self._ended = self._ended, {}
        settings = self.settings
        has_others = settings.egress.processes > 1 or settings.web.is_enabled
        return self._process.new_heartbeat(
            served=self._served(),
            served_last=tuple(ended.values()),
            counters=counters,
            address_usage=(
                self._by_address.usage() if has_others or self._process.is_retiring else {}
            ),
            refusals=self._refusals.take(),
            delays=self._streams.delays.reported(time.monotonic()),
        )

    def configure(self, settings: Settings) -> None:
        self.settings = settings
        exempt = Networks(settings.ingest.exempt_networks)
        self._hooks.configure(settings)
        self._entrance.configure(settings)
        self._by_address.configure(settings.egress.max_players_per_address, 0, exempt)
        for output in self.outputs:
            output.configure(settings)

    def on_topology(self, endpoints: Sequence[Endpoint]) -> None:
        """Let the outputs know who may hand viewers over, and the sound link who codes."""
        self._sound_link.follow(endpoints)
        for output in self.outputs:
            output.on_topology(endpoints)

    def on_welcome(self) -> None:
        self._by_address.set_elsewhere({})  # this supervisor has reported nothing yet
        self._wanted.on_new_supervisor(time.monotonic())

    def on_message(self, message: Any, payloads: Sequence[bytes]) -> None:
        match message:
            case SwitchGeneration(request_id, stream_id, generation):
                stream = self._streams.get(stream_id)
                last_pts_ms = stream.revoke(generation) if stream is not None else None
                if not self._is_home and stream is not None and stream.state is StreamState.HELD:
                    last_pts_ms = None  # nobody watches it here: it has not come for a while
                self._process.send(Positions(request_id, stream_id, last_pts_ms))
            case PlayersWanted():
                ends = "ended by the operator"
                self._process.send(player_list(message, self.endpoint, self.outputs, ends))
            case BanList(bans):
                self._bans.replace(bans)  # who is here and banned is ended by the next check
            case AddressUsage(usage):
                self._by_address.set_elsewhere(usage)
            case UrlsUsed(uses):
                self._claims.add(uses, time.time())
            case HookAnswer(_, request_id, verdict):
                self._hooks.answered(request_id, verdict)
            case IngestLost(stream_id, generation, reason, hold_ms):
                closed = StreamClosed(stream_id, generation, reason, hold_ms)
                stream = self._streams.close(closed, time.monotonic())
                if stream is not None:
                    self._tick_stream(stream, time.monotonic())
            case _:
                pass  # whatever a newer supervisor says: nothing to do here

    def _request_stream(self, stream_id: StreamId, *renditions: str) -> None:
        """Have a stream sent here: these renditions, none named: all."""
        if self._is_home and not self._is_in_cluster:
            self._process.send(StreamWanted(self._process.child, stream_id))
        else:
            self._wanted.want(stream_id, renditions, time.monotonic())

    @property
    def _is_in_cluster(self) -> bool:
        """Whether another host may have what is not here."""
        return self.settings.cluster.has_relay

    def _served(self) -> tuple[ServedStatus, ...]:
        return status.served(self._streams.by_id, self.outputs, self._waiting, time.monotonic())
