"""egress/http/responses.py: heads, chunks and ends, as an HTTP client reads them."""

import http.client
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress.http.responses import LAST_CHUNK, chunk, content, ending, head, unavailable
from tests.kit.mp4_reader import boxes


class Wire:
    """A socket that has the whole answer."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, *_: object, **__: object) -> io.BytesIO:
        return io.BytesIO(self._data)


def read(data: bytes) -> http.client.HTTPResponse:
    answer = http.client.HTTPResponse(Wire(data))  # type: ignore[arg-type]  # as it is used
    answer.begin()
    return answer


def test_a_head_names_the_codecs_and_a_body_in_chunks_has_an_end() -> None:
    start = head(("avc1.64001f", "mp4a.40.2"), is_chunked=True)
    answer = read(start + chunk(b"one") + chunk(b"two") + LAST_CHUNK)
    assert answer.getheader("Content-Type") == 'video/mp4; codecs="avc1.64001f, mp4a.40.2"'
    assert answer.getheader("Cache-Control") == "no-store"
    assert answer.read() == b"onetwo"


def test_without_its_last_chunk_a_body_is_broken_off() -> None:
    answer = read(head(("avc1.64001f",), is_chunked=True) + chunk(b"one"))
    with pytest.raises(http.client.IncompleteRead):
        answer.read()


def test_a_body_for_http_1_0_ends_with_its_connection() -> None:
    answer = read(head(("avc1.64001f",), is_chunked=False) + b"one")
    assert answer.getheader("Transfer-Encoding") is None
    assert answer.read() == b"one"


def test_what_is_not_there_is_said_in_json() -> None:
    answer = read(unavailable("no keyframe has come"))
    assert (answer.status, answer.getheader("Retry-After")) == (503, "1")
    assert json.loads(answer.read())["message"] == "no keyframe has come"


@given(st.binary(min_size=1, max_size=5_000))
def test_a_chunk_gives_back_what_is_in_it(data: bytes) -> None:
    assert content(chunk(data)) == data
    assert read(head((), is_chunked=True) + chunk(memoryview(data)) + LAST_CHUNK).read() == data


def test_the_last_box_is_one_that_players_pass_over() -> None:
    (box,) = boxes(ending("the stream has ended", is_over=True))
    assert box.kind == b"free"
    assert json.loads(box.content) == {"reason": "the stream has ended", "is_over": True}
