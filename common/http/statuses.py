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


def answer_head(status: int, content_type: str, headers: Mapping[str, str]) -> bytes:
    """The head of an answer that ends with the connection."""
    found = HTTPStatus(status)
    named = {"Content-Type": content_type, **HEADERS, **headers, "Connection": "close"}
    lines = [f"HTTP/1.1 {found.value} {found.phrase}"]
    lines += [f"{name}: {value}" for name, value in named.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def refusal_answer(refusal: Refusal, headers: Mapping[str, str]) -> bytes:
    """A whole answer to who is refused."""
    body = f"{refusal.words}\n".encode()
    status = STATUS[refusal.reason]
    more = {"Content-Length": str(len(body)), **headers}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        more["Retry-After"] = str(RETRY_S)
    return answer_head(status, "text/plain; charset=utf-8", more) + body
