"""The API as a process, asked by HTTP, under a supervisor that the test plays."""

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from common.access.keys import digest_of
from common.config.settings import ApiSettings, Settings
from common.process.log import stream_label
from tests.kit.api_process import ApiProcess
from tests.kit.status_pages import farm_document, stream_row
from tests.kit.waiting import until

TOKEN = "a-token-of-some-length"
SETTINGS = Settings(api=ApiSettings(tokens=(digest_of(TOKEN),)))
DOCUMENT = farm_document([stream_row("live", "cam0"), stream_row("live", "cam1", 1)])


@pytest.fixture(scope="module")
def api() -> Iterator[ApiProcess]:
    with ApiProcess(SETTINGS, DOCUMENT) as running:
        yield running


def test_it_says_where_it_listens(api: ApiProcess) -> None:
    assert api.addresses is not None
    assert [address.rpartition(":")[0] for address in api.addresses] == ["127.0.0.1"]


def test_probes_answer(api: ApiProcess) -> None:
    health = api.get("/healthz")
    assert (health.status, health.document["is_supervised"]) == (200, True)
    ready = api.get("/readyz")
    assert (ready.status, ready.document) == (200, {"is_ready": True, "reasons": []})


def test_a_list_and_an_entry_of_it(api: ApiProcess) -> None:
    found = api.get("/api/v1/streams").document
    assert found["is_current"]
    assert [stream["id"] for stream in found["streams"]] == [
        stream_label("live/cam0"),
        stream_label("live/cam1"),
    ]
    assert [stream["key"] for stream in found["streams"]] == [None, None]
    named = stream_label("live/cam1")
    assert api.get(f"/api/v1/streams/{named}").document["stream"] == found["streams"][1]


def test_keys_are_for_those_with_a_token(api: ApiProcess) -> None:
    found = api.get("/api/v1/streams", TOKEN).document["streams"]
    assert [stream["key"] for stream in found] == ["cam0", "cam1"]
    assert api.get("/api/v1/streams/live/cam0", TOKEN).status == 200
    assert api.get("/api/v1/streams/live/cam0").status == 404


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/v1/streams/live/nobody", 404, "no-such-stream"),
        ("/api/v1/streams/live", 404, "no-such-path"),
        ("/api/v1/nothing", 404, "no-such-path"),
        ("/api/v1/streams?apps=live", 400, "bad-request"),
        ("/api/v1/streams?app=", 400, "bad-request"),
        ("/api/v1/streams/live/%00%0a", 404, "no-such-stream"),
        ("/api/v1/streams/..%2f..%2fetc/passwd", 404, "no-such-stream"),
        ("/%ff%fe", 404, "no-such-path"),
    ],
)
def test_what_is_not_there_is_said_in_json(
    api: ApiProcess, path: str, status: int, code: str
) -> None:
    found = api.get(path)
    assert (found.status, found.document["error"]) == (status, code)
    assert found.headers["Content-Type"].startswith("application/json")


def test_another_method_is_refused_and_the_right_ones_are_named(api: ApiProcess) -> None:
    found = api.request("POST", "/api/v1/status", headers={"Authorization": f"Bearer {TOKEN}"})
    assert (found.status, found.document["error"]) == (405, "method-not-allowed")
    assert "GET" in found.headers["Allow"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic dXNlcjpwYXNz"},
        {"Host": "evil.example:9180"},
        {"X-Forwarded-For": "192.0.2.1"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_who_may_not_read_gets_nothing_of_the_farm(
    api: ApiProcess, headers: dict[str, str]
) -> None:
    found = api.request("GET", "/api/v1/streams", headers=headers)
    assert found.status == 401
    assert found.headers["WWW-Authenticate"].startswith("Bearer")
    assert b"live" not in found.body
    assert api.request("GET", "/healthz", headers=headers).status == 200


def test_no_other_site_is_let_read_an_answer(api: ApiProcess) -> None:
    found = api.get("/api/v1/status", Origin="http://evil.example")
    assert "Access-Control-Allow-Origin" not in found.headers
    assert found.headers["X-Content-Type-Options"] == "nosniff"
    assert found.headers["Cache-Control"] == "no-store"


def test_the_supervisor_is_asked_once_a_second_whoever_asks(api: ApiProcess) -> None:
    before, began = api.asked, time.monotonic()

    def ask() -> None:
        for _ in range(25):
            assert api.get("/api/v1/status").status == 200

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert api.asked - before <= time.monotonic() - began + 1


def test_nobody_who_asks_means_no_question(api: ApiProcess) -> None:
    time.sleep(0.3)
    before = api.asked
    time.sleep(1.5)
    assert api.asked == before


def test_tokens_change_while_it_runs(api: ApiProcess) -> None:
    other = "another-token-of-some"
    assert api.get("/api/v1/status", other).status == 401
    api.configure(replace(SETTINGS, api=ApiSettings(tokens=(digest_of(other),))))
    try:
        until(lambda: api.get("/api/v1/status", other).status == 200, 5, "the new token is good")
        assert api.get("/api/v1/status", TOKEN).status == 401
    finally:
        api.configure(SETTINGS)
        until(lambda: api.get("/api/v1/status", TOKEN).status == 200, 5, "the old token is good")


def test_without_its_supervisor_it_gives_what_was_known_and_says_so(api: ApiProcess) -> None:
    assert api.get("/api/v1/streams").document["is_current"]
    api.is_there = False
    try:
        until(lambda: not api.get("/healthz").document["is_supervised"], 10, "it is alone")
        found = api.get("/api/v1/streams")
        assert (found.status, found.document["is_current"]) == (200, False)
        assert len(found.document["streams"]) == 2
        ready = api.get("/readyz")
        assert (ready.status, ready.document["reasons"]) == (503, ["no supervisor answers"])
    finally:
        api.replace_supervisor()
        api.is_there = True
    until(lambda: api.get("/api/v1/streams").document["is_current"], 10, "it is supervised again")


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\x01\x02\x03" * 64,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,  # TLS
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET " + b"/" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x03" + b"\x00" * 1536,  # RTMP
    ],
    ids=["nulls", "TLS", "length", "long path", "long header", "no host", "RTMP"],
)
def test_what_is_no_request_costs_its_own_connection(api: ApiProcess, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", api.port), timeout=10) as peer:
        peer.sendall(sent)
        peer.shutdown(socket.SHUT_WR)
        while peer.recv(65536):
            pass
    assert api.get("/healthz").status == 200


def test_who_sends_no_request_is_closed(api: ApiProcess) -> None:
    with (
        socket.create_connection(("127.0.0.1", api.port), timeout=15) as silent,
        socket.create_connection(("127.0.0.1", api.port), timeout=15) as slow,
    ):
        began = time.monotonic()
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ")
        while time.monotonic() - began < 15:
            try:
                slow.sendall(b"y")
                time.sleep(0.5)
            except OSError:
                break
        assert silent.recv(1) == b""
        assert 3 < time.monotonic() - began < 12
    assert api.get("/healthz").status == 200


def test_connections_are_bounded() -> None:
    settings = replace(SETTINGS, api=replace(SETTINGS.api, max_connections=3))
    with ApiProcess(settings, DOCUMENT) as api:
        kept = []
        for _ in range(3):
            connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=10)
            connection.request("GET", "/healthz")
            assert connection.getresponse().read()
            kept.append(connection)
        refused = api.get("/healthz")
        assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
        for connection in kept:
            connection.close()
        until(lambda: api.get("/healthz").status == 200, 5, "there is room again")


def test_an_address_in_use_is_said_and_ends_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        with ApiProcess(SETTINGS, DOCUMENT, where) as api:
            assert api.addresses == ()
    assert f"no API at address={where} reason=Address already in use" in api.log
    assert "api.listen" in api.log
