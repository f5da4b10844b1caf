"""An egress, as far as the API knows one: it takes viewers' connections and answers on them."""

import asyncio
import socket
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from common.ipc.control_messages import Endpoint
from common.ipc.endpoint import UNIX
from common.ipc.envelope import decode_frames
from common.ipc.identity import BootId, ChildId
from egress.http.responses import LAST_CHUNK, chunk, head
from egress.sockets.handover import HandoverServer

MOVIE = b"a movie"


class ViewerEgress:
    """Runs in a thread of its own."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.declines = ""  # with these words
        self._folder = tempfile.TemporaryDirectory(prefix="tfarm-viewers-")
        self._path = Path(self._folder.name) / "viewers"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run)
        self._is_there = threading.Event()
        self.endpoint = Endpoint(ChildId("egress"), BootId("b" * 16), viewers=f"{UNIX}{self._path}")

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._is_there.wait(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._folder.cleanup()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.call_soon(self._listen)
        self._loop.run_forever()
        self._server.close()
        self._loop.close()

    def _listen(self) -> None:
        self._server = HandoverServer(str(self._path), self._adopt, "viewers")
        self._server.follow([Endpoint(ChildId("api"), BootId("b"))])  # any process of that kind
        self._is_there.set()

    def _adopt(self, tcp: socket.socket, data: bytes) -> str | None:
        request, _ = decode_frames([data])
        self.requests.append(request)
        if self.declines:
            return self.declines
        body = chunk(MOVIE) + LAST_CHUNK if request.is_chunked else MOVIE
        with tcp:
            tcp.setblocking(True)
            tcp.sendall(head(("avc1.64001f",), is_chunked=request.is_chunked) + body)
        return None
