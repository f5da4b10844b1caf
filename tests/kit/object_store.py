"""A small server of objects as S3 has them, on the loopback: one that is well, failing or slow.

It keeps objects and multipart uploads in memory, and looks at who signs (the key's id, and that the
body is what was signed). It is no test of signatures: docs/record.md says which servers were tried.
"""

import hashlib
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

KEY_ID = "AKTEST"
SECRET = "a-secret-of-the-store"
BUCKET = "recordings"
_CREDENTIAL = re.compile(r"Credential=([^/]+)/\d{8}/([^/]+)/s3/aws4_request")


class ObjectStore:
    """Runs in threads of its own, between `__enter__` and `__exit__`."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}  # of `BUCKET`
        self.types: dict[str, str] = {}  # their Content-Type
        self.open: dict[str, dict[int, bytes]] = {}  # multipart uploads, by id: parts by number
        self.aborted = 0  # of these
        self.requests: list[str] = []  # METHOD PATH
        self.failing: tuple[int, str] | None = None  # answers this status and code instead
        self.delay_s = 0.0  # before each answer
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    # ---- inside -------------------------------------------------------------------------------

    def answer(
        self, method: str, target: str, headers: Any, body: bytes
    ) -> tuple[int, str | bytes, dict[str, str]]:
        """Status, body and headers for one request."""
        self.requests.append(f"{method} {target}")
        time.sleep(self.delay_s)
        signed = _CREDENTIAL.search(headers.get("Authorization", ""))
        if self.failing is not None:
            return self.failing[0], _error(self.failing[1]), {}
        if signed is None or signed[1] != KEY_ID:
            return 403, _error("InvalidAccessKeyId"), {}
        if headers.get("x-amz-content-sha256") != hashlib.sha256(body).hexdigest():
            return 400, _error("XAmzContentSHA256Mismatch"), {}
        parts = urlsplit(target)
        _, bucket, name = (*unquote(parts.path).split("/", 2), "", "")[:3]
        if bucket != BUCKET:
            return 404, _error("NoSuchBucket"), {}
        query = parse_qs(parts.query, keep_blank_values=True)
        tag = {"ETag": f'"{hashlib.md5(body).hexdigest()}"'}
        match method:
            case "POST" if "uploads" in query:
                upload = f"u{len(self.open) + self.aborted + len(self.objects)}"
                self.open[upload] = {}
                self.types[name] = headers.get("Content-Type", "")
                words = f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId>"
                return 200, f"{words}</InitiateMultipartUploadResult>", {}
            case "PUT" if "uploadId" in query:
                parts_of = self.open.get(query["uploadId"][0])
                if parts_of is None:
                    return 404, _error("NoSuchUpload"), {}
                parts_of[int(query["partNumber"][0])] = body
                return 200, "", tag
            case "POST" if "uploadId" in query:
                made = self.open.pop(query["uploadId"][0])
                self.objects[name] = b"".join(made[number] for number in sorted(made))
                words = '<CompleteMultipartUploadResult><ETag>"e"</ETag>'
                return 200, f"{words}</CompleteMultipartUploadResult>", {}
            case "DELETE" if "uploadId" in query:
                del self.open[query["uploadId"][0]]
                self.aborted += 1
                return 204, "", {}
            case "PUT":
                self.objects[name] = body
                self.types[name] = headers.get("Content-Type", "")
                return 200, "", tag
            case "DELETE":
                self.objects.pop(name, None)
                return 204, "", {}
        return 405, _error("MethodNotAllowed"), {}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        store = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _do(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, answer, headers = store.answer(self.command, self.path, self.headers, body)
                data = answer.encode() if isinstance(answer, str) else answer
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _do

            def log_message(self, *_: Any) -> None: ...

        return Handler


def _error(code: str) -> str:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>"
