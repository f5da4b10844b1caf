"""A real egress process, with the test as its supervisor, its ingest and its workers.

`FrontDoor` accepts RTMP clients as ingest does and hands those that ask to play over.
"""

import asyncio
import os
import select
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
from typing import Any, Self

import zmq

from common.config.settings import Settings
from common.ipc.control_link import control_address
from common.ipc.control_messages import (
    Endpoint,
    Heartbeat,
    Hello,
    Positions,
    SupervisorBeat,
    SwitchGeneration,
    Topology,
    Welcome,
)
from common.ipc.envelope import decode_frames, encode
from common.ipc.identity import BootId, ChildId, Generation, StreamId
from common.ipc.socket_handover import HandoverAck, HandoverClient
from common.rtmp.events import ConnectRequested, PlayRequested
from common.rtmp.session import ServerSession
from tests.kit.media_link import BlockingSender
from tests.kit.waiting import patient

TIMEOUT_S = patient(15.0)
ORPHAN_S = "3600"  # it hears from this supervisor only now and then, whatever a test takes
SUPERVISOR = BootId("00000000cafecafe")
INGEST = ChildId("ingest")
POSITION = 1_000_001  # the number of the question
NO_GENERATION = Generation(-1)  # of which nothing is lost by that question


class EgressProcess:
    """`python -m egress` under a supervisor of our own."""

    def __init__(
        self,
        settings: Settings,
        *arguments: str,
        beats: bool = True,
        module: str = "egress",
        expected_fault: str = "",
    ) -> None:
        """`module` in place of egress; `expected_fault` is logged once, with its traceback."""
        self.settings = settings
        self.run_dir = Path(tempfile.mkdtemp(prefix="tfarm-egress-"))
        self.endpoint = Endpoint("", BootId(""))  # type: ignore[arg-type]  # until it says hello
        self.listen: tuple[str, ...] = ()  # HOST:PORT, of a kind that listens
        self._arguments = arguments
        self._beats = beats
        self._module = module
        self._expected_fault = expected_fault
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._router.bind(control_address(self.run_dir))
        self._tags: BlockingSender | None = None
        self._peer = b""
        self._kept: list[Any] = []
        self.process: subprocess.Popen[str] | None = None
        self.log = ""

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", self._module),
                *("--index", "0", "--run-dir", str(self.run_dir), "--orphan-timeout", ORPHAN_S),
                *self._arguments,
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        hello = self.receive(Hello)
        self.endpoint, self.listen = hello.endpoint, hello.listen
        if self._beats:
            self.send(SupervisorBeat(SUPERVISOR))
        self.receive(Hello)
        # This process is all of them; tests of who may send what say which it is (`be`).
        self.send(Welcome(SUPERVISOR, self.settings, (Endpoint(INGEST, SUPERVISOR),)))
        self._tags = BlockingSender(self.endpoint.tags)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if self.process is not None:
                self.process.send_signal(signal.SIGTERM)  # nothing to one that has ended
                with self.process:  # its pipe is closed, whatever happens
                    try:
                        self.wait()
                    finally:
                        self.process.kill()
        finally:
            if kind is not None:
                print(self.log, file=sys.stderr)
            self._context.destroy(linger=0)
            if self._tags is not None:
                self._tags.close()
            left = sorted(path.name for path in self.run_dir.iterdir() if path.name != "control")
            for name in ("control", *left):
                (self.run_dir / name).unlink(missing_ok=True)
            self.run_dir.rmdir()
        if kind is None:
            assert left == []
            assert self.log.count("Traceback") == bool(self._expected_fault), self.log
            assert self._expected_fault in self.log

    def wait(self) -> int:
        """The exit code, once it has ended."""
        assert self.process is not None
        _, self.log = self.process.communicate(timeout=TIMEOUT_S)
        return self.process.returncode

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    # ---- control ------------------------------------------------------------------------------

    def send(self, message: object) -> None:
        self._router.send_multipart([self._peer, encode(message)])

    def be(self, child: ChildId) -> None:
        """Have this process be one child, and no other, for the egress."""
        self.send(Topology((Endpoint(child, SUPERVISOR, pid=os.getpid()),)))

    def receive(self, wanted: type[Any], until: Callable[[Any], bool] = lambda _: True) -> Any:
        """The next message of a kind that `until` is true of; others are forgotten."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            left_ms = (deadline - time.monotonic()) * 1000
            if left_ms <= 0 or not self._router.poll(int(left_ms)):
                raise TimeoutError(f"no {wanted.__name__} came")
            self._peer, *frames = self._router.recv_multipart()
            message, _ = decode_frames(frames)
            if isinstance(message, wanted) and until(message):
                return message

    def served(self, until: Callable[[Heartbeat], bool]) -> Heartbeat:
        heartbeat = self.receive(Heartbeat, until)
        assert isinstance(heartbeat, Heartbeat)
        return heartbeat

    def position(self, stream: StreamId) -> int | None:
        """The last time, in ms, that egress has of any transcoded rendition; None: it has none."""
        self.send(SwitchGeneration(POSITION, stream, NO_GENERATION))
        answer = self.receive(Positions, lambda one: one.request_id == POSITION)
        assert isinstance(answer, Positions)
        return answer.last_pts_ms

    # ---- media --------------------------------------------------------------------------------

    def push(self, message: object, payloads: Sequence[bytes] = ()) -> None:
        assert self._tags is not None
        self._tags.send([encode(message), *payloads])

    def answer(self, wanted: type[Any]) -> Any:
        """The next message of a kind that egress sends back; others are forgotten."""
        assert self._tags is not None
        while (frames := self._tags.answer(TIMEOUT_S)) is not None:
            message, _ = decode_frames(frames)
            if isinstance(message, wanted):
                return message
        raise TimeoutError(f"no {wanted.__name__} came")


class FrontDoor:
    """Listens for players, hands each over as soon as it asks to play; in a thread."""

    def __init__(self, handover: str) -> None:
        self.acks: list[HandoverAck] = []
        self._client = HandoverClient(handover)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def url(self, path: str) -> str:
        return f"rtmp://127.0.0.1:{self.port}/{path}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(TIMEOUT_S)
        self._listener.close()

    def _run(self) -> None:
        self._listener.settimeout(0.02)
        threads = []
        while not self._ended.is_set():
            try:
                peer, _ = self._listener.accept()
            except TimeoutError:
                continue
            threads.append(threading.Thread(target=self._serve, args=(peer,)))
            threads[-1].start()
        for thread in threads:
            thread.join(TIMEOUT_S)

    def _serve(self, peer: socket.socket) -> None:
        session = ServerSession()
        with peer:
            while not session.has_pending_play:
                if self._ended.is_set():
                    return
                if not select.select([peer], [], [], 0.05)[0]:
                    continue
                data = peer.recv(4096)
                if not data:
                    return
                session.receive_data(data, time.monotonic())
                for event in session.events_received():
                    match event:
                        case ConnectRequested(request_id):
                            session.accept(request_id)
                        case PlayRequested():
                            pass
                        case _:
                            raise AssertionError(f"a player sent {type(event).__name__}")
                peer.sendall(session.data_to_send())
            snapshot = session.snapshot().to_bytes()
            deadline = time.monotonic() + TIMEOUT_S
            self.acks.append(asyncio.run(self._client.send(peer.fileno(), snapshot, deadline)))
