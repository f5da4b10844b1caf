"""The `web` child as a process: what is asked by HTTP that no stream has to do with."""

import http.client
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from common.config.settings import Settings, WebSettings
from common.ipc.control_messages import Configure
from tests.kit.egress import TEMPLATE
from tests.kit.egress_process import EgressProcess
from tests.kit.waiting import until

pytestmark = pytest.mark.e2e

SITE = "https://site.example"
SETTINGS = Settings(templates=(TEMPLATE,), web=WebSettings(cors_origins=(SITE,)))


@pytest.fixture(scope="module")
def web() -> Iterator[EgressProcess]:
    with EgressProcess(SETTINGS, "--listen", "127.0.0.1:0", module="egress.web") as running:
        yield running


def ask(
    web: EgressProcess, method: str, target: str, **headers: str
) -> tuple[http.client.HTTPResponse, str]:
    client = http.client.HTTPConnection(web.listen[0], timeout=10)
    client.request(method, target, headers=headers)
    response = client.getresponse()
    body = response.read().decode()
    client.close()
    return response, body


@pytest.mark.parametrize(
    ("method", "target", "status", "words"),
    [
        ("GET", "/", 404, "nothing at this address"),
        ("GET", "/live/cam/720p.avi", 404, "nothing at this address"),
        ("GET", "/../../etc/passwd", 404, "nothing at this address"),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", 404, "nothing at this address"),
        ("GET", "/" + "a" * 3000, 414, "at most 2048 bytes"),
        ("GET", "/live/cam?key=" + "a" * 3000, 414, "at most 2048 bytes"),
        ("OPTIONS", "/live/cam/whatever", 204, ""),
        ("HEAD", "/live/cam1/720p.flv", 405, ""),
        ("HEAD", "/live/cam1.flv", 405, ""),
        ("POST", "/live/cam/720p/whep", 415, "application/sdp"),
        ("POST", "/live/cam/a%20b/whep", 415, "application/sdp"),
        ("PATCH", "/live/cam/720p/whep/session", 405, "has all candidates"),
        ("DELETE", "/live/cam/720p/whep/session", 503, "WebRTC does not run here"),
    ],
)
def test_what_is_not_granted_gets_a_status_and_words(
    web: EgressProcess, method: str, target: str, status: int, words: str
) -> None:
    response, body = ask(web, method, target, Origin=SITE)
    assert (response.status, words in body) == (status, True), body
    assert response.headers["Access-Control-Allow-Origin"] == SITE
    assert response.headers["Cache-Control"] == "no-store"
    assert "Server" not in response.headers or "aiohttp" not in response.headers["Server"]


def test_pages_of_other_sites_read_nothing(web: EgressProcess) -> None:
    response, _ = ask(web, "GET", "/", Origin="https://other.example")
    assert "Access-Control-Allow-Origin" not in response.headers
    assert response.headers["Vary"] == "Origin"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),  # TLS
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"\x03" + bytes(1536),  # RTMP
    ],
    ids=["tls", "long header", "bad length", "rtmp"],
)
def test_what_is_no_request_is_told_so_and_closed(web: EgressProcess, request_bytes: bytes) -> None:
    host, _, port = web.listen[0].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(request_bytes)
        answer = client.recv(65536)
        assert answer.split(b" ")[1] == b"400", answer


def test_more_connections_than_there_may_be_are_told_so_and_others_go_on(
    web: EgressProcess,
) -> None:
    """Those that ask nothing hold their place for seconds only; memory is bounded by the limit."""
    host, _, port = web.listen[0].rpartition(":")
    few = replace(SETTINGS, web=replace(SETTINGS.web, max_connections=20))
    web.send(Configure(few))
    clients: list[socket.socket] = []
    try:

        def has_refused() -> bool:
            clients.append(socket.create_connection((host, int(port)), timeout=0.2))
            try:
                answer = clients[-1].recv(65536)
            except TimeoutError:
                return False
            assert answer.startswith(b"HTTP/1.1 503 "), answer
            assert b"Retry-After: " in answer
            return True

        until(has_refused, 30, "one too many is told so", every=0.0)
        assert len(clients) <= 60
        until(lambda: ask_again(web), 30, "those who ask nothing are closed", every=0.3)
    finally:
        web.send(Configure(SETTINGS))
        for client in clients:
            client.close()


def ask_again(web: EgressProcess) -> bool:
    try:
        return ask(web, "GET", "/")[0].status == 404
    except (http.client.HTTPException, OSError):
        return False
