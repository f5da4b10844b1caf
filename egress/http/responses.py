"""What is said to a viewer by HTTP: the head of its answer, its chunks and its end. Pure.

The request was read by the API, which has answered nothing. The body goes on for as long as the
stream does: in chunks (RFC 9112, 7.1), so that an end can be told from a broken connection; or, for
HTTP/1.0, up to the end of the connection. Its last box says why it ends: players pass `free` over.
"""

import json
from collections.abc import Sequence
from typing import Final

from common.media.units import Data
from common.mp4.boxes import box

LAST_CHUNK: Final = b"0\r\n\r\n"
_COMMON: Final = (
    "Cache-Control: no-store\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Connection: close\r\n"
)


def head(codecs: Sequence[str], *, is_chunked: bool) -> bytes:
    """The head of an answer that brings a stream of these codecs (RFC 6381)."""
    chunked = "Transfer-Encoding: chunked\r\n" if is_chunked else ""
    kind = f'video/mp4; codecs="{", ".join(codecs)}"'
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{_COMMON}{chunked}\r\n".encode("latin-1")


def unavailable(words: str) -> bytes:
    """A whole answer: there is nothing to watch just now."""
    body = json.dumps({"error": "unavailable", "message": words}).encode()
    lines = (
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
        f"Retry-After: 1\r\n{_COMMON}Content-Length: {len(body)}\r\n\r\n"
    )
    return lines.encode() + body


def chunk(data: Data) -> bytes:
    """One chunk of the body; `data` is not empty: that would be the last one."""
    return b"".join((b"%x\r\n" % len(data), data, b"\r\n"))


def content(wire: bytes) -> memoryview:
    """What `chunk` was given."""
    return memoryview(wire)[wire.index(b"\n") + 1 : -2]


def ending(reason: str, *, is_over: bool) -> bytes:
    """The last box; `is_over`: who asks again gets nothing better."""
    return box(b"free", json.dumps({"reason": reason, "is_over": is_over}).encode())
