"""A supervisor that answers `status` alone, with the document that a test gives it."""

import json
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import zmq

from common.ipc.command_messages import Answer, Command
from common.ipc.control_link import control_address
from common.ipc.envelope import decode_frames, encode


class StatusStub:
    """Answers in a thread, between `start` and `stop`; the `with` block does both."""

    def __init__(self, run_dir: Path, document: dict[str, Any]) -> None:
        self.document = document
        self.run_dir = run_dir
        self._thread: threading.Thread | None = None
        self._is_over = threading.Event()

    def start(self) -> None:
        self._is_over.clear()
        is_bound = threading.Event()
        self._thread = threading.Thread(target=self._answer, args=(is_bound,))
        self._thread.start()
        assert is_bound.wait(10)

    def stop(self) -> None:
        if self._thread is not None:
            self._is_over.set()
            self._thread.join(10)
            self._thread = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _answer(self, is_bound: threading.Event) -> None:
        context = zmq.Context(io_threads=1)
        try:
            socket: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
            socket.bind(control_address(self.run_dir))
            is_bound.set()
            while not self._is_over.is_set():
                if socket.poll(20):
                    peer, *frames = socket.recv_multipart()
                    message, _ = decode_frames(frames)
                    assert isinstance(message, Command)
                    answer = Answer(message.request_id, True, json=json.dumps(self.document))
                    socket.send_multipart([peer, encode(answer)])
        finally:
            context.destroy(linger=0)
