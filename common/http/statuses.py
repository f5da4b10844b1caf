"""Refusals as HTTP says them, and answers that are written by hand. Pure.

A refusal is a status with its words in the body.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from common.access.refusal import Refusal, RefusalReason

STATUS: Final[Mapping[RefusalReason, HTTPStatus]] = {
    RefusalReason.NOT_FOUND: HTTPStatus.NOT_FOUND,
    RefusalReason.NAME_IN_USE: HTTPStatus.CONFLICT,
    RefusalReason.DENIED: HTTPStatus.FORBIDDEN,
    RefusalReason.FULL: HTTPStatus.SERVICE_UNAVAILABLE,
    RefusalReason.UNSUPPORTED: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    RefusalReason.FAILED: HTTPStatus.INTERNAL_SERVER_ERROR,
    RefusalReason.KICKED: HTTPStatus.FORBIDDEN,
    RefusalReason.BANNED: HTTPStatus.FORBIDDEN,
    RefusalReason.IDLE: HTTPStatus.REQUEST_TIMEOUT,
    RefusalReason.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
}
RETRY_S: Final = 1  # after what a retry may change
# Of every answer to a viewer; what may be kept says so instead of `no-store`.
HEADERS: Final[Mapping[str, str]] = {
    "Server": "tfarm",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class AnswerKind:
    """What the answers of one kind have in common: their status and headers, made once."""

    __slots__ = ("headers", "lines", "status")

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        """`headers` count before those of every answer."""
        found = HTTPStatus(status)
        self.status = found.value
        self.headers: Mapping[str, str] = headers
        # the first lines of the head, each with its end
        first = f"HTTP/1.1 {found.value} {found.phrase}\r\n"
        self.lines = first.encode("latin-1") + header_lines({**HEADERS, **headers})


def header_lines(headers: Mapping[str, str]) -> bytes:
    """Headers as lines, each with its end."""
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode("latin-1")


def answer_head(status: int, content_type: str, headers: Mapping[str, str]) -> bytes:
    """The head of an answer that ends with the connection."""
    named = {"Content-Type": content_type, **headers, "Connection": "close"}
    return AnswerKind(status, named).lines + b"\r\n"


def refusal_answer(refusal: Refusal, headers: Mapping[str, str]) -> bytes:
    """A whole answer to who is refused."""
    body = f"{refusal.words}\n".encode()
    status = STATUS[refusal.reason]
    more = {"Content-Length": str(len(body)), **headers}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        more["Retry-After"] = str(RETRY_S)
    return answer_head(status, "text/plain; charset=utf-8", more) + body
