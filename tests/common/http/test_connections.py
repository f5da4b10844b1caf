"""common/http/connections.py: what the log says of requests that cannot be read."""

import asyncio
import contextlib
import logging
import socket

import pytest
from aiohttp import web

from common.access.peer_address import Networks
from common.http.connections import HttpConnections
from tests.kit.waiting import DEADLINE_S

TARGET = b"/live/SECRET/720p.flv?key=SECRET"


async def answer_to(data: bytes, log: logging.Logger) -> bytes:
    """Send this to a server that logs there, and return the first line that it answers."""
    connections = HttpConnections(web.Application(), log)
    await connections.start()
    listener = socket.create_server(("127.0.0.1", 0))
    await connections.serve(listener)
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    try:
        writer.write(data)
        async with asyncio.timeout(DEADLINE_S):
            return await reader.readline()
    finally:
        writer.close()
        await connections.end()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"GET %b HTZ/1.1\r\n\r\n" % TARGET, "its first line cannot be read"),
        (b"GET %b%b HTTP/1.1\r\n\r\n" % (TARGET, b"a" * 9000), "too long"),
        (b"GET http://[%b HTTP/1.1\r\nHost: a\r\n\r\n" % TARGET, "its address cannot be read"),
        (b"GET %b\0 HTTP/1.1\r\nHost: a\r\n\r\n" % TARGET, "reason=400: "),
        (b"GET %b HTTP/1.1\r\nReferer: %b\x01\r\n\r\n" % (TARGET, TARGET), "reason=400: "),
        (b"GET %b HTTP/1.1\r\n%b\r\n\r\n" % (TARGET, TARGET), "reason=400: "),
        (b"GET %b HTTP/1.1\r\nX: %b\r\n\r\n" % (TARGET, b"SECRET" * 1500), "too long"),
        (b"GET %b HTTP/1.1\r\nContent-Length: -5\r\n\r\n" % TARGET, "reason=400: "),
    ],
)
def test_what_cannot_be_read_is_logged_without_its_bytes(
    data: bytes, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    log = logging.getLogger("tfarm.tests.http")
    with caplog.at_level(logging.WARNING, log.name):
        first = asyncio.run(answer_to(data, log))
    assert b" 400 " in first
    (line,) = (record.getMessage() for record in caplog.records if record.name == log.name)
    assert words in line
    assert "SECRET" not in line


async def answers_to_adopted(first: bytes, second: bytes) -> list[bytes]:
    """What is answered on one connection, of which the first request was read elsewhere."""

    async def say(request: web.Request) -> web.Response:
        was_passed = connections.on_request(request)
        return web.Response(text=f"{connections.peer_of(request)} {was_passed}\n")

    app = web.Application()
    app.router.add_get("/", say)
    connections = HttpConnections(app, logging.getLogger("tfarm.tests.http"))
    await connections.start()
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    found = []
    try:
        connections.adopt(theirs, "192.0.2.7:4711", first)
        async with asyncio.timeout(DEADLINE_S):
            found.append((await reader.readuntil(b"e\n")).splitlines()[-1])
            writer.write(second)
            found.append((await reader.readuntil(b"e\n")).splitlines()[-1])
    finally:
        writer.close()
        await connections.end()
    return found


def test_a_request_that_was_read_elsewhere_is_answered_and_the_connection_goes_on() -> None:
    request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    found = asyncio.run(answers_to_adopted(request, request))
    assert found == [b"192.0.2.7:4711 True", b"192.0.2.7:4711 False"]


async def surplus(hosts: list[str], most: int, exempt: Networks) -> list[bytes]:
    """What each of some connections gets that come one after the other; b"": it is closed."""

    async def say(request: web.Request) -> web.Response:
        connections.on_request(request)
        return web.Response()

    app = web.Application()
    app.router.add_get("/", say)
    connections = HttpConnections(app, logging.getLogger("tfarm.tests.http"))
    connections.max_connections, connections.exempt = most, exempt
    await connections.start()
    came, found = [], []
    try:
        async with asyncio.timeout(DEADLINE_S):
            for host in hosts:
                ours, theirs = socket.socketpair()
                came.append(await asyncio.open_connection(sock=ours))
                connections.adopt(theirs, f"{host}:4711")
                await asyncio.sleep(0)
            for reader, writer in came:
                writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                line = b""
                with contextlib.suppress(ConnectionError):
                    line = await reader.readline()
                found.append(line[9:12])
    finally:
        for _, writer in came:
            writer.close()
        await connections.end()
    return found


@pytest.mark.parametrize(
    ("hosts", "wanted"),
    [
        (["a", "a", "a"], [b"200", b"200", b"200"]),  # there is room
        (["a", "a", "a", "a"], [b"200", b"200", b"200", b"503"]),
        (["a", "a", "a", "b"], [b"", b"200", b"200", b"200"]),  # the oldest that asked nothing
        (["a", "a", "b", "c"], [b"", b"200", b"200", b"200"]),
        (["a", "b", "c", "d"], [b"200", b"200", b"200", b"503"]),
        (["x", "x", "x", "b"], [b"200", b"200", b"200", b"503"]),  # many come by an exempt one
        (["a", "a", "x", "x"], [b"", b"200", b"200", b"200"]),
    ],
)
def test_an_address_with_fewer_connections_gets_the_place_of_one_that_has_most(
    hosts: list[str], wanted: list[bytes]
) -> None:
    named = {"a": "192.0.2.1", "b": "192.0.2.2", "c": "192.0.2.3", "d": "2001:db8::1"}
    named["x"] = "198.51.100.1"
    exempt = Networks(("198.51.100.0/24",))
    assert asyncio.run(surplus([named[host] for host in hosts], 3, exempt)) == wanted
