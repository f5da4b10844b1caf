"""The pull process put together (IO): what is configured to be fetched, and the ingests' links."""

import asyncio
import logging
import random
from collections.abc import Coroutine, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from common.config.remote_url import RTMP_SCHEMES
from common.config.settings import Pull, RtspTransport, Settings
from common.ipc.child import ChildProcess
from common.ipc.control_messages import Endpoint, Heartbeat, Hello, IngestLost
from common.ipc.remote_status import RemoteState
from common.ipc.unit_link import UnitLinks
from common.retries import Retries
from common.srt.address import SCHEME as SRT_SCHEME
from ingest.pull.libav_source import LibavSource
from ingest.pull.puller import Puller
from ingest.pull.rtmp_source import RtmpSource
from ingest.pull.source import Memory, Source
from ingest.pull.srt_source import SrtSource

log = logging.getLogger("tfarm.ingest.pull.run")

STOP_S: Final = 0.1  # for the ingests to hear of it
APART_S: Final = 0.02  # so far are the first attempts of several


def make_source(pull: Pull, memory: Memory) -> Source:
    """A connection to where a stream is fetched."""
    scheme = urlsplit(pull.url).scheme
    if scheme in RTMP_SCHEMES:
        return RtmpSource(pull.url)
    if scheme == SRT_SCHEME:
        return SrtSource(pull.url)
    return LibavSource(pull.url, memory, is_udp=pull.rtsp_transport is RtspTransport.UDP)


class PullService:
    """A `ChildService`."""

    def __init__(self, process: ChildProcess) -> None:
        self._process = process
        self._links = UnitLinks(process.bus)
        self._pulls: dict[Pull, tuple[Puller, asyncio.Task[None]]] = {}
        self._wanted: Sequence[Pull] = ()
        self._is_welcome = self._has_ingest = False
        process.is_idle = lambda: not self._pulls

    def hello(self) -> Hello:
        return self._process.new_hello(Endpoint(self._process.child, self._process.boot_id))

    def heartbeat(self) -> Heartbeat:
        pullers = [puller for puller, _ in self._pulls.values()]
        statuses = tuple(puller.status for puller in pullers)
        states = [status.state for status in statuses]
        counters = {f"pull {state}": states.count(state) for state in RemoteState} | {
            "attempts": sum(status.attempts for status in statuses),
            "connected": sum(status.connected for status in statuses),
            "not taken": sum(puller.skipped for puller in pullers),
        }
        return self._process.new_heartbeat(counters=counters, remotes=statuses)

    def configure(self, settings: Settings) -> None:
        self._wanted = settings.pulls
        if self._is_welcome:
            self._follow()

    def on_topology(self, endpoints: Sequence[Endpoint]) -> None:
        self._links.follow(endpoints)
        self._has_ingest = self._has_ingest or any(end.units for end in endpoints)
        if self._is_welcome:
            self._follow()

    def on_welcome(self) -> None:
        self._is_welcome = True
        self._follow()

    def on_message(self, message: Any, payloads: Sequence[bytes]) -> None:
        if not isinstance(message, IngestLost):  # its link has broken, which says it, too
            log.warning("unexpected control message kind=%s", type(message).__name__)

    def tasks(self) -> Sequence[Coroutine[Any, Any, None]]:
        return ()

    async def end(self) -> None:
        tasks = [task for _, task in self._pulls.values()]
        self._wanted = ()
        self._follow()
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_S)

    def close(self) -> None:
        self._links.close()

    def _follow(self) -> None:
        """Begin what is configured from now on, and end what is not any more."""
        for pull in self._pulls.keys() - set(self._wanted):
            _, task = self._pulls.pop(pull)
            task.cancel()
        new = [pull for pull in self._wanted if pull not in self._pulls] if self._has_ingest else []
        for number, pull in enumerate(new):
            puller = Puller(pull, self._links, make_source, Retries(random.random))  # nosec B311 # no secret is made of it
            task = asyncio.get_running_loop().create_task(puller.run(number * APART_S))
            self._pulls[pull] = puller, task
