"""The API as a process, asked by HTTP, under a supervisor that the test plays."""

import http.client
import re
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from common.access.keys import digest_of
from common.config.settings import ApiSettings, Settings
from common.ipc.command_messages import Answer
from common.process.log import stream_label
from tests.kit.api_process import ApiProcess, Response
from tests.kit.status_pages import farm_document, stream_row
from tests.kit.waiting import patient, until

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
        while time.monotonic() - began < patient(15):
            try:
                slow.sendall(b"y")
                time.sleep(0.5)
            except OSError:
                break
        assert silent.recv(1) == b""
        assert time.monotonic() - began > 3
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
    assert f"no HTTP yet address={where} again_s=10 reason=Address already in use" in api.log
    assert "api.listen" in api.log


def post(
    api: ApiProcess, path: str, body: bytes = b"", token: str = TOKEN, **more: str
) -> Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    headers |= {"Content-Type": "application/json"} | more
    return api.request("POST", path, headers=headers, body=body)


def test_a_change_is_a_command_of_the_supervisors(api: ApiProcess) -> None:
    api.commands.clear()
    done = post(api, f"/api/v1/streams/{stream_label('live/cam0')}/kick", b'{"for_s": 60}')
    assert (done.status, done.document) == (200, {"message": "done"})
    (command,) = api.commands
    assert (command.name, command.arguments) == (
        "kick",
        {"app": "live", "key": "cam0", "for_s": "60"},
    )


NEW = stream_label("live/new")


@pytest.mark.parametrize(
    ("method", "path", "body", "command"),
    [
        ("POST", f"/api/v1/streams/{NEW}/kick", b"", ("kick", {"app": "live", "key": "new"})),
        (
            "POST",
            "/api/v1/bans",
            b'{"target": "%s"}' % NEW.encode(),
            ("ban", {"target": "live/new", "for_s": "0", "reason": ""}),
        ),
        ("GET", f"/api/v1/streams/{NEW}", b"", None),
        ("GET", f"/api/v1/players?stream={NEW}", b"", None),
        ("GET", "/api/v1/devices/cpu:7", b"", None),
    ],
)
def test_what_is_there_since_a_moment_ago_can_be_named(
    api: ApiProcess, method: str, path: str, body: bytes, command: tuple[str, Any] | None
) -> None:
    """What was known before, and is given out for a second, has nothing of it."""
    before = api.document
    devices = list(before["devices"])
    later = farm_document([stream_row("live", "new")])
    api.commands.clear()
    assert post(api, "/api/v1/undrain").status == 200  # what is known is of now
    assert api.get("/api/v1/streams").status == 200
    api.document = later | {"devices": [*devices, devices[0] | {"name": "cpu:7"}]}
    try:
        found = api.request(
            method,
            path,
            headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
            body=body,
        )
        assert found.status == 200, found.body
        if command is not None:
            asked = api.commands[-1]
            assert (asked.name, asked.arguments) == command
    finally:
        api.document = before
        assert post(api, "/api/v1/undrain").status == 200


def test_a_change_without_a_good_token_never_reaches_the_supervisor(api: ApiProcess) -> None:
    api.commands.clear()
    for token in ("", "wrong-token-of-some-length"):
        assert post(api, "/api/v1/reload", token=token).status == 401
    assert api.commands == []


def test_a_refusal_of_the_supervisors_is_answered_with_its_words(api: ApiProcess) -> None:
    answer = api.answer
    api.answer = lambda command: Answer(command.request_id, False, "there is no device cpu:9")
    try:
        found = post(api, "/api/v1/devices/cpu:9/drain")
    finally:
        api.answer = answer
    assert (found.status, found.document["message"]) == (404, "there is no device cpu:9")


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{}", "text/plain", 415),
        (b'{"target": 5}', "application/json", 400),
        (b'{"target": "' + b"x" * 70_000 + b'"}', "application/json", 413),
    ],
)
def test_a_wrong_body_is_refused(api: ApiProcess, body: bytes, kind: str, status: int) -> None:
    api.commands.clear()
    found = post(api, "/api/v1/bans", body, **{"Content-Type": kind})
    assert found.status == status
    assert found.document["message"]
    assert api.commands == []


def test_nothing_is_done_while_no_supervisor_is_there(api: ApiProcess) -> None:
    """Nor later, when there is another one."""
    api.is_there = False
    api.commands.clear()
    try:
        until(lambda: not api.get("/healthz").document["is_supervised"], 10, "it is alone")
        found = post(api, "/api/v1/reload")
        assert (found.status, found.document["error"]) == (503, "no-supervisor")
    finally:
        api.is_there = True
    until(lambda: api.get("/api/v1/streams").document["is_current"], 10, "it is supervised again")
    assert api.commands == []


def test_metrics_are_given(api: ApiProcess) -> None:
    found = api.get("/metrics")
    assert found.status == 200
    assert found.headers["Content-Type"].startswith("text/plain")
    assert b'tfarm_streams{app="live",state="live"} 2.0' in found.body
    assert b"cam0" not in found.body


def test_the_page_may_run_its_own_script_and_nothing_else(api: ApiProcess) -> None:
    found = api.get("/")
    assert found.status == 200
    assert found.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = found.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    (script,) = re.findall(rb'<script type="module">(.*?)</script>', found.body, re.DOTALL)
    assert f"script-src 'sha256-{b64encode(sha256(script).digest()).decode()}';" in policy


def test_the_page_has_nothing_from_outside(api: ApiProcess) -> None:
    body = api.get("/").body.decode()
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:)""", body)
    assert not re.findall(r"https?://", body)
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", body)


def test_events_are_given_to_who_asks_again(api: ApiProcess) -> None:
    found = api.get("/api/v1/events?after=0&limit=5")
    assert found.status == 200
    assert api.get("/api/v1/events?after=x").status == 400
