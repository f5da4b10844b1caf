"""The srt process put together (IO): the library, its listener, ingests and egresses."""

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from common.config.settings import Settings
from common.ipc.child import ChildProcess
from common.ipc.control_messages import Endpoint, Heartbeat, Hello, IngestLost
from common.ipc.unit_link import UnitLinks
from common.ipc.viewer_doors import ViewerDoors
from common.srt.library import SrtLibrary
from ingest.srt.listener import SrtListener
from ingest.srt.viewer import SOCKET, TRIES

log = logging.getLogger("tfarm.ingest.srt.run")

CHECK_S: Final = 1.0
STOP_S: Final = 0.1  # for the ingests to hear of it


class SrtService:
    """A `ChildService`."""

    def __init__(self, process: ChildProcess, address: tuple[str, int], latency_ms: int) -> None:
        """Listen.

        Raises:
            OSError: the library is not installed, or the port is not to be had.
        """
        self._process = process
        self._links = UnitLinks(process.bus)
        self._doors = ViewerDoors(SOCKET, tries=TRIES)
        self._listener = SrtListener(SrtLibrary(), self._links, self._doors, address, latency_ms)
        self._is_welcome = False
        process.is_idle = lambda: not len(self._listener)

    def hello(self) -> Hello:
        own = Endpoint(self._process.child, self._process.boot_id)
        return self._process.new_hello(own, listen=(self._listener.listen,))

    def heartbeat(self) -> Heartbeat:
        return self._process.new_heartbeat(counters=self._listener.counters)

    def configure(self, settings: Settings) -> None:
        self._listener.configure(settings.srt)

    def on_topology(self, endpoints: Sequence[Endpoint]) -> None:
        self._links.follow(endpoints)
        self._doors.follow(endpoints)

    def on_welcome(self) -> None:
        if not self._is_welcome:
            self._is_welcome = True
            self._listener.start()
            log.info("srt listens address=%s", self._listener.listen)

    def on_message(self, message: Any, payloads: Sequence[bytes]) -> None:
        if not isinstance(message, IngestLost):  # its link has broken, which says it, too
            log.warning("unexpected control message kind=%s", type(message).__name__)

    def tasks(self) -> Sequence[Coroutine[Any, Any, None]]:
        return (self._check(),)

    async def end(self) -> None:
        had_callers = len(self._listener)
        self._listener.stop("the server is stopping")
        if had_callers:
            await asyncio.sleep(STOP_S)

    def close(self) -> None:
        self._listener.close()
        self._links.close()

    async def _check(self) -> None:
        while True:
            await asyncio.sleep(CHECK_S)
            self._listener.check(time.monotonic())
