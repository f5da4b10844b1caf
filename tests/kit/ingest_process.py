"""A real ingest process between a supervisor, a worker and an egress that are played by a thread.

The thread owns the ZeroMQ sockets: it answers `Hello` and `PublishRequest`, keeps all that it
receives, and sends what a test queues. Every wait has a deadline.
"""

import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

import pytest
import zmq

from common.config.ladder import SOURCE, Rendition, Template
from common.config.settings import IngestSettings, Settings
from common.ipc.control_link import control_address
from common.ipc.control_messages import (
    Endpoint,
    Hello,
    Placement,
    PublishRequest,
    SourceFormatReport,
    SupervisorBeat,
    Topology,
    Welcome,
)
from common.ipc.endpoint import IPC, UNIX
from common.ipc.envelope import decode_frames, encode
from common.ipc.identity import BootId, Generation, StreamId
from common.ipc.media_messages import AccessUnit, Tags
from common.rtmp.blocking_client import RtmpPublisher, RtmpRefused
from tests.kit.children import CPU0, EGRESS0
from tests.kit.ingest_ports import header, picture, sound, sound_header
from tests.kit.media_link import BlockingListener
from tests.kit.process_facts import descriptors
from tests.kit.waiting import patient

T = TypeVar("T")

WORKER = CPU0
EGRESS = EGRESS0
RENDITIONS = (Rendition("360p", 640, 360, 700_000),)
TEMPLATE = Template("live", RENDITIONS, hold_ms=1_000)
SETTINGS = Settings(
    ingest=IngestSettings(
        handshake_timeout_s=1.5,
        first_video_timeout_s=1.5,
        idle_timeout_s=2.0,
        takeover_idle_s=0.5,
    ),
    templates=(TEMPLATE,),
)


class Received(NamedTuple):
    """One message that came out of ingest."""

    at: str  # "control", "worker" or "egress"
    message: Any
    payloads: Sequence[bytes]


def placed(
    ask: PublishRequest | SourceFormatReport, generation: int = 1, **fields: Any
) -> Placement:
    """The usual answer: room on the worker."""
    values: dict[str, Any] = {
        "request_id": ask.request_id,
        "stream_id": ask.stream_id,
        "generation": Generation(generation),
        "template": TEMPLATE,
        "worker": WORKER,
        "renditions": ("360p",),
        "reason": "a test",
    }
    return Placement(**{**values, **fields})


class FarmAround:
    """Everything that one ingest process talks to."""

    def __init__(
        self,
        settings: Settings = SETTINGS,
        *,
        listen: str = "127.0.0.1:0",
        orphan_timeout_s: float = 30.0,
    ) -> None:
        self.orphan_timeout_s = orphan_timeout_s
        self.settings = settings
        self.listen = listen
        self.run_dir = Path(tempfile.mkdtemp(prefix="tfarm-ingest-"))
        self.received: list[Received] = []
        self.answer: Callable[[Any], object | None] = self._place
        self.egress_boot = 1
        self._egress_bound = 0
        self._is_silent = False
        self.has_egress = True
        self.process: subprocess.Popen[bytes] | None = None
        self.log_path = self.run_dir / "log"
        self._changed = threading.Condition()
        self._actions: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._peer = b""
        self._context = zmq.Context()
        self._thread = threading.Thread(target=self._run)
        self._bound = threading.Event()

    def _place(self, message: Any) -> object | None:
        match message:
            case PublishRequest() | SourceFormatReport():
                return placed(message)
        return None

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._bound.wait(5)
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "ingest",
                    "--index",
                    "0",
                    "--run-dir",
                    self.run_dir,
                    "--listen",
                    self.listen,
                    "--orphan-timeout",
                    str(self.orphan_timeout_s),
                ],
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(5)
        self._stop.set()
        self._thread.join(5)
        self._context.destroy(linger=0)
        shutil.rmtree(self.run_dir)

    # ---- for tests -----------------------------------------------------------------------------

    @property
    def hello(self) -> Hello:
        return self.wait(lambda: self.last(Hello), "a hello")

    @property
    def port(self) -> int:
        return int(self.hello.listen[0].rpartition(":")[2])

    def url(self, path: str = "live/cam") -> str:
        return f"rtmp://127.0.0.1:{self.port}/{path}"

    def log(self) -> str:
        return self.log_path.read_text()

    def of(self, kind: type[T]) -> list[T]:
        """Messages of a kind, as they came."""
        return [entry.message for entry in list(self.received) if isinstance(entry.message, kind)]

    def last(self, kind: type[T]) -> T | None:
        found = self.of(kind)
        return found[-1] if found else None

    def units(self) -> list[AccessUnit]:
        return self.of(AccessUnit)

    def tags(self, rendition: str) -> list[tuple[Tags, Sequence[bytes]]]:
        """Messages of tags of a rendition, with the bodies."""
        return [
            (entry.message, entry.payloads)
            for entry in list(self.received)
            if isinstance(entry.message, Tags) and entry.message.rendition == rendition
        ]

    def wait(self, condition: Callable[[], T | None], what: str, timeout: float = 5.0) -> T:
        """What `condition` gives as soon as it is true; it may have the supervisor say something.

        `timeout` is for a quiet machine.
        """
        timeout = patient(timeout)
        deadline = time.monotonic() + timeout
        while not (value := condition()):
            assert time.monotonic() < deadline, (
                f"no {what} within {timeout} s; the log:\n{self.log()}"
            )
            with self._changed:
                self._changed.wait(0.02)
        return value

    def wait_log(self, text: str, timeout: float = 5.0) -> None:
        self.wait(lambda: text in self.log(), f"log line with {text!r}", timeout)

    def send(self, message: object) -> None:
        """Send a message as the supervisor."""
        self._actions.put(lambda: self._say(message))

    def set_topology(self) -> None:
        """Announce the endpoints as they are now, binding what is new."""
        self._actions.put(self._bind_egress)
        self._actions.put(lambda: self._say(Topology(self._endpoints())))

    def go_silent(self) -> None:
        """The supervisor says nothing any more."""
        self._is_silent = True

    def terminate(self, timeout: float = 4.0) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    # ---- the thread ---------------------------------------------------------------------------

    def _endpoints(self) -> tuple[Endpoint, ...]:
        worker = Endpoint(WORKER, BootId("w1"), media=self._address("w1"))
        egress = Endpoint(
            EGRESS,
            BootId(f"e{self.egress_boot}"),
            tags=self._address(f"e{self.egress_boot}"),
            handover=f"{UNIX}{self.run_dir / 'handover'}",
        )
        return (worker, egress) if self.has_egress else (worker,)

    def _address(self, name: str) -> str:
        return f"{IPC}{self.run_dir / name}"

    def _bind_egress(self) -> None:
        if self.has_egress and self._egress_bound != self.egress_boot:
            self._egress_bound = self.egress_boot
            self._listen_as("egress", f"e{self.egress_boot}")

    def _listen_as(self, at: str, name: str) -> None:
        listener = BlockingListener(self._address(name))
        self._listeners[listener.socket] = at, listener
        self._poller.register(listener.socket, zmq.POLLIN)

    def _say(self, message: object) -> None:
        if not self._is_silent:
            self._router.send_multipart([self._peer, encode(message)])

    def _run(self) -> None:
        self._router: zmq.Socket[bytes] = self._context.socket(zmq.ROUTER)
        self._router.setsockopt(zmq.LINGER, 0)
        self._router.bind(control_address(self.run_dir))
        self._poller = zmq.Poller()
        self._poller.register(self._router, zmq.POLLIN)
        self._listeners: dict[zmq.Socket[bytes], tuple[str, BlockingListener]] = {}
        self._listen_as("worker", "w1")
        self._bind_egress()
        self._bound.set()
        beat = 0.0
        while not self._stop.is_set():
            for bound, _ in self._poller.poll(5):
                if bound is self._router:
                    self._peer, *frames = self._router.recv_multipart()
                    self._note("control", *decode_frames(frames))
                else:
                    at, listener = self._listeners[bound]
                    for frames in listener.receive(0):
                        self._note(at, *decode_frames(frames))
            while not self._actions.empty():
                self._actions.get()()
            if self._peer and time.monotonic() - beat > 0.5:
                beat = time.monotonic()
                self._say(SupervisorBeat(BootId("s1")))
        for _, listener in self._listeners.values():
            listener.close()

    def _note(self, at: str, message: Any, payloads: Sequence[bytes]) -> None:
        with self._changed:
            self.received.append(Received(at, message, payloads))
            self._changed.notify_all()
        if isinstance(message, Hello):
            self._say(Welcome(BootId("s1"), self.settings, self._endpoints()))
        elif at == "control":
            answer = self.answer(message)
            if answer is not None:
                self._say(answer)


def connect(farm: FarmAround) -> socket.socket:
    peer = socket.create_connection(("127.0.0.1", farm.port), 5)
    peer.settimeout(5)
    return peer


def stream_id(key: str = "cam") -> StreamId:
    return StreamId(f"live/{key}")


def send_gop(publisher: RtmpPublisher, start_ms: int = 0, pictures: int = 5) -> None:
    """Headers, a keyframe, and pictures after it, with audio."""
    publisher.send_audio(0, sound_header().payload)
    publisher.send_video(0, header().payload)
    for number in range(pictures):
        at_ms = start_ms + number * 40
        publisher.send_video(at_ms, picture(at_ms, key=number == 0).payload)
        publisher.send_audio(at_ms + 10, sound(at_ms + 10).payload)


def send_until_closed(publisher: RtmpPublisher, body: bytes = picture(0).payload) -> None:
    """Pictures for two seconds; raises ConnectionError as soon as the server ends it."""
    for number in range(200):
        publisher.send_video(1000 + number * 10, body)
        time.sleep(0.01)


def refusal(url: str) -> RtmpRefused:
    with pytest.raises(RtmpRefused) as refused, RtmpPublisher(url, 30):
        pass
    return refused.value


def is_refused(url: str) -> bool:
    try:
        with RtmpPublisher(url, 30):
            return False
    except RtmpRefused:
        return True


def source_times(farm: FarmAround) -> list[int]:
    return [entry.dts_ms for message, _ in farm.tags(SOURCE) for entry in message.tags]


def open_files(farm: FarmAround) -> int:
    assert farm.process is not None
    return descriptors(farm.process.pid)
