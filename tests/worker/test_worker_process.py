"""A real worker process between a ROUTER as supervisor, a PUSH as ingest and PULLs as egress."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

import psutil
import pytest
import zmq

from common.config.settings import Settings, WorkerSettings
from common.errors import ExitCode
from common.ipc.control_link import CONTROL_SOCKET
from common.ipc.control_messages import (
    EgressRoutes,
    Endpoint,
    Fatal,
    Heartbeat,
    Hello,
    HostLoad,
    StreamTrouble,
    SupervisorBeat,
    Topology,
    Welcome,
)
from common.ipc.endpoint import IPC
from common.ipc.envelope import decode_frames, encode
from common.ipc.identity import CPU, BootId, ChildId, Generation
from common.ipc.media_messages import (
    KEY,
    REPLAY,
    GenerationEnd,
    RenditionOpen,
    StreamEnd,
    StreamStart,
    TagHeader,
    Tags,
)
from common.media.clock import ClockReference
from common.media.units import VideoCodec
from tests.kit.children import CPU0
from tests.kit.media_link import BlockingListener, BlockingSender
from tests.kit.session_driver import (
    STREAM,
    Output,
    Source,
    SourceSpec,
    access_units,
    make_source,
    template,
)
from tests.kit.waiting import patient, until

pytestmark = pytest.mark.e2e

DEADLINE_S = patient(20.0)
SETTINGS = Settings(worker=WorkerSettings(queue_ms=60_000))  # a busy machine drops nothing
NAME = CPU0
HERE = Endpoint(ChildId("ingest"), BootId("1" * 16), pid=os.getpid())


class Egress:
    """A listener that gathers what the worker sends."""

    def __init__(self, address: str, index: int) -> None:
        self.messages: list[tuple[Any, list[bytes]]] = []
        self.endpoint = Endpoint(ChildId("egress", index=index), BootId("0" * 16), tags=address)
        self.listener = BlockingListener(address)

    def gather_until(self, enough: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + DEADLINE_S
        while not enough():
            left_s = deadline_s - time.monotonic()
            assert left_s > 0, f"{len(self.messages)} messages came, and not enough"
            for frames in self.listener.receive(min(left_s, 0.2)):
                message, payloads = decode_frames(frames)
                self.messages.append((message, list(payloads)))

    def ended(self) -> bool:
        return any(isinstance(message, GenerationEnd) for message, _ in self.messages)

    def tags(self, rendition: str) -> list[tuple[int, TagHeader, bytes]]:
        """Number, head and body of each tag."""
        return [
            (message.first_number + index, head, payloads[index])
            for message, payloads in self.messages
            if isinstance(message, Tags) and message.rendition == rendition
            for index, head in enumerate(message.tags)
        ]

    def output(self, rendition: str) -> Output:
        output = Output()
        for message, payloads in self.messages:
            if isinstance(message, RenditionOpen) and message.rendition == rendition:
                output.metadata.append(payloads[0])
                output.headers.append(payloads[1])
        for _, head, body in self.tags(rendition):
            output.tags.append((head.dts_ms, bool(head.flags & KEY), body, len(output.headers)))
        return output


def stream_start(generation: int, **fields: Any) -> StreamStart:
    reference = ClockReference(0, time.monotonic())
    return StreamStart(
        STREAM, Generation(generation), template(), VideoCodec.H264, reference, **fields
    )


class WorkerProcess:
    """The process, its supervisor and its ingest."""

    def __init__(self, run_dir: Path, *arguments: str, device: str = CPU) -> None:
        self.run_dir = run_dir
        self.context: zmq.Context[Any] = zmq.Context()
        self.router = self.context.socket(zmq.ROUTER)
        self.router.bind(f"ipc://{run_dir / CONTROL_SOCKET}")
        self.peer = b""
        self.egresses: list[Egress] = []
        self.sender: BlockingSender | None = None
        command = [sys.executable, "-P", "-m", "worker", "--run-dir", str(run_dir)]
        command += ["--orphan-timeout", "3600"]  # its supervisor speaks when a test has to say more
        root = Path(__file__).parents[2]
        self.process = subprocess.Popen(
            [*command, "--device", device, *arguments],
            env=os.environ | {"PYTHONPATH": str(root)},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE_S)
        self.context.destroy(linger=0)
        for egress in self.egresses:
            egress.listener.close()
        if self.sender is not None:
            self.sender.close()

    def egress(self, index: int) -> Egress:
        address = f"{IPC}{self.run_dir}/{index}.tags"
        self.egresses.append(Egress(address, index))
        return self.egresses[-1]

    def hear(self, *kinds: type) -> Any:
        """The next message of one of these kinds."""
        deadline_s = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline_s:
            if self.router.poll(200):
                self.peer, *frames = self.router.recv_multipart()
                message, _ = decode_frames(frames)
                if isinstance(message, kinds):
                    return message
        raise AssertionError(f"none of {kinds} came")

    def say(self, message: object) -> None:
        self.router.send_multipart([self.peer, encode(message)])

    def welcome(self, *egresses: Egress) -> Hello:
        hello: Hello = self.hear(Hello)
        endpoints = tuple(egress.endpoint for egress in egresses)
        self.say(Welcome(BootId("f" * 16), SETTINGS, (*endpoints, HERE)))
        self.sender = BlockingSender(hello.endpoint.media)
        return hello

    def send(self, frames: list[bytes]) -> None:
        assert self.sender is not None
        self.sender.send(frames)

    def start(self, source: Source, **start: Any) -> None:
        message = StreamStart(
            STREAM,
            Generation(1),
            template(),
            VideoCodec.H264,
            ClockReference(0, time.monotonic()),
            **start,
        )
        self.send([encode(message), source.record])

    def feed(self, source: Source, *, first_number: int = 0, replay: bool = True) -> None:
        """All at once, which is more than live units may be."""
        for header, data in access_units(source, first_number=first_number, replay=replay):
            self.send([encode(header), data])

    def end(self) -> None:
        self.send([encode(StreamEnd(STREAM, Generation(1), "unpublished"))])

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_S)

    def sockets(self) -> set[str]:
        names = {path.name for path in self.run_dir.iterdir() if path.is_socket()}
        return names - {CONTROL_SOCKET}

    def own_socket(self) -> str:
        """Its own, which the sandbox leaves it no right to remove: the supervisor does."""
        return next((name for name in self.sockets() if name.endswith(".media")), "")


@pytest.fixture
def run_dir() -> Iterator[Path]:
    """A short path: names of sockets have to fit behind it."""
    with TemporaryDirectory(prefix="tf-", dir="/tmp") as name:
        yield Path(name)


@pytest.fixture
def worker(run_dir: Path) -> Iterator[WorkerProcess]:
    with WorkerProcess(run_dir) as process:
        yield process


def test_units_in_tags_out_and_a_clean_end(worker: WorkerProcess) -> None:
    first = worker.egress(0)
    hello = worker.welcome(first)
    assert (hello.child, hello.pid) == (NAME, worker.process.pid)
    assert hello.device is not None
    assert (hello.device.name, hello.device.kind) == ("cpu:0", "software")
    source = make_source(SourceSpec(frames=60, b_frames=2))
    worker.start(source)
    worker.feed(source)
    worker.end()
    first.gather_until(first.ended)
    opened = [m for m, _ in first.messages[:2]]
    assert all(isinstance(message, RenditionOpen) for message in opened)
    for rendition in ("big", "small"):
        numbers = [number for number, _, _ in first.tags(rendition)]
        assert numbers == list(range(len(numbers)))
        output = first.output(rendition)
        assert [frame.pts for frame in output.decode()] == output.pts_ms
    assert first.output("big").pts_ms == source.pts_ms
    assert first.output("big").keys_ms == first.output("small").keys_ms == [0, 1000]
    assert worker.stop() == ExitCode.OK
    assert worker.sockets() == {"0.tags", worker.own_socket()}


def test_a_worker_hears_no_other_worker(worker: WorkerProcess) -> None:
    hello: Hello = worker.hear(Hello)
    other = replace(HERE, child=ChildId("worker", "cpu", 1))
    worker.say(Welcome(BootId("f" * 16), Settings(), (other,)))
    beat: Heartbeat = worker.hear(Heartbeat)  # by now it knows who runs
    worker.sender = BlockingSender(hello.endpoint.media)  # it is refused at the handshake
    while not beat.counters["denied"]:
        beat = worker.hear(Heartbeat)
    assert beat.transcodes == ()
    assert not worker.sender.is_connected


def test_an_egress_that_comes_late_gets_headers_and_the_gop_and_then_the_live_tags(
    worker: WorkerProcess,
) -> None:
    first, late = worker.egress(0), worker.egress(1)
    worker.welcome(first)
    source = make_source(SourceSpec(frames=60))
    half = Source(source.record, source.units[:40])
    worker.start(source)
    worker.feed(half)
    first.gather_until(lambda: len(first.tags("small")) == 20 and len(first.tags("big")) == 40)
    # both have players of it, whichever is its home
    worker.say(EgressRoutes(((STREAM, (first.endpoint.child, late.endpoint.child)),)))
    worker.say(Topology((first.endpoint, late.endpoint)))
    late.gather_until(lambda: len(late.tags("big")) == 10)
    worker.feed(Source(source.record, source.units[40:]), first_number=40)
    worker.end()
    for side in (first, late):
        side.gather_until(side.ended)
    opened, gop = (message for message, _ in late.messages[:2])
    assert opened == RenditionOpen(STREAM, Generation(1), "big", 30, opened.video)
    assert gop.first_number == 30
    assert gop.tags[0].flags == KEY | REPLAY
    assert late.tags("big")[10:] == first.tags("big")[40:]
    assert [number for number, _, _ in late.tags("big")] == list(range(30, 60))
    assert late.output("small").decode()


def test_heartbeats_tell_of_streams_and_trouble_names_them(worker: WorkerProcess) -> None:
    first = worker.egress(0)
    worker.welcome(first)
    worker.send([b"no envelope"])
    worker.say(HostLoad(3))
    worker.start(Source(b"\x01no record", ()))
    trouble: StreamTrouble = worker.hear(StreamTrouble)
    assert (trouble.child, trouble.stream_id, trouble.generation) == (NAME, STREAM, 1)
    source = make_source(SourceSpec(frames=30))
    worker.start(source)
    worker.feed(source, replay=False)
    beat: Heartbeat = worker.hear(Heartbeat)
    while not (beat.transcodes and beat.transcodes[0].frames_out == 30):
        beat = worker.hear(Heartbeat)
    (status,) = beat.transcodes
    assert [rendition.name for rendition in status.renditions] == ["big", "small"]
    assert status.renditions[0].frames == 30
    assert status.stages_ms["encode:big"][0] > 0
    assert beat.counters["unreadable"] == 1
    # a new supervisor learns of it from the hello
    worker.say(SupervisorBeat(BootId("e" * 16)))
    hello: Hello = worker.hear(Hello)
    assert hello.transcodes[0].stream_id == STREAM


def test_a_new_generation_without_a_cut_replaces_the_old_one(worker: WorkerProcess) -> None:
    first = worker.egress(0)
    worker.welcome(first)
    source = make_source(SourceSpec(frames=30))
    worker.start(source)
    worker.feed(source)
    first.gather_until(lambda: len(first.tags("big")) == 30)
    message = StreamStart(
        STREAM, Generation(2), template(), VideoCodec.H264, ClockReference(0, time.monotonic())
    )
    worker.send([encode(message), source.record])
    first.gather_until(first.ended)
    ends = [message for message, _ in first.messages if isinstance(message, GenerationEnd)]
    assert ends == [GenerationEnd(STREAM, Generation(1), "replaced")]


def test_a_hundred_streams_come_and_go_and_leave_nothing(worker: WorkerProcess) -> None:
    first = worker.egress(0)
    worker.welcome(first)
    source = make_source(SourceSpec(frames=3, width=64, height=64))
    process = psutil.Process(worker.process.pid)

    def round_of(generation: int) -> None:
        message = StreamStart(
            STREAM,
            Generation(generation),
            template(),
            VideoCodec.H264,
            ClockReference(0, time.monotonic()),
        )
        worker.send([encode(message), source.record])
        for header, data in access_units(source, generation=generation):
            worker.send([encode(header), data])
        end = StreamEnd(STREAM, Generation(generation), "done")
        worker.send([encode(end)])
        first.gather_until(
            lambda: (
                first.messages != []
                and first.messages[-1][0] == GenerationEnd(STREAM, Generation(generation), "done")
            )
        )
        first.messages.clear()

    for generation in range(1, 40):
        round_of(generation)
    threads, descriptors = process.num_threads(), process.num_fds()
    memory = process.memory_info().rss
    for generation in range(40, 140):
        round_of(generation)
    until(lambda: process.num_threads() <= threads + 4, 10, "threads have ended")  # the last ones'
    until(lambda: process.num_fds() <= descriptors, 10, "descriptors are closed")
    assert process.memory_info().rss - memory < 16 * 1024**2


def test_sigterm_with_a_running_stream_ends_it_in_order(worker: WorkerProcess) -> None:
    first = worker.egress(0)
    worker.welcome(first)
    source = make_source(SourceSpec(frames=30))
    worker.start(source)
    worker.feed(source)
    first.gather_until(lambda: len(first.tags("big")) > 0)
    assert worker.stop() == ExitCode.OK
    first.gather_until(first.ended)
    assert worker.sockets() == {"0.tags", worker.own_socket()}


def test_without_a_supervisor_it_ends(run_dir: Path) -> None:
    with WorkerProcess(run_dir, "--orphan-timeout", "1") as worker:
        worker.hear(Hello)
        assert worker.process.wait(DEADLINE_S) == ExitCode.ORPHANED
        assert worker.sockets() <= {worker.own_socket()}


def test_a_gpu_that_is_not_there_is_told_before_the_exit(run_dir: Path) -> None:
    with WorkerProcess(run_dir, device="GPU-00000000-0000-0000-0000-000000000000") as worker:
        fatal: Fatal = worker.hear(Fatal)
        assert fatal.exit_code == ExitCode.BOOT_FAILED
        assert worker.process.wait(DEADLINE_S) == ExitCode.BOOT_FAILED
        assert worker.sockets() == set()
