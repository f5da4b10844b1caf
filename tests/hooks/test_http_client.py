"""hooks/http_client.py against a server that is well, slow, gone or lying."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from hooks.http_client import Answer, HookFailed, HttpClient
from tests.kit.certificates import make
from tests.kit.hook_server import HookServer


@pytest.fixture
def server() -> Iterator[HookServer]:
    with HookServer() as running:
        yield running


def post(url: str, timeout_s: float = 5.0, ca_file: str = "") -> Answer:
    async def run() -> Answer:
        client = HttpClient()
        try:
            return await client.post(url, {"X-A": "1"}, b"{}", timeout_s, ca_file)
        finally:
            await client.close()

    return asyncio.run(run())


def why(url: str, timeout_s: float = 5.0, ca_file: str = "") -> str:
    with pytest.raises(HookFailed) as caught:
        post(url, timeout_s, ca_file)
    return str(caught.value)


def test_an_answer_comes_as_it_is(server: HookServer) -> None:
    server.answer = 200, b'{"allow": true}'
    assert post(server.url) == Answer(200, b'{"allow": true}')
    (request,) = server.requests
    assert (request.body, request.headers["X-A"]) == (b"{}", "1")


def test_a_redirection_is_an_answer_and_is_not_followed(server: HookServer) -> None:
    server.answer = 302, b""
    server.headers = {"Location": f"{server.url}elsewhere"}
    assert post(server.url).status == 302
    assert len(server.requests) == 1


def test_one_that_is_slow_is_given_up(server: HookServer) -> None:
    server.delay_s = 1.0
    assert why(server.url, 0.1) == "it did not answer within 0.1 s"


def test_one_that_sends_its_answer_slowly_for_ever_is_given_up(server: HookServer) -> None:
    server.answer, server.trickles = (200, b"{"), True
    assert "did not answer within" in why(server.url, 0.3)


def test_one_that_is_not_there_is_said_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert why(f"http://127.0.0.1:{port}/") == "it cannot be reached: Connection refused"


def test_too_much_is_not_read(server: HookServer) -> None:
    server.answer = 200, b"x" * 1_000_000
    assert why(server.url) == "its answer has more than 65536 bytes"


def test_one_that_is_no_http_is_said_so(server: HookServer) -> None:
    server.raw = b"SSH-2.0-OpenSSH_9.2\r\n"
    assert why(server.url).startswith("it breaks HTTP")


def test_headers_without_end_are_not_read(server: HookServer) -> None:
    server.raw = b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n"
    assert why(server.url).startswith("it breaks HTTP")


def test_a_plain_server_where_tls_was_configured_is_said_so(server: HookServer) -> None:
    assert "cannot be reached" in why(server.url.replace("http:", "https:"))


def test_certificates_that_cannot_be_read_are_said_so(server: HookServer) -> None:
    words = why(server.url.replace("http:", "https:"), ca_file="/nowhere.pem")
    assert "No such file" in words


def test_over_tls_the_certificate_must_be_one_that_is_trusted(tmp_path: Path) -> None:
    own, other = make(tmp_path / "own"), make(tmp_path / "other")
    with HookServer(own) as server:
        assert post(server.url, ca_file=str(own.certificate)) == Answer(204, b"")
        for ca_file in ("", str(other.certificate)):
            assert why(server.url, ca_file=ca_file).startswith("its certificate: ")
        assert len(server.requests) == 1, "nothing was sent to the others"
