"""What the `web` child says by HTTP where it does not send a stream (IO: aiohttp).

A refusal is a status with its words in the body, and the same as a document for programs.
"""

from collections.abc import Sequence
from typing import Final

from aiohttp import web

from common.access.refusal import Refusal
from common.config.conflicts import ANY_ORIGIN
from common.http.statuses import RETRY_S, STATUS

METHODS: Final = "GET, HEAD, POST, PATCH, DELETE, OPTIONS"
PREFLIGHT_S: Final = 86_400  # that a browser remembers what it may ask


class Refused(Exception):
    """Not granted: why, and with which status."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status
        self.words = words

    @classmethod
    def by(cls, refusal: Refusal) -> "Refused":
        """As a refusal of whatever protocol."""
        return cls(STATUS[refusal.reason], refusal.words)


def refused(error: Refused) -> web.Response:
    """The answer to who is refused."""
    response = web.Response(status=error.status, text=error.words + "\n")
    if error.status == 503:
        response.headers["Retry-After"] = str(RETRY_S)
    return response


def http_error(error: web.HTTPException) -> web.Response:
    """The answer to what fits no route."""
    words = {404: "there is nothing at this address", 405: "this address takes no such method"}
    response = web.Response(status=error.status, text=words.get(error.status, error.reason) + "\n")
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


def cors(origins: Sequence[str], origin: str | None) -> dict[str, str]:
    """The headers that let a page of another site read an answer; none where it may not.

    They never allow credentials: keys and tokens stand in the address.
    """
    if ANY_ORIGIN in origins:
        return {"Access-Control-Allow-Origin": ANY_ORIGIN, "Access-Control-Expose-Headers": "*"}
    if not origins:
        return {}
    allowed = {"Vary": "Origin"}
    if origin is not None and origin in origins:
        allowed["Access-Control-Allow-Origin"] = origin
        allowed["Access-Control-Expose-Headers"] = "*"
    return allowed


def preflight() -> web.Response:
    """The answer to a browser that asks what it may ask."""
    return web.Response(
        status=204,
        headers={
            "Access-Control-Allow-Methods": METHODS,
            "Access-Control-Allow-Headers": "*, Authorization",  # which "*" does not mean
            "Access-Control-Max-Age": str(PREFLIGHT_S),
        },
    )
