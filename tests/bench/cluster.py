"""Forty hosts with ten thousand streams on three real members of etcd, without media.

One cluster child is a process as a farm has it, and is measured; those of the other hosts run in
this process, with all that theirs has but the control link. 20 streams begin and 20 end a second.
Every host asks for the owner of each stream that begins, before it does: so the time until all
know it is measured as their supervisors hear it.
"""

import asyncio
import contextlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import uvloop
import zmq
import zmq.asyncio

from cluster.run import ClusterChild
from common.cluster.digest import stream_digest
from common.config.settings import ClusterSettings, Settings
from common.errors import ExitCode
from common.ipc.cluster_messages import (
    ClaimOutcome,
    ClaimStream,
    ClusterView,
    HeldStreams,
    HostRoom,
    OwnerWanted,
    ReleaseStream,
    StreamClaimed,
    StreamOwner,
)
from common.ipc.control_link import control_address, new_boot_id
from common.ipc.control_messages import Hello, SupervisorBeat, Welcome
from common.ipc.envelope import decode_frames, encode
from common.ipc.identity import ChildId, StreamId
from tests.bench.report import Bench, Figure, percentile
from tests.kit.cluster_farms import SECRET
from tests.kit.etcd import PROGRAM, Etcd

HOSTS = 40
STREAMS = 10_000
RATE = 20  # that begin a second, and that end
MEASURED_S = 40.0
SETTLE_S = 5.0
READY_S = 240.0
MAX_CLAIM_MS = 50.0
MAX_VIEWS_MS = 100.0
MAX_ETCD_SHARE = 15.0  # % of a core
MAX_ETCD_MB = 150.0
MAX_CHILD_SHARE = 10.0
MAX_CHILD_MB = 60.0
ORPHAN_S = "3600"


class InProcess:
    """What a cluster child in this process has for a `ChildProcess`."""

    def __init__(self, run_dir: Path, hear: Callable[[object], None]) -> None:
        self.child, self.boot_id, self.run_dir = ChildId("cluster"), new_boot_id(), run_dir
        self._hear = hear
        self._spawned: set[asyncio.Task[None]] = set()

    def send(self, message: object) -> bool:
        self._hear(message)
        return True

    def spawn(self, task: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        spawned = asyncio.get_running_loop().create_task(task)
        self._spawned.add(spawned)
        spawned.add_done_callback(self._spawned.discard)
        return spawned

    def fail(self, reason: str, code: ExitCode) -> None:
        raise RuntimeError(f"{reason} ({code})")


@dataclass
class Host:
    """One host, as its supervisor sees it."""

    number: int
    folder: Path
    etcd: tuple[str, ...]
    streams: set[StreamId] = field(default_factory=set)
    view: ClusterView = field(default_factory=ClusterView)
    claimed: int = 0
    on_claimed: Callable[[StreamClaimed], None] = lambda _: None
    on_owner: Callable[["Host", StreamOwner], None] = lambda _host, _owner: None
    say: Callable[[object], None] = lambda _: None

    @property
    def settings(self) -> Settings:
        secret = str(self.folder / "secret")
        return Settings(cluster=ClusterSettings("bench", f"h{self.number}", secret, self.etcd))

    @property
    def run_dir(self) -> Path:
        return self.folder / f"h{self.number}"

    @property
    def has_registered(self) -> bool:
        return self.claimed >= len(self.streams)

    @property
    def knows_all(self) -> bool:
        view = self.view
        return view.owned == len(self.streams) and len(view.hosts) == HOSTS

    def hear(self, message: object) -> None:
        match message:
            case ClusterView():
                self.view = message
            case StreamClaimed():
                self.claimed += message.outcome is ClaimOutcome.OWNED
                self.on_claimed(message)
            case StreamOwner():
                self.on_owner(self, message)

    def beat(self) -> None:
        """Once a second, as a supervisor does."""
        used = float(len(self.streams))
        self.say(HostRoom({"software": 500.0 - used}, {"software": 500.0}, len(self.streams)))

    async def run_here(self) -> None:
        """Its cluster child in this process."""
        process: Any = InProcess(self.run_dir, self.hear)
        child = ClusterChild(process)
        child.configure(self.settings)
        self.say = lambda message: child.on_message(message, ())
        self.say(HeldStreams(tuple(self.streams)))
        try:
            await asyncio.gather(*child.tasks())
        finally:
            await child.end()

    async def run_apart(self, has_begun: Callable[[subprocess.Popen[bytes]], None]) -> None:
        """Its cluster child as a process, whose supervisor is this one."""
        context = zmq.asyncio.Context()
        router = context.socket(zmq.ROUTER)
        router.bind(control_address(self.run_dir))
        process = _start(self.run_dir)
        boot, peer = new_boot_id(), b""

        sending: set[asyncio.Future[Any]] = set()

        def send(message: object) -> None:
            task = asyncio.ensure_future(router.send_multipart([peer, encode(message)]))
            sending.add(task)
            task.add_done_callback(sending.discard)

        try:
            while True:
                peer, *frames = await router.recv_multipart()
                message, _ = decode_frames(frames)
                if isinstance(message, Hello) and self.say is not send:
                    has_begun(process)
                    send(SupervisorBeat(boot))
                    send(Welcome(boot, self.settings, ()))
                    send(HeldStreams(tuple(self.streams)))
                    self.say = send
                self.hear(message)
        finally:
            process.kill()
            process.wait()
            context.destroy(linger=0)


def _start(run_dir: Path) -> subprocess.Popen[bytes]:
    options = ("--index", "0", "--run-dir", str(run_dir), "--orphan-timeout", ORPHAN_S)
    return subprocess.Popen([sys.executable, "-P", "-m", "cluster", *options])


@dataclass
class Measured:
    """What a run has come to."""

    claims_ms: list[float] = field(default_factory=list)
    views_ms: list[float] = field(default_factory=list)
    unanswered: int = 0
    unseen: int = 0


class Load:
    """Streams that begin and end."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        self._hosts = hosts
        self._random = random.Random(1)
        self._asked_s: dict[int, float] = {}
        self._asked: dict[int, StreamId] = {}
        self._began_s: dict[str, float] = {}
        self._waiting: dict[str, set[int]] = {}  # hosts that do not know the owner yet
        self._last = 0
        self.measured = Measured()
        for host in hosts:
            host.on_claimed, host.on_owner = self._on_claimed, self._on_owner

    async def run(self, seconds: float) -> None:
        """At an even rate."""
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        for step in range(round(RATE * seconds)):
            await asyncio.sleep(max(0.0, begun_s + step / RATE - loop.time()))
            self._end_one()
            self._begin_one()
        await asyncio.sleep(2.0)
        self.measured.unanswered, self.measured.unseen = len(self._asked_s), len(self._waiting)

    def _end_one(self) -> None:
        host = max(self._random.sample(self._hosts, 2), key=lambda one: len(one.streams))
        asked = self._asked.values()
        stream = next(stream for stream in host.streams if stream not in asked)
        host.streams.discard(stream)
        host.say(ReleaseStream(stream))

    def _begin_one(self) -> None:
        host = min(self._random.sample(self._hosts, 2), key=lambda one: len(one.streams))
        self._last += 1
        stream = StreamId(f"live/new{self._last}")
        digest = stream_digest(SECRET.encode(), stream)
        for other in self._hosts:
            if other is not host:
                other.say(OwnerWanted(digest=digest))
        host.streams.add(stream)
        self._waiting[digest] = {other.number for other in self._hosts if other is not host}
        self._asked_s[self._last] = self._began_s[digest] = time.monotonic()
        self._asked[self._last] = stream
        host.say(ClaimStream(self._last, stream))

    def _on_claimed(self, claimed: StreamClaimed) -> None:
        asked_s = self._asked_s.pop(claimed.request_id, None)
        self._asked.pop(claimed.request_id, None)
        if asked_s is not None and claimed.outcome is ClaimOutcome.OWNED:
            self.measured.claims_ms.append((time.monotonic() - asked_s) * 1000)

    def _on_owner(self, host: Host, owner: StreamOwner) -> None:
        waiting = self._waiting.get(owner.digest)
        if waiting is None or not owner.host:
            return
        waiting.discard(host.number)
        if not waiting:
            del self._waiting[owner.digest]
            took_s = time.monotonic() - self._began_s.pop(owner.digest)
            self.measured.views_ms.append(took_s * 1000)


def run(bench: Bench) -> None:
    if not PROGRAM.is_file():
        bench.say("cluster: etcd is not here: scripts/get-etcd.sh")
        return
    folder = Path(tempfile.mkdtemp(prefix="tfarm-cluster-"))
    try:
        with Etcd(folder, 3) as etcd:
            uvloop.run(_run(bench, folder, etcd))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _run(bench: Bench, folder: Path, etcd: Etcd) -> None:
    (folder / "secret").write_text(SECRET)
    hosts = [Host(number, folder, tuple(etcd.urls)) for number in range(HOSTS)]
    for number in range(STREAMS):
        hosts[number % HOSTS].streams.add(StreamId(f"live/{number}"))
    for host in hosts:
        host.run_dir.mkdir()
    children: list[subprocess.Popen[bytes]] = []
    tasks = [asyncio.ensure_future(_beat(hosts))]
    try:
        began = time.monotonic()
        tasks.append(asyncio.ensure_future(hosts[0].run_apart(children.append)))
        async with asyncio.timeout(READY_S):
            for host in hosts[1:]:  # one by one: this process has the work of all
                tasks.append(asyncio.ensure_future(host.run_here()))
                await _until(lambda host=host: host.has_registered, tasks)  # type: ignore[misc]  # mypy: a default
            await _until(lambda: all(host.knows_all for host in hosts), tasks)
        bench.add(Figure("10,000 streams registered", time.monotonic() - began, "s"))
        await asyncio.sleep(SETTLE_S)
        members = [psutil.Process(one.pid) for one in etcd.processes if one is not None]
        child = psutil.Process(children[0].pid)
        before = _cpu_s([*members, child, psutil.Process()])
        began = time.monotonic()
        load = Load(hosts)
        await load.run(bench.seconds or MEASURED_S)
        seconds = time.monotonic() - began
        after = _cpu_s([*members, child, psutil.Process()])
        shares = [100 * (b - a) / seconds for a, b in zip(before, after, strict=True)]
        _add(bench, load.measured, shares, members, child)
    finally:
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)


def _add(
    bench: Bench,
    measured: Measured,
    shares: list[float],
    members: list[psutil.Process],
    child: psutil.Process,
) -> None:
    claims, views = measured.claims_ms, measured.views_ms
    bench.add(Figure("claims without an answer", measured.unanswered, "", 0.0))
    bench.add(Figure("starts not known to all", measured.unseen, "", 0.0))
    bench.add(Figure("a claim, median", percentile(claims, 0.5), "ms"))
    bench.add(Figure("a claim, p99", percentile(claims, 0.99), "ms", MAX_CLAIM_MS))
    bench.add(Figure("start to all views, median", percentile(views, 0.5), "ms"))
    bench.add(Figure("start to all views, p99", percentile(views, 0.99), "ms", MAX_VIEWS_MS))
    for number, member in enumerate(members):
        name = f"etcd member {number}"
        bench.add(Figure(f"{name}, CPU", shares[number], "% of a core", MAX_ETCD_SHARE))
        memory = member.memory_info().rss / 1e6
        bench.add(Figure(f"{name}, memory", memory, "MB", MAX_ETCD_MB))
    share, own = shares[len(members) :]
    bench.add(Figure("cluster child, CPU", share, "% of a core", MAX_CHILD_SHARE))
    memory = child.memory_info().rss / 1e6
    bench.add(Figure("cluster child, memory", memory, "MB", MAX_CHILD_MB))
    bench.add(Figure("the other 39 hosts and this program", own, "% of a core"))


async def _beat(hosts: Sequence[Host]) -> None:
    """Each host's supervisor, at another time of the second."""
    while True:
        for host in hosts:
            await asyncio.sleep(1.0 / HOSTS)
            host.beat()


async def _until(condition: Callable[[], bool], tasks: Sequence[asyncio.Future[None]]) -> None:
    while not condition():
        for task in tasks:
            if task.done():
                task.result()
        await asyncio.sleep(0.05)


def _cpu_s(processes: Sequence[psutil.Process]) -> list[float]:
    return [sum(process.cpu_times()[:2]) for process in processes]
