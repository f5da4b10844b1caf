"""api/live.py, by HTTP: who may watch, what the egress is told, what is said where it does not."""

import http.client
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from common.access.keys import digest_of
from common.config.settings import ApiSettings, Settings
from common.ipc.api_messages import WatchRequest
from tests.kit.api_process import ApiProcess
from tests.kit.status_pages import farm_document, stream_row
from tests.kit.viewer_egress import MOVIE, ViewerEgress

TOKEN = "a-token-of-some-length"
SETTINGS = Settings(api=ApiSettings(tokens=(digest_of(TOKEN),)))
OPEN = stream_row("live", "open")
CLOSED = stream_row("live", "closed", 1) | {"is_open_to_players": False, "is_key_secret": False}
DOCUMENT = farm_document([OPEN | {"is_key_secret": False}, CLOSED])
PATH = "/api/v1/streams/live/open/live.mp4"


@pytest.fixture(scope="module")
def egress() -> Iterator[ViewerEgress]:
    with ViewerEgress() as running:
        yield running


@pytest.fixture(scope="module")
def api(egress: ViewerEgress) -> Iterator[ApiProcess]:
    running = ApiProcess(SETTINGS, DOCUMENT)
    running.endpoints = (egress.endpoint,)
    with running:
        yield running


@pytest.mark.parametrize(
    ("query", "rendition", "has_sound"),
    [("", "source", True), ("?rendition=480p", "480p", True), ("?sound=no", "source", False)],
)
def test_the_egress_answers_on_the_connection(
    api: ApiProcess, egress: ViewerEgress, query: str, rendition: str, has_sound: bool
) -> None:
    answer = api.get(PATH + query)
    assert (answer.status, answer.body) == (200, MOVIE)
    assert answer.headers["Content-Type"] == 'video/mp4; codecs="avc1.64001f"'
    asked = egress.requests[-1]
    assert isinstance(asked, WatchRequest)
    assert (asked.stream_id, asked.rendition) == ("live/open", rendition)
    assert (asked.has_sound, asked.is_chunked) == (has_sound, True)
    assert asked.address.startswith("127.0.0.1:")


def test_one_of_http_1_0_gets_no_chunks(api: ApiProcess, egress: ViewerEgress) -> None:
    with closing(socket.create_connection(("127.0.0.1", api.port), 10)) as client:
        client.sendall(f"GET {PATH} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        got = b"".join(iter(lambda: client.recv(4096), b""))
    assert got.endswith(b"\r\n\r\n" + MOVIE)
    assert not egress.requests[-1].is_chunked


def test_a_connection_that_was_kept_alive_can_be_handed_over(api: ApiProcess) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=10)
    with closing(connection):
        connection.request("GET", "/healthz")
        assert connection.getresponse().read()
        connection.request("GET", PATH)
        assert connection.getresponse().read() == MOVIE


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/v1/streams/live/nobody/live.mp4", 404, "no-such-stream"),
        (f"{PATH}?rendition=1080p", 404, "no-such-rendition"),
        (f"{PATH}?sound=loud", 400, "bad-request"),
        (f"{PATH}?start=live", 400, "bad-request"),
        ("/api/v1/streams/live/closed/live.mp4", 401, "token-needed"),
    ],
)
def test_what_is_not_given_is_said_in_json_and_no_egress_is_asked(
    api: ApiProcess, egress: ViewerEgress, path: str, status: int, code: str
) -> None:
    before = len(egress.requests)
    answer = api.get(path)
    assert (answer.status, answer.document["error"]) == (status, code)
    assert len(egress.requests) == before


def test_who_gives_a_token_is_asked_for_no_play_key(api: ApiProcess, egress: ViewerEgress) -> None:
    assert api.get("/api/v1/streams/live/closed/live.mp4", TOKEN).body == MOVIE
    assert egress.requests[-1].stream_id == "live/closed"


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": "Bearer wrong"}, {"Host": "evil.example"}, {"Sec-Fetch-Site": "cross-site"}],
)
def test_who_may_not_read_does_not_watch(api: ApiProcess, headers: dict[str, str]) -> None:
    assert api.request("GET", PATH, headers=headers).status == 401


def test_an_egress_that_declines_is_quoted_and_the_connection_goes_on(
    api: ApiProcess, egress: ViewerEgress
) -> None:
    egress.declines = "50 watch already"
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=10)
    try:
        with closing(connection):
            connection.request("GET", PATH)
            answer = connection.getresponse()
            assert (answer.status, b"50 watch already" in answer.read()) == (503, True)
            connection.request("GET", "/healthz")
            assert connection.getresponse().status == 200
    finally:
        egress.declines = ""


def test_without_an_egress_it_is_said() -> None:
    with ApiProcess(SETTINGS, DOCUMENT) as api:
        answer = api.get(PATH)
        assert (answer.status, answer.document["error"]) == (503, "no-egress")
