"""One ingest process put together (IO): inputs, streams, bus, and the link to the supervisor.

Order of a life: bind the listeners (a failure is reported and ends it), say hello, accept
connections from the first `Welcome` on, work until SIGTERM or until no supervisor has been heard of
for too long, then end all streams in order.
"""

import asyncio
import logging
import os
import socket
import time
from collections import ChainMap
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from common.config.settings import Settings
from common.ipc.capture_messages import CaptureStream
from common.ipc.child import ChildProcess
from common.ipc.control_messages import (
    AddressUsage,
    BanList,
    EgressRoutes,
    Endpoint,
    EndStream,
    GopTransfer,
    Heartbeat,
    Hello,
    Placement,
    Readmit,
    Refused,
    RequestQueued,
    StreamRevoke,
    SwitchPublisher,
    UrlsUsed,
)
from common.ipc.forward_messages import ForwardTo
from common.ipc.hook_messages import HookAnswer
from common.ipc.unit_link import UnitLinks
from common.process.descriptors import raise_limit
from ingest.capture.files import CaptureFiles
from ingest.capture.recorder import Recorder
from ingest.demand.cold_starts import ColdStarts
from ingest.input import Input, InputContext
from ingest.outputs.links import Links
from ingest.rtmp.input import RtmpInput
from ingest.streams.admission import Admission
from ingest.streams.read_batching import TICK_S, read_spread
from ingest.streams.registry import Streams
from ingest.streams.supervisor_messages import SupervisorMessages
from ingest.units.input import UnitsInput

log = logging.getLogger("tfarm.ingest.run")

# Every way into an ingest: another one is a folder and a line here.
INPUTS: Sequence[Callable[[InputContext], Input]] = (RtmpInput, UnitsInput)

IDLE_TICK_S = 0.5  # without a stream
QUIET_TICK_S = 1.0  # without a connection
LOOK_S = 1.0  # between looks for connections that were reset unseen
STOP_S = 1.0  # for publishers to be answered, and for the last messages to leave
FATAL_S = 0.3  # for the reason to reach the supervisor
LAST_WORDS_S = 0.2  # ZeroMQ sends from a thread of its own, and is not asked to linger
RESERVED_DESCRIPTORS = 256  # for the bus, handovers, listeners and files


def connection_limit() -> int:
    """Use all the descriptors there are; returns how many may be connections."""
    limit = raise_limit()
    return max(1, limit - min(RESERVED_DESCRIPTORS, limit // 2))


class Ingest:
    """The composition root, and what the control link asks of this process."""

    def __init__(
        self,
        process: ChildProcess,
        addresses: Sequence[tuple[str, int]],
        *,
        is_shared: bool,
        inherited: Sequence[socket.socket] = (),
    ) -> None:
        """Bind the listeners, or use those of a process before.

        Raises:
            OSError: somebody else listens there, or nobody can.
        """
        self._process = process
        self._is_shared = is_shared
        self._is_welcome = False
        self._links = Links(
            process.bus,
            lambda stream_id: self._streams.on_first_player(stream_id),
            lambda stream_id: self._streams.on_demand(stream_id, time.monotonic()),
        )
        self._forward_links = UnitLinks(process.bus, "forward", is_plain=True)
        settings = Settings()
        self._admission = Admission(settings.ingest, connection_limit())
        self._streams = Streams(
            settings,
            self._admission,
            self._links,
            process.send,
            time.time,
            time.monotonic,
            self._forward_links,
            ColdStarts(len(os.sched_getaffinity(0))),
        )
        self._files = CaptureFiles(process.run_dir / "captures")
        self._recorder = Recorder(self._files, time.time, time.monotonic)
        self._streams.captures = self._recorder
        self._from_supervisor = SupervisorMessages(self._streams, process.send)
        context = InputContext(
            self._streams,
            self._admission,
            process.spawn,
            addresses,
            is_shared=is_shared,
            recorder=self._recorder,
            endpoint=process.address,
            listener=process.listener,
            inherited=inherited,
        )
        self._inputs = [make(context) for make in INPUTS]
        self._listen = tuple(address for way_in in self._inputs for address in way_in.listen)
        endpoints: dict[str, Any] = {}
        for way_in in self._inputs:
            endpoints |= way_in.endpoints
        listeners = [sock for way_in in self._inputs for sock in way_in.listeners]
        endpoints["listeners"] = process.share_listeners(listeners)
        process.retires(self._retire, self._is_empty)
        self._endpoint = Endpoint(process.child, process.boot_id, **endpoints)
        process.is_idle = self._has_nothing_to_do

    def tasks(self) -> Sequence[Coroutine[Any, Any, None]]:
        return (self._tick(),)

    def _has_nothing_to_do(self) -> bool:
        return not len(self._streams) and not any(way_in.connections for way_in in self._inputs)

    async def _tick(self) -> None:
        looked_s = now = 0.0
        while True:
            tick_s = QUIET_TICK_S if self._has_nothing_to_do() else IDLE_TICK_S
            tick_s = TICK_S if len(self._streams) else tick_s
            await asyncio.sleep(max(0.0, now + tick_s - time.monotonic()))
            now = time.monotonic()
            try:
                self._streams.tick(now)
            except Exception:
                # A bug met by one stream must not stay with the others, nor end their reading.
                log.exception("a tick failed")
            try:
                await read_spread(self._streams.read_batching, asyncio.sleep)
                if now - looked_s >= LOOK_S:
                    looked_s = now
                    for way_in in self._inputs:
                        way_in.check()
            except Exception:
                log.exception("reading failed")

    def _retire(self) -> None:
        self._is_shared = True  # its addresses' connections count at its successor
        for way_in in self._inputs:
            way_in.retire()

    def _is_empty(self) -> bool:
        """Tell if no connection is open, and no stream is held."""
        return not len(self._streams) and not any(one.connections for one in self._inputs)

    async def end(self) -> None:
        """End all that is open, in order, within about a second."""
        reason = "the server is stopping"
        connections = sum(way_in.connections for way_in in self._inputs)
        log.info("ingest ends streams=%d connections=%d", len(self._streams), connections)
        until_s = time.monotonic() + STOP_S
        had_streams = len(self._streams) > 0
        self._streams.close(reason, time.monotonic())
        for way_in in self._inputs:
            way_in.stop(reason)
        if had_streams:
            await asyncio.sleep(LAST_WORDS_S)
        left_s = until_s - time.monotonic()
        await asyncio.gather(*(way_in.emptied(left_s) for way_in in self._inputs))

    def close(self) -> None:
        for way_in in self._inputs:
            way_in.close()
        self._forward_links.close()
        self._links.close()

    # ---- for the control link -----------------------------------------------------------------

    def hello(self) -> Hello:
        return self._process.new_hello(
            self._endpoint,
            listen=self._listen,
            publishers=self._streams.statuses(time.monotonic()),
        )

    def heartbeat(self) -> Heartbeat:
        return self._process.new_heartbeat(
            publishers=self._streams.statuses(time.monotonic()),
            counters={
                **ChainMap(*[dict(way_in.counters) for way_in in self._inputs]),
                "refused publishers": self._streams.refused,
                "bad messages": self._process.unreadable,
                "sends not taken": self._links.refused,
            },
            address_usage=self._admission.address_usage() if self._is_shared else {},
            refusals=self._streams.log.refusals.take(),
            delays=self._streams.delays(time.monotonic()),
        )

    def configure(self, settings: Settings) -> None:
        self._admission.configure(settings.ingest)
        self._files.configure(settings.capture)
        self._recorder.configure(settings.capture, settings.ingest.processes)
        self._streams.settings = settings
        for way_in in self._inputs:
            way_in.configure(settings)

    def on_topology(self, endpoints: Sequence[Endpoint]) -> None:
        self._links.follow(endpoints)
        self._forward_links.follow(endpoints)
        self._streams.peers_changed(time.monotonic())
        for way_in in self._inputs:
            way_in.on_topology(endpoints)

    def on_welcome(self) -> None:
        self._admission.set_usage_elsewhere({})  # this supervisor has reported nothing yet
        if not self._is_welcome:
            self._is_welcome = True
            for way_in in self._inputs:
                way_in.start()
            log.info("ingest listens address=%s", ", ".join(self._listen))

    def on_message(self, message: Any, payloads: Sequence[bytes]) -> None:
        now = time.monotonic()
        match message:
            case GopTransfer():
                self._from_supervisor.take_over(message, payloads)
            case Placement():
                self._from_supervisor.placed(message, now)
            case Refused():
                self._from_supervisor.refused_by_supervisor(message, now)
            case ForwardTo():
                self._from_supervisor.forward_to(message, now)
            case RequestQueued():
                self._from_supervisor.queued(message, now)
            case EndStream():
                self._from_supervisor.end_stream(message, now)
            case BanList():
                self._from_supervisor.ban(message, now)
            case SwitchPublisher() | Readmit():
                self._from_supervisor.operated(message)
            case EgressRoutes():
                self._links.route(message)
                self._streams.peers_changed(now)
            case AddressUsage(usage):
                self._admission.set_usage_elsewhere(usage)
            case UrlsUsed(uses):
                self._streams.entrance.used(uses)
            case HookAnswer():
                self._from_supervisor.hook_answered(message, now)
            case CaptureStream():
                self._from_supervisor.capture(message)
            case StreamRevoke():
                self._from_supervisor.revoke(message, now)
            case _:
                log.warning("unexpected control message kind=%s", type(message).__name__)
