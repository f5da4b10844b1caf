"""One ingest process put together (IO): listener, streams, bus, and the link to the supervisor.

Order of a life: bind the listeners (a failure is told and ends it), say hello, accept connections
from the first `Welcome` on, work until SIGTERM or until no supervisor has spoken for too long, then
end all streams in order.
"""

import asyncio
import gc
import logging
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.config.settings import Settings
from common.errors import ExitCode
from common.ipc.bus import Bus
from common.ipc.control_link import ControlLink, new_boot_id, start_ticks
from common.ipc.control_messages import (
    AddressUsage,
    Configure,
    EgressRoutes,
    Endpoint,
    EndStream,
    GopTransfer,
    Heartbeat,
    Hello,
    Placement,
    Readmit,
    Refused,
    StreamRevoke,
    Topology,
    Welcome,
)
from common.ipc.identity import ChildId
from ingest.outputs.links import Links
from ingest.rtmp.listener import Server, bind, connection_limit, join_address
from ingest.rtmp.player_handover import Players
from ingest.streams.admission import Admission
from ingest.streams.read_batching import TICK_S, read_spread
from ingest.streams.registry import Streams

log = logging.getLogger("tfarm.ingest.run")

LOOK_S = 1.0  # between looks for connections that were reset unseen
STOP_S = 1.0  # for publishers to be told, and for the last messages to leave
FATAL_S = 0.3  # for the reason to reach the supervisor
LAST_WORDS_S = 0.2  # ZeroMQ sends from a thread of its own, and is not asked to linger


class Ingest:
    """The composition root, and what the control link asks of this process."""

    def __init__(
        self,
        name: ChildId,
        run_dir: Path,
        addresses: Sequence[tuple[str, int]],
        orphan_timeout_s: float,
        is_shared: bool,
    ) -> None:
        self.exit_code = ExitCode.OK
        self._name = name
        self._addresses = addresses
        self._is_shared = is_shared
        self._boot_id = new_boot_id()
        self._stop = asyncio.Event()
        self._tasks = asyncio.TaskGroup()
        self._listen: tuple[str, ...] = ()
        self._is_welcome = False
        self._bus = Bus()
        self._link = ControlLink(
            self._bus,
            run_dir,
            name,
            self._boot_id,
            self,
            orphan_timeout_s=orphan_timeout_s,
            on_payloads=self._on_payloads,
        )
        self._relay = Links(self._bus, lambda stream_id: self._streams.watched(stream_id))
        settings = Settings()
        self._admission = Admission(settings.ingest, connection_limit())
        self._streams = Streams(
            settings, self._admission, self._relay, self._link.send, time.time, time.monotonic
        )
        self._players = Players(self._tasks.create_task)
        self._server: Server | None = None

    async def run(self) -> ExitCode:
        """Work until the end."""
        try:
            return await self._run()
        finally:
            self._relay.close()
            self._bus.close()

    async def _run(self) -> ExitCode:
        listeners = []
        try:
            for host, port in self._addresses:
                listeners += bind(host, port, is_shared=self._is_shared)
        except OSError as error:
            reason = error.strerror or str(error)
            log.error("ingest cannot start reason=%s", reason)
            for listener in listeners:
                listener.close()
            self._link.fatal(reason, ExitCode.BOOT_FAILED)
            await asyncio.sleep(FATAL_S)
            return ExitCode.BOOT_FAILED
        self._listen = tuple(join_address(*sock.getsockname()[:2]) for sock in listeners)
        self._server = Server(
            listeners, self._streams.settings, self._admission, self._streams, self._players
        )
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        # What has been made so far stays, and little of what streams hold is in cycles: full
        # collections would be pauses for nothing.
        gc.freeze()
        gc.set_threshold(10_000, 20, 100)
        async with self._tasks as tasks:
            running = [tasks.create_task(self._link.run()), tasks.create_task(self._tick())]
            await self._stop.wait()
            for task in running:
                task.cancel()
            await self._end(self._server)
        return self.exit_code

    async def _tick(self) -> None:
        looked_s = now = 0.0
        while True:
            await asyncio.sleep(max(0.0, now + TICK_S - time.monotonic()))
            now = time.monotonic()
            try:
                self._streams.tick(now)
            except Exception:
                # A bug met by one stream must not stay with the others, nor end their reading.
                log.exception("a tick failed")
            try:
                await read_spread(self._streams.read_batching, asyncio.sleep)
                if self._server is not None and now - looked_s >= LOOK_S:
                    looked_s = now
                    self._server.look_again()
            except Exception:
                log.exception("reading failed")

    async def _end(self, server: Server) -> None:
        """End all that is open, in order, within about a second."""
        reason = "the server is stopping"
        log.info("ingest ends streams=%d connections=%d", len(self._streams), server.connections)
        until_s = time.monotonic() + STOP_S
        had_streams = len(self._streams) > 0
        self._streams.close(reason, time.monotonic())
        self._players.close(reason)
        server.stop(reason)
        if had_streams:
            await asyncio.sleep(LAST_WORDS_S)
        await server.emptied(until_s - time.monotonic())
        server.close()

    # ---- for the control link -----------------------------------------------------------------

    def hello(self) -> Hello:
        pid = os.getpid()
        return Hello(
            child=self._name,
            boot_id=self._boot_id,
            pid=pid,
            start_ticks=start_ticks(pid),
            endpoint=Endpoint(self._name, self._boot_id),
            listen=self._listen,
            publishers=self._streams.statuses(time.monotonic()),
        )

    def heartbeat(self) -> Heartbeat:
        server = self._server
        return Heartbeat(
            child=self._name,
            boot_id=self._boot_id,
            publishers=self._streams.statuses(time.monotonic()),
            counters={
                "connections": server.connections if server else 0,
                "accepted": server.accepted if server else 0,
                "refused connections": server.refused if server else 0,
                "refused publishers": self._streams.refused,
                "refused players": self._players.refused,
                "players handed over": self._players.handed_over,
                "players waiting": len(self._players),
                "protocol errors": server.faults if server else 0,
                "bad messages": self._link.unreadable,
                "sends not taken": self._relay.refused,
            },
            address_usage=self._admission.address_usage() if self._is_shared else {},
        )

    def on_message(self, message: Any) -> None:
        now = time.monotonic()
        match message:
            case Welcome(_, settings, endpoints):
                self._configure(settings)
                self._admission.set_usage_elsewhere({})  # this supervisor has told nothing yet
                self._follow(endpoints, now)
                if not self._is_welcome and self._server is not None:
                    self._is_welcome = True
                    self._server.start()
                    log.info("ingest listens address=%s", ", ".join(self._listen))
            case Configure(settings):
                self._configure(settings)
            case Topology(endpoints):
                self._follow(endpoints, now)
            case Placement():
                self._streams.placed(message, now)
            case Refused():
                self._streams.refused_by_supervisor(message, now)
            case EndStream():
                self._streams.end_stream(message, now)
            case Readmit():
                self._streams.readmit(message)
            case EgressRoutes():
                self._relay.route(message)
                self._streams.peers_changed(now)
            case AddressUsage(usage):
                self._admission.set_usage_elsewhere(usage)
            case StreamRevoke():
                self._streams.revoke(message, now)
            case _:
                log.warning("unexpected control message kind=%s", type(message).__name__)

    def _on_payloads(self, message: Any, payloads: Sequence[bytes]) -> None:
        if isinstance(message, GopTransfer):
            self._streams.kept(message, payloads)
        else:
            log.warning("unexpected control message kind=%s", type(message).__name__)

    def on_orphaned(self) -> None:
        self.exit_code = ExitCode.ORPHANED
        self._stop.set()

    # ---- inside -------------------------------------------------------------------------------

    def _configure(self, settings: Settings) -> None:
        logging.getLogger("tfarm").setLevel(settings.log_level)
        self._admission.configure(settings.ingest)
        self._streams.settings = settings
        if self._server is not None:
            self._server.configure(settings)

    def _follow(self, endpoints: Sequence[Endpoint], now: float) -> None:
        self._relay.follow(endpoints)
        self._streams.peers_changed(now)
        self._players.follow(self._relay.handovers())


async def run(
    name: ChildId,
    run_dir: Path,
    addresses: Sequence[tuple[str, int]],
    orphan_timeout_s: float = 30.0,
    is_shared: bool = False,
) -> ExitCode:
    """Run one ingest process; returns its exit code."""
    return await Ingest(name, run_dir, addresses, orphan_timeout_s, is_shared).run()
