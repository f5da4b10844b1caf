"""egress/web/obs.py, in the `web` child: OBS's configuration service."""

import http.client
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from common.config.settings import Listen, Settings, WebSettings
from common.ipc.control_messages import Configure
from egress.web.obs import servers_of
from tests.kit.egress import TEMPLATE
from tests.kit.egress_process import EgressProcess
from tests.kit.waiting import until

SETTINGS = Settings(templates=(TEMPLATE,), web=WebSettings(has_obs_config=True))


@pytest.mark.parametrize(
    ("given", "host", "servers"),
    [
        ("", "farm.example:8080", ["rtmps://farm.example:4443", "rtmp://farm.example:1935"]),
        ("", "[2001:db8::1]:8080", ["rtmps://[2001:db8::1]:4443", "rtmp://[2001:db8::1]:1935"]),
        ("", '"><script>', []),
        ("rtmp://other.example", "farm.example", ["rtmp://other.example"]),
        ("rtmp://other.example/x", "farm.example", []),
    ],
)
def test_publishers_are_sent_to_the_host_that_was_asked(
    given: str, host: str, servers: list[str]
) -> None:
    settings = replace(SETTINGS, listen_tls=Listen("0.0.0.0", 4443))
    assert servers_of(settings, given, host) == servers


def test_a_port_that_is_not_known_is_not_told() -> None:
    assert servers_of(replace(SETTINGS, listen=Listen(port=0)), "", "farm.example") == []


@pytest.fixture(scope="module")
def web() -> Iterator[EgressProcess]:
    with EgressProcess(SETTINGS, "--listen", "127.0.0.1:0", module="egress.web") as running:
        yield running


def ask(web: EgressProcess, method: str, target: str, body: str = "") -> tuple[int, str]:
    client = http.client.HTTPConnection(web.listen[0], timeout=10)
    client.request(method, target, body)
    response = client.getresponse()
    found = response.status, response.read().decode()
    client.close()
    return found


@pytest.mark.e2e
def test_it_is_asked_by_post_and_by_get(web: EgressProcess) -> None:
    status, body = ask(web, "GET", "/live/obs/config?fps=30&encoder=obs_x264")
    assert status == 200
    document = json.loads(body)
    assert document["encoder_configurations"][0]["type"] == "obs_x264"
    assert document["ingest_endpoints"][0]["url_template"] == (
        "rtmp://127.0.0.1:1935/live/{stream_key}"
    )
    rate = {"numerator": 30, "denominator": 1}
    canvas = {"width": 1280, "height": 720, "framerate": rate}
    status, body = ask(
        web, "POST", "/live/obs/config", json.dumps({"preferences": {"canvases": [canvas]}})
    )
    assert (status, json.loads(body)["status"]) == (200, {"result": "success"})
    assert ask(web, "POST", "/live/obs/config", "x")[0] == 400
    assert ask(web, "POST", "/live/obs/config", "x" * 100_000)[0] == 413
    status, body = ask(web, "GET", "/nothing/obs/config")
    assert json.loads(body)["status"]["result"] == "error"


@pytest.mark.e2e
def test_it_is_served_only_where_the_operator_says_so(web: EgressProcess) -> None:
    web.send(Configure(Settings(templates=(TEMPLATE,))))
    until(lambda: ask(web, "GET", "/live/obs/config")[0] == 404)
    web.send(Configure(SETTINGS))
    until(lambda: ask(web, "GET", "/live/obs/config")[0] == 200)
