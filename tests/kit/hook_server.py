"""A hook on the loopback that answers as a test says: well, slowly, wrongly or not at all."""

import json
import ssl
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tests.kit.certificates import Files


@dataclass
class Received:
    """One request."""

    headers: dict[str, str]
    body: bytes
    at_s: float

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


class HookServer:
    """Runs in threads of its own, between `__enter__` and `__exit__`."""

    def __init__(self, certificate: Files | None = None) -> None:
        """With a certificate it speaks HTTPS."""
        self.answer: tuple[int, bytes] = 204, b""
        self.by_event: dict[str, tuple[int, bytes]] = {}  # in place of `answer`
        self.headers: dict[str, str] = {}
        self.delay_s = 0.0
        self.trickles = False  # a byte now and then, for ever
        self.raw = b""  # in place of HTTP
        self.requests: list[Received] = []
        self._over = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.certificate, certificate.key)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
            self._scheme = "https"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}/"

    def events(self, event: str) -> list[dict[str, Any]]:
        """The documents of one event, in the order in which they came."""
        documents = [request.document for request in self.requests]
        return [document for document in documents if document["event"] == event]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hook = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.requests.append(Received(dict(self.headers), body, time.monotonic()))
                hook._over.wait(hook.delay_s)
                try:
                    hook._send(self, body)
                except OSError:
                    self.close_connection = True  # it was given up

            def log_message(self, format: str, *args: Any) -> None: ...

        return Handler

    def _send(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        if self.raw:
            handler.wfile.write(self.raw)
            handler.close_connection = True
            return
        status, answer = self.answer
        if self.by_event:
            status, answer = self.by_event.get(json.loads(body)["event"], self.answer)
        handler.send_response(status)
        length = len(answer) + (1_000 if self.trickles else 0)
        for name, value in {"Content-Length": str(length), **self.headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(answer)
        while self.trickles and not self._over.wait(0.05):
            handler.wfile.write(b"x")
