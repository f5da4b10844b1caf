"""HTTP messages as the API reads and writes them (IO: aiohttp)."""

import asyncio
import json
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from api.access import Asker, host_name
from api.operations import JSON, MAX_BODY_BYTES, ApiError, Operation
from api.schemas import Json
from common.http.connections import REQUEST_S

# Where a request comes by way of a proxy, one of these says so.
_FORWARDED: Final = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")


def asker_of(request: web.Request) -> Asker:
    """What is known of who sent a request."""
    transport = request.transport
    server = transport.get_extra_info("sockname") if transport is not None else None
    site = request.headers.get("Sec-Fetch-Site", "none")
    return Asker(
        address=request.remote or "",
        server=server[0] if server else "",
        host=host_name(request.headers.get("Host", "")),
        authorization=request.headers.get("Authorization"),
        is_forwarded=any(name in request.headers for name in _FORWARDED),
        is_cross_site=site not in ("none", "same-origin"),
    )


def peer_of(request: web.Request) -> str:
    """Who sent it, HOST:PORT."""
    transport = request.transport
    peer = transport.get_extra_info("peername") if transport is not None else None
    return f"{peer[0]}:{peer[1]}" if peer else "?"


async def body_of(operation: Operation, request: web.Request) -> bytes:
    """The body, if the operation takes one. Raises ApiError."""
    if operation.body is None or not request.can_read_body:
        return b""
    if request.content_type != JSON:
        raise ApiError(415, "no-json", f"the body must be {JSON}")
    try:
        async with asyncio.timeout(REQUEST_S):
            return await request.read()
    except TimeoutError:
        raise ApiError(408, "too-slow", f"the body must be there within {REQUEST_S:g} s") from None


def query_of(request: web.Request) -> Mapping[str, list[str]]:
    return {name: request.query.getall(name) for name in request.query}


def http_error(error: web.HTTPException) -> ApiError:
    match error.status:
        case 404:
            return ApiError(404, "no-such-path", "there is nothing at this path")
        case 405:
            return ApiError(405, "method-not-allowed", "this path does not take that method")
        case 413:
            return ApiError(413, "too-large", f"a body has at most {MAX_BODY_BYTES} bytes")
    return ApiError(error.status, "refused", error.reason)


def dump(document: Json) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def json_response(document: Json, status: int = 200) -> web.Response:
    return web.Response(body=dump(document), status=status, content_type=JSON)
