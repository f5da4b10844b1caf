"""A real API process, with the test as its supervisor, which answers commands as the test says."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import zmq

from common.config.settings import Settings
from common.ipc.command_messages import Answer, Command
from common.ipc.control_link import control_address, new_boot_id
from common.ipc.control_messages import Configure, Endpoint, Hello, SupervisorBeat, Welcome
from common.ipc.envelope import decode_frames, encode
from tests.kit.farm_figures import figures_of
from tests.kit.waiting import patient, until

TIMEOUT_S = patient(15.0)
BEAT_S = 0.25


@dataclass(frozen=True, slots=True)
class Response:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


def request(
    port: int,
    method: str,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    host: str = "127.0.0.1",
) -> Response:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request(method, path, body=body, headers=dict(headers or {}))
        answer = connection.getresponse()
        return Response(answer.status, dict(answer.headers), answer.read())
    finally:
        connection.close()


class ApiProcess:
    """`python -m api` under a supervisor of our own, which beats while `is_there`."""

    def __init__(
        self, settings: Settings, document: Mapping[str, Any], listen: str = "127.0.0.1:0"
    ) -> None:
        self.settings = settings
        self.document = document
        self.commands: list[Command] = []  # but for `status`
        self.asked = 0  # how often for the status
        self.is_there = True
        self.answer: Callable[[Command], Answer] = lambda c: Answer(c.request_id, True, "done")
        self.on_message: Callable[[Any], tuple[Any, bytes] | None] = lambda message: None
        self.endpoints: tuple[Endpoint, ...] = ()  # of the children that run beside it
        self.addresses: tuple[str, ...] | None = None  # None: no hello yet
        self.process: subprocess.Popen[str] | None = None
        self.log = ""
        self._listen = listen
        self._dir = tempfile.TemporaryDirectory(prefix="tfarm-api-")
        self._boot_id = new_boot_id()
        self._peer = b""
        self._send_settings = False
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._supervise)

    def __enter__(self) -> Self:
        self._thread.start()
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "api"),
                *("--index", "0", "--run-dir", self._dir.name, "--listen", self._listen),
            ],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONWARNINGS": "default"},
        )
        try:
            until(lambda: self.addresses is not None, TIMEOUT_S, "the API says hello")
            if self.addresses:
                until(lambda: self.request("GET", "/healthz").status, TIMEOUT_S, "it answers")
        except BaseException:
            self._end()
            print(self.log, file=sys.stderr)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        code = self._end()
        if kind is not None:
            print(self.log, file=sys.stderr)
        else:
            assert code == 0, self.log
            assert "Traceback" not in self.log, self.log

    def _end(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            _, self.log = self.process.communicate(timeout=TIMEOUT_S)
        finally:
            self.process.kill()
            self._is_over.set()
            self._thread.join(TIMEOUT_S)
            self._dir.cleanup()
        return self.process.returncode

    # ---- what the test does -------------------------------------------------------------------

    @property
    def port(self) -> int:
        assert self.addresses
        return int(self.addresses[0].rpartition(":")[2])

    def request(self, method: str, path: str, **more: Any) -> Response:
        return request(self.port, method, path, **more)

    def get(self, path: str, token: str = "", **headers: str) -> Response:
        if token:
            headers["Authorization"] = f"Bearer {token}"
        named = {re.sub("_", "-", name): value for name, value in headers.items()}
        return self.request("GET", path, headers=named)

    def configure(self, settings: Settings) -> None:
        self.settings = settings
        self._send_settings = True

    def replace_supervisor(self) -> None:
        self._boot_id = new_boot_id()

    # ---- the supervisor, in a thread ----------------------------------------------------------

    def _supervise(self) -> None:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
        router = context.socket(zmq.ROUTER)
        router.bind(control_address(Path(self._dir.name)))
        beat_s = 0.0
        try:
            while not self._is_over.is_set():
                if router.poll(20):
                    self._peer, *frames = router.recv_multipart()
                    message, _ = decode_frames(frames)
                    if self.is_there:
                        self._take(router, message)
                if self._peer and self.is_there and time.monotonic() - beat_s >= BEAT_S:
                    beat_s = time.monotonic()
                    self._say(router, SupervisorBeat(self._boot_id))
                    if self._send_settings:
                        self._send_settings = False
                        self._say(router, Configure(self.settings))
        finally:
            context.destroy(linger=0)

    def _take(self, router: "zmq.Socket[bytes]", message: Any) -> None:
        match message:
            case Hello():
                self.addresses = message.listen
                self._say(router, Welcome(self._boot_id, self.settings, self.endpoints))
            case Command(request_id, "status", {"as": "figures"}):
                figures = json.dumps(figures_of(self.document))
                self._say(router, Answer(request_id, True, json=figures))
            case Command(request_id, "status"):
                self.asked += 1
                self._say(router, Answer(request_id, True, json=json.dumps(self.document)))
            case Command():
                self.commands.append(message)
                self._say(router, self.answer(message))
            case _:
                if (answer := self.on_message(message)) is not None:
                    router.send_multipart([self._peer, encode(answer[0]), answer[1]])

    def _say(self, router: "zmq.Socket[bytes]", message: object) -> None:
        router.send_multipart([self._peer, encode(message)])
