"""The page's addresses, of the `web` child as a process."""

import gzip
import http.client
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from common.access.keys import digest_of
from common.config.settings import Settings
from egress.web.player_files import FOREVER, PlayerFiles
from tests.kit.egress import TEMPLATE
from tests.kit.egress_process import EgressProcess

pytestmark = pytest.mark.e2e

SETTINGS = Settings(
    templates=(TEMPLATE, replace(TEMPLATE, name="keyed", play_keys=(digest_of("s3cret"),))),
)
VERSION = PlayerFiles().version


@pytest.fixture(scope="module")
def web() -> Iterator[EgressProcess]:
    with EgressProcess(SETTINGS, "--listen", "127.0.0.1:0", module="egress.web") as running:
        yield running


def ask(
    web: EgressProcess, target: str, method: str = "GET", **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    client = http.client.HTTPConnection(web.listen[0], timeout=10)
    client.request(method, target, headers=headers)
    response = client.getresponse()
    body = response.read()
    client.close()
    return response, body


@pytest.mark.parametrize(
    ("target", "way"),
    [("/play/live/cam1?key=k", "../../"), ("/play/live/cam1/720p", "../../../")],
)
def test_the_page_is_given_to_everybody_and_loads_nothing_from_elsewhere(
    web: EgressProcess, target: str, way: str
) -> None:
    response, body = ask(web, target)
    assert response.status == 200
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert f'src="{way}player/{VERSION}/page.mjs"' in body.decode()
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert "X-Frame-Options" not in response.headers
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["Cache-Control"] == "no-cache"
    response, body = ask(web, target, "HEAD")
    assert (response.status, body) == (200, b"")


def test_its_files_may_be_kept_for_good_and_come_compressed(web: EgressProcess) -> None:
    target = f"/player/{VERSION}/page.mjs"
    response, plain = ask(web, target)
    assert response.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert response.headers["Cache-Control"] == FOREVER
    response, packed = ask(web, target, **{"Accept-Encoding": "gzip, deflate"})
    assert response.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed) == plain
    assert response.headers["Vary"].startswith("Accept-Encoding")  # and Origin
    response, _ = ask(web, "/player/0000000000000000/page.mjs")
    assert (response.status, response.headers["Cache-Control"]) == (200, "no-store")


@pytest.mark.parametrize(
    "target",
    [
        f"/player/{VERSION}/page.html",
        f"/player/{VERSION}/..%2Fpage.py",
        f"/player/{VERSION}/%2e%2e/page.py",
        f"/player/{VERSION}/",
        "/player/page.mjs",
        "/play/live",
    ],
)
def test_there_is_nothing_else(web: EgressProcess, target: str) -> None:
    assert ask(web, target)[0].status == 404


@pytest.mark.parametrize(
    ("target", "status", "words"),
    [
        ("/play/live/cam1/stream.json", 404, "nobody publishes this stream"),
        ("/play/other/cam1/stream.json", 404, "there is no app other"),
        ("/play/keyed/cam1/stream.json", 403, "key"),
        ("/play/keyed/cam1/stream.json?key=wrong", 403, "key"),
        ("/play/keyed/cam1/stream.json?key=s3cret", 404, "nobody publishes this stream"),
    ],
)
def test_what_is_not_to_be_had_is_said_in_words(
    web: EgressProcess, target: str, status: int, words: str
) -> None:
    response, body = ask(web, target)
    assert response.status == status
    assert words in body.decode()
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)
