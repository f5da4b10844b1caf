"""The cluster child put together (IO): the supervisor's messages in, requests to etcd out.

`membership.py` decides; here are the client, the clock and the files of the configuration.
"""

import asyncio
import contextlib
import hashlib
import logging
import time
import zlib
from collections.abc import Coroutine, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

from cluster.actions import Action, Call, Say, Self, StartWatch, What
from cluster.etcd_session import NOT_YET
from cluster.membership import Membership
from common.cluster.digest import secret_of
from common.config.settings import ClusterSettings, Settings
from common.errors import ExitCode
from common.etcd.client import Credentials, EtcdClient
from common.etcd.errors import EtcdError
from common.etcd.messages import Request
from common.ipc.child import ChildProcess
from common.ipc.cluster_messages import (
    ClaimStream,
    ClusterView,
    HeldStreams,
    HostReach,
    HostRoom,
    LeaveCluster,
    OwnerWanted,
    PushTemplates,
    ReleaseStream,
)
from common.ipc.control_messages import Endpoint, Heartbeat, Hello
from common.version import VERSION

log = logging.getLogger("tfarm.cluster.run")

TICK_S = 0.2
CALL_S = 2.0
URGENT = frozenset({What.LEASE, What.GRANT, What.HOST})  # without which others take this for gone
LOOK_S = 10.0  # at the members that are not asked otherwise
END_S = 1.0  # for the keys to go at a clean end
MAX_FILE_BYTES = 64 * 1024


class ClusterChild:
    """A `ChildService`."""

    def __init__(self, process: ChildProcess) -> None:
        self._process = process
        self._core: Membership | None = None
        self._client: EtcdClient | None = None
        self._watch: asyncio.Task[None] | None = None
        self._was_in_touch: bool | None = None
        self._is_leaving = False  # the cluster: this farm ends
        self._counts = {"calls": 0, "failures": 0, "watches": 0, "claims": 0, "claims ms": 0}

    def hello(self) -> Hello:
        return self._process.new_hello(Endpoint(self._process.child, self._process.boot_id))

    def heartbeat(self) -> Heartbeat:
        return self._process.new_heartbeat(counters=dict(self._counts))

    def configure(self, settings: Settings) -> None:
        """Begin; or use changed certificates and passwords."""
        cluster = settings.cluster
        try:
            if self._client is None:
                self._begin(settings)
            else:
                self._client.reload(_credentials(cluster))
        except (OSError, ValueError) as error:
            reason = f"{getattr(error, 'filename', None) or 'a file of [cluster]'}: " + (
                getattr(error, "strerror", None) or str(error)
            )
            if self._client is None:
                self._process.fail(reason, ExitCode.BOOT_FAILED)
            else:
                log.error("certificates of the cluster not read again reason=%s", reason)

    def on_topology(self, endpoints: Sequence[Endpoint]) -> None: ...

    def on_welcome(self) -> None:
        if self._core is not None:
            self._core.again()

    def on_message(self, message: Any, payloads: Sequence[bytes]) -> None:
        core, now = self._core, time.monotonic()
        if core is None:
            return
        match message:
            case ClaimStream():
                self._do(core.claim(message, now))
            case ReleaseStream(stream_id):
                self._do(core.release(stream_id, now))
            case HeldStreams():
                self._do(core.held(message, now))
            case HostRoom():
                core.room(message)
            case OwnerWanted():
                self._do(core.want(message, now))
            case PushTemplates(text):
                self._do(core.push(text, now))
            case HostReach():
                self._do(core.reach(message, now))
            case LeaveCluster():
                self._is_leaving = True
            case _:
                log.warning("unexpected control message kind=%s", type(message).__name__)

    def tasks(self) -> Sequence[Coroutine[Any, Any, None]]:
        return self._tick(), self._look()

    async def end(self) -> None:
        """Leave the cluster, if the farm ends: its streams may begin elsewhere at once.

        Else the lease is for the process that takes this one's place.
        """
        if self._watch is not None:
            self._watch.cancel()
        if self._client is None or self._core is None:
            return
        if self._is_leaving:
            with contextlib.suppress(EtcdError):
                await self._client.call(self._core.ends(), END_S)
        await self._client.close()

    def close(self) -> None: ...

    # ---- inside -------------------------------------------------------------------------------

    def _begin(self, settings: Settings) -> None:
        """Raises OSError or ValueError where a file is not there, or not as it should be."""
        cluster = settings.cluster
        own = Self(
            cluster.name,
            cluster.host,
            _farm(self._process.run_dir),
            secret_of(_read(cluster.secret_file)),
            round(cluster.ttl_s),
            VERSION,
            cluster.relay_shown,
            f"{cluster.host}:{settings.listen.port}",
        )
        # each host has a member of its own that it asks first: one alone would have all the work
        first = zlib.crc32(cluster.host.encode()) % len(cluster.etcd)
        endpoints = (*cluster.etcd[first:], *cluster.etcd[:first])
        self._client = EtcdClient(endpoints, _credentials(cluster))
        self._core = Membership(own, time.monotonic(), time.time())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            if self._core is not None:
                self._do(self._core.tick(time.monotonic(), time.time()))

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            if self._client is not None:
                await self._client.look()

    def _do(self, actions: Sequence[Action]) -> None:
        assert self._client is not None
        for action in actions:
            match action:
                case Say(message):
                    if isinstance(message, ClusterView):
                        message = self._noted(message)
                    self._process.send(message)
                case StartWatch(request):
                    if self._watch is not None:
                        self._watch.cancel()
                    self._counts["watches"] += 1
                    self._watch = self._process.spawn(self._follow(request))
                case Call():
                    self._counts["calls"] += 1
                    self._process.spawn(self._ask(action))

    async def _ask(self, call: Call) -> None:
        assert self._client is not None
        assert self._core is not None
        try:
            is_urgent = call.what in URGENT
            answer = await self._client.call(call.request, CALL_S, is_urgent=is_urgent)
        except EtcdError as error:
            self._counts["failures"] += 1
            self._do(self._core.failed(call, error, time.monotonic()))
        else:
            now = time.monotonic()
            if call.what is What.CLAIM:
                self._counts["claims"] += 1
                self._counts["claims ms"] += round((now - call.sent_s) * 1000)
            self._do(self._core.answered(call, answer, now))

    async def _follow(self, request: Request) -> None:
        assert self._client is not None
        assert self._core is not None
        try:
            async with aclosing(self._client.watch(request)) as answers:
                async for answer in answers:
                    self._do(self._core.on_watch(answer, time.monotonic()))
        except EtcdError as error:
            self._do(self._core.watch_ended(str(error)))

    def _noted(self, view: ClusterView) -> ClusterView:
        """The same, with what is wrong with each endpoint; a change of touch is logged."""
        assert self._client is not None
        if view.is_in_touch and not self._was_in_touch:
            log.info("cluster joined hosts=%d streams=%d", len(view.hosts), view.owned)
        elif not view.is_in_touch and self._was_in_touch is not False:
            if self._was_in_touch is None and view.reason == NOT_YET:
                return view
            log.warning("cluster not in touch reason=%s", view.reason)
        self._was_in_touch = view.is_in_touch
        endpoints = dict(self._client.faults)
        return replace(view, endpoints=endpoints)


def _credentials(cluster: ClusterSettings) -> Credentials:
    """Raises OSError where the password's file cannot be read."""
    password = ""  # nosec B105 # there is none
    if cluster.etcd_password_file:
        password = _read(cluster.etcd_password_file).decode(errors="replace").strip()
    return Credentials(
        cluster.etcd_ca, cluster.etcd_cert, cluster.etcd_key, cluster.etcd_user, password
    )


def _read(file: str) -> bytes:
    with Path(file).open("rb") as opened:
        return opened.read(MAX_FILE_BYTES)


def _farm(run_dir: Path) -> str:
    """A name of this farm: of the host since its boot, and the run directory."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    found = run_dir.stat()
    text = f"{boot} {found.st_dev} {found.st_ino}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
