"""common/http/request_heads.py: what is a whole head, and what is remembered of those that were."""

import asyncio
from unittest import mock

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser
from aiohttp.http_exceptions import HttpProcessingError
from hypothesis import given
from hypothesis import strategies as st

from common.http import request_heads
from common.http.request_heads import MAX_BLOCK, MAX_TARGET, KnownHeads, split

REST = b" HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "target"),
    [
        (b"GET /a/b?c=d" + REST, b"/a/b?c=d"),
        (b"GET / HTTP/1.1\r\n\r\n", b"/"),
        (b"GET /" + b"a" * (MAX_TARGET - 1) + REST, b"/" + b"a" * (MAX_TARGET - 1)),
        (b"GET /" + b"a" * MAX_TARGET + REST, None),
        (b"GET /a" + REST[:-4] + b"\r\nX: " + b"x" * MAX_BLOCK + b"\r\n\r\n", None),
        (b"", None),
        (b"GET /a" + REST[:-1], None),  # the end is to come
        (b"GET /a" + REST + b"GET /b" + REST, None),  # two
        (b"GET /a" + REST + b"G", None),
        (b"POST /a" + REST, None),
        (b"HEAD /a" + REST, None),
        (b"GET http://a/b" + REST, None),
        (b"GET /a b" + REST, None),
        (b"GET /a " + REST, None),
        (b"GET /\xe9" + REST, None),
        (b"GET /a HTTP/1.0\r\n\r\n", None),
        (b"\r\nGET /a" + REST, None),
        (b"GET /a" + REST.replace(b"\r\n", b"\n"), None),
    ],
)
def test_a_whole_head_of_a_get_is_taken_apart(data: bytes, target: bytes | None) -> None:
    found = split(data)
    assert (found[0] if found is not None else None) == target
    if found is not None:
        assert b"GET " + found[0] + found[1] == data


PIECES = (
    *(b"GET ", b"POST ", b"/a", b"/b?c=d", b" ", b" HTTP/1.1", b" HTTP/1.0", b"\r\n", b"\r\n\r\n"),
    *(b"Host: a", b"X: GET /a HTTP/1.1", b"Content-Length: 5", b"\n", b"\r", b"\0", b"z"),
)


@given(st.lists(st.sampled_from(PIECES), max_size=14).map(b"".join), st.booleans())
def test_what_aiohttp_reads_of_it_is_one_request_for_that_address(
    data: bytes, is_whole: bool
) -> None:
    data = b"GET /" + data + (REST if is_whole else b"")
    found = split(data)
    if found is None:
        return

    async def read() -> list[str]:
        loop = asyncio.get_running_loop()
        parser = HttpRequestParser(mock.create_autospec(BaseProtocol), loop, 2**16)
        messages, _, tail = parser.feed_data(data)
        assert not tail
        return [message.path for message, _ in messages]

    try:
        paths = asyncio.run(read())
    except HttpProcessingError:
        return  # it is none, and so never remembered
    assert [path.encode() for path in paths] == [found[0]]


def test_as_many_are_remembered_as_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_heads, "MAX_KNOWN", 2)
    known = KnownHeads()
    for block in (b"a", b"b", b"c"):
        known.add(block, b"lines of " + block)
    assert [known.find(block) for block in (b"a", b"b", b"c")] == [
        None,
        b"lines of b",
        b"lines of c",
    ]
    known.clear()
    assert known.find(b"c") is None
    assert len(known) == 0
