"""common/http/quick.py: which requests are answered without the application, and which are not."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Self

import pytest
from aiohttp import web

from common.http import connections as connections_module
from common.http.connections import HttpConnections
from common.http.quick import QuickAnswer, QuickRequests, QuickWait
from common.http.statuses import AnswerKind
from tests.kit.waiting import DEADLINE_S

OK = AnswerKind(200, {"Content-Type": "text/plain"})
BIG = 4 << 20  # more than a socket's buffers take
HOST = b"Host: a\r\n"


def get(target: str = "/a", headers: bytes = HOST) -> bytes:
    return b"GET %b HTTP/1.1\r\n%b\r\n" % (target.encode(), headers)


class Server:
    """One connection to a server whose quick answers say "quick", and others "full"."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[bool]] = []
        self.given_up = 0
        self.quick = QuickRequests(self._look, lambda origin: {"X-Origin": origin or "-"}, self._on)
        self.answered: list[int] = []
        app = web.Application()
        app.router.add_route("*", "/{name}", self._say)
        self.connections = HttpConnections(app, logging.getLogger("tfarm.tests.http"), self.quick)

    async def __aenter__(self) -> Self:
        await self.connections.start()
        ours, theirs = socket.socketpair()
        self.reader, self.writer = await asyncio.open_connection(sock=ours)
        self.connections.adopt(theirs, "192.0.2.7:4711")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        await self.connections.end()

    async def ask(self, *data: bytes) -> str:
        """Send this in so many pieces, each read for itself, and return what the answer says."""
        for piece in data:
            self.writer.write(piece)
            await self.turns()
        return await self.answer()

    async def answer(self) -> str:
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        body = await self.reader.readexactly(length)
        assert b"\r\nDate: " in head or b"\r\ndate: " in head.lower()
        return f"{head[9:12].decode()} {body.decode()[:20]}"

    @staticmethod
    async def turns() -> None:
        """Let whatever is there be read and answered."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def _say(self, request: web.Request) -> web.Response:
        self.connections.on_request(request)
        body = await request.read()
        return web.Response(text=f"full {request.path}{body.decode()}")

    def _look(self, target: str) -> QuickAnswer | QuickWait | None:
        if target == "/big":
            return QuickAnswer(OK, b"quick".ljust(BIG))
        if target == "/wait":
            waits = asyncio.get_running_loop().create_future()
            self.waiting.append(waits)
            return QuickWait(waits, self._then, self._give_up)
        return QuickAnswer(OK, b"quick " + target.encode()) if target == "/a" else None

    def _then(self, found: bool, /) -> QuickAnswer | None:
        return QuickAnswer(OK, b"quick after all") if found else None

    def _give_up(self) -> None:
        self.given_up += 1

    def _on(self, _: web.RequestHandler, answer: QuickAnswer) -> None:
        self.answered.append(len(answer.body))


def run(case: Callable[[Server], Awaitable[None]]) -> None:
    async def all_of_it() -> None:
        async with asyncio.timeout(DEADLINE_S), Server() as server:
            await case(server)

    asyncio.run(all_of_it())


FULL, QUICK = "200 full /a", "200 quick /a"


@pytest.mark.parametrize(
    ("pieces", "wanted"),
    [
        ([get()], QUICK),
        ([get("/b")], "200 full /b"),  # it is not looked for
        ([get(headers=b"Host: b\r\n")], FULL),  # another head
        ([get()[:9], get()[9:]], FULL),
        ([get()[:-2], get()[-2:]], FULL),
        ([b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"], "200 full /babc"),
        ([get().replace(b"GET", b"PUT")], FULL),
        ([get(headers=HOST + b"Content-Length: 3\r\n"), b"abc"], FULL + "abc"),
        ([get(headers=HOST + b"Connection: close\r\n")], FULL),
    ],
)
def test_only_what_was_read_before_is_answered_at_once(pieces: list[bytes], wanted: str) -> None:
    async def case(server: Server) -> None:
        assert await server.ask(get()) == FULL  # the first of a connection never is
        assert await server.ask(*pieces) == wanted
        assert server.answered == ([len("quick /a")] if wanted == QUICK else [])

    run(case)


@pytest.mark.parametrize(
    "head",
    [
        HOST + b"Connection: close\r\n",
        HOST + b"Content-Length: 0\r\n",
        HOST + b"Transfer-Encoding: chunked\r\n",
        HOST + b"Expect: 100-continue\r\n",
        HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    ],
)
def test_a_head_that_says_more_is_never_remembered(head: bytes) -> None:
    async def case(server: Server) -> None:
        server.writer.write(get(headers=head) + b"0\r\n\r\n" * (b"chunked" in head))
        await server.turns()
        assert len(server.quick.heads) == 0

    run(case)


def test_what_begins_inside_of_a_request_is_no_request() -> None:
    """A body, or the value of a header, may look like one."""

    async def case(server: Server) -> None:
        await server.ask(get())
        inside = get()
        head = b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(inside)
        assert (await server.ask(head, inside)).startswith("200 full /bGET /a")
        assert await server.ask(get()) == FULL  # from here on it is known where one begins
        assert await server.ask(get()) == QUICK
        assert await server.ask(b"GET /b HTTP/1.1\r\nX: ", inside) == "200 full /b"

    run(case)


def test_answers_have_the_headers_of_their_origin_until_they_are_others() -> None:
    async def case(server: Server) -> None:
        for origin in ("-", "https://a.example"):
            headers = HOST + (f"Origin: {origin}\r\n".encode() if origin != "-" else b"")
            await server.ask(get(headers=headers))
            server.writer.write(get(headers=headers))
            head = await server.reader.readuntil(b"\r\n\r\n")
            await server.reader.readexactly(len("quick /a"))
            assert b"\r\nX-Origin: %b\r\n" % origin.encode() in head
            assert b"\r\nServer: tfarm\r\n" in head
        server.quick.heads.clear()
        assert await server.ask(get()) == FULL
        assert await server.ask(get()) == QUICK

    run(case)


def test_an_answer_that_is_to_come() -> None:
    async def case(server: Server) -> None:
        await server.ask(get())
        server.writer.write(get("/wait"))
        await server.turns()
        (waits,) = server.waiting
        waits.set_result(True)
        assert await server.answer() == "200 quick after all"
        # what came of it is the application's to say
        server.writer.write(get("/wait"))
        await server.turns()
        server.waiting[1].set_result(False)
        assert await server.answer() == "200 full /wait"
        assert await server.ask(get()) == QUICK
        assert server.given_up == 0

    run(case)


def test_who_asks_for_more_meanwhile_is_answered_in_order() -> None:
    async def case(server: Server) -> None:
        await server.ask(get())
        server.writer.write(get("/wait"))
        await server.turns()
        server.writer.write(get())
        assert [await server.answer(), await server.answer()] == ["200 full /wait", FULL]
        assert server.given_up == 1
        assert await server.ask(get()) == QUICK

    run(case)


def test_who_leaves_meanwhile_does_not_wait_any_more() -> None:
    async def case(server: Server) -> None:
        await server.ask(get())
        server.writer.write(get("/wait"))
        await server.turns()
        server.writer.close()
        while not server.given_up:
            await asyncio.sleep(0.001)
        server.waiting[0].set_result(True)
        await server.turns()
        assert server.answered == []

    run(case)


def test_who_takes_nothing_has_one_answer_at_most() -> None:
    async def case(server: Server) -> None:
        await server.ask(get())
        for _ in range(5):
            server.writer.write(get("/big"))
            await server.turns()
        assert server.answered == [BIG]
        assert await server.answer() == "200 quick".ljust(24)
        assert [await server.answer() for _ in range(4)] == ["200 full /big"] * 4

    run(case)


def test_a_connection_stays_as_long_as_it_asks_or_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections_module, "KEEPALIVE_S", 0.05)

    async def case(server: Server) -> None:
        await server.ask(get())
        server.writer.write(get("/wait"))
        await asyncio.sleep(0.2)
        server.waiting[0].set_result(True)
        assert await server.answer() == "200 quick after all"
        assert await server.ask(get()) == QUICK
        assert await server.reader.read() == b"", "then it is closed"

    run(case)
