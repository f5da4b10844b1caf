"""Requests that are answered without a task and a request object each (IO: aiohttp).

Such a request is a GET that comes in one piece, on a connection that has no other one under way.
Its headers are byte for byte those of a request that aiohttp has read, which said nothing but who
asks (`request_heads.py`). So only its address is read here. Everything else goes to aiohttp as it
came: other requests, what `QuickRequests` does not answer, what comes before an answer was taken.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import Any, Final, NamedTuple

from aiohttp import HttpVersion11, web
from aiohttp.http import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD

from common.http.request_heads import KnownHeads, split
from common.http.statuses import AnswerKind, header_lines

JOINED: Final = 8 * 1024  # bytes of a body that are sent in one piece with the head


class QuickAnswer(NamedTuple):
    """A whole answer."""

    kind: AnswerKind
    body: bytes
    route: str = ""  # of a refusal: the pattern of what was asked for, for the log


class QuickWait(NamedTuple):
    """An answer that is to come."""

    until: "asyncio.Future[bool]"
    # Called with what came of waiting; None: aiohttp gets the request after all.
    then: Callable[[bool], QuickAnswer | None]
    given_up: Callable[[], object]  # called in place of that: nobody waits any more


# Given the address of a GET; None: it is none of those that are answered here.
Look = Callable[[str], QuickAnswer | QuickWait | None]


class QuickRequests:
    """What is answered so, by one server."""

    def __init__(
        self,
        look: Look,
        own_headers: Callable[[str | None], Mapping[str, str]],
        on_answer: Callable[[web.RequestHandler, QuickAnswer], object],
    ) -> None:
        """`own_headers`: of every answer, by the Origin that was sent."""
        self.look = look
        self.heads = KnownHeads()
        self.on_answer = on_answer
        self._own_headers = own_headers

    def learn(self, block: bytes, origin: str | None) -> None:
        """Answer requests with this head from now on."""
        if self.heads.find(block) is None:
            self.heads.add(block, header_lines(self._own_headers(origin)))


class _Waiting(NamedTuple):
    """A request that waits."""

    data: bytes
    lines: bytes  # of its answer's own
    wait: QuickWait


class QuickHandler(web.RequestHandler):
    """A connection."""

    __slots__ = ("_is_between", "_quick", "_waits")

    def __init__(self, manager: web.Server, quick: QuickRequests, **how: Any) -> None:
        super().__init__(manager, **how)
        self._quick = quick
        self._is_between = False  # what comes next begins a request
        self._waits: _Waiting | None = None

    def data_received(self, data: bytes) -> None:
        if self._waits is not None:
            if data:
                self._give_up(self._waits)
                self._read(data)
        elif not (self._is_between and self._is_idle and self._answer(data)):
            self._read(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._waits is not None:
            waits, self._waits = self._waits, None
            waits.wait.given_up()
        super().connection_lost(exc)

    @property
    def _is_idle(self) -> bool:
        """Whether aiohttp waits for a request, and the client has taken what was sent before."""
        waiter = self._waiter
        return waiter is not None and not waiter.done() and not self._messages and not self._paused

    def _answer(self, data: bytes) -> bool:
        """Answer what came, or have it wait; False: it is aiohttp's."""
        found = split(data)
        lines = self._quick.heads.find(found[1]) if found is not None else None
        if found is None or lines is None:
            return False
        answer = self._quick.look(found[0].decode("ascii"))
        if answer is None:
            return False
        if isinstance(answer, QuickWait):
            self._waits = _Waiting(data, lines, answer)
            answer.until.add_done_callback(self._on_ready)
        else:
            self._send(answer, lines)
        return True

    def _on_ready(self, until: "asyncio.Future[bool]") -> None:
        waits = self._waits
        if waits is None or waits.wait.until is not until:
            return
        self._waits = None
        answer = waits.wait.then(not until.cancelled() and until.result())
        if answer is not None:
            self._send(answer, waits.lines)
        else:
            self._read(waits.data)

    def _give_up(self, waits: _Waiting) -> None:
        """Have aiohttp answer what waits: the client asks for more meanwhile."""
        self._waits = None
        waits.wait.given_up()
        self._read(waits.data)

    def _send(self, answer: QuickAnswer, lines: bytes) -> None:
        transport = self.transport
        if transport is None:
            return
        self._quick.on_answer(self, answer)
        kind, body, _ = answer
        head = b"%b%bContent-Length: %d\r\n%b" % (kind.lines, lines, len(body), _moment.line)
        if len(body) <= JOINED:
            transport.write(head + body)
        else:
            transport.writelines((head, body))
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout

    def _read(self, data: bytes) -> None:
        """Let aiohttp read what came, and note what that was."""
        count = self._request_count
        super().data_received(data)
        if not data:
            return
        self._is_between = False
        found = split(data)
        if found is None or self._request_count != count + 1 or not self._messages:
            return
        message, payload = self._messages[-1]
        if (
            payload is EMPTY_PAYLOAD
            and isinstance(message, RawRequestMessage)
            and _says_no_more(message)
        ):
            self._is_between = True
            self._quick.learn(found[1], message.headers.get("Origin"))

    def _process_keepalive(self) -> None:
        if self._waits is not None:
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        super()._process_keepalive()


def _says_no_more(message: RawRequestMessage) -> bool:
    """Whether a request has nothing that changes how it, or what follows, is to be read."""
    return (
        message.method == "GET"
        and message.version == HttpVersion11
        and not (message.should_close or message.upgrade or message.chunked)
        and message.headers.keys().isdisjoint(("Expect", "Content-Length", "Transfer-Encoding"))
    )


class _Moment:
    """The time as answers say it, made once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    @property
    def line(self) -> bytes:
        """The last header, and the end of a head."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._line = f"Date: {formatdate(second, usegmt=True)}\r\n\r\n".encode("ascii")
        return self._line


_moment: Final = _Moment()
