"""deploy/nginx.conf before a real farm: what is cached, and what goes through."""

import http.client
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urljoin

import pytest

from common.flv.tag import FlvReader
from tests.kit.certificates import make, trusting
from tests.kit.clients import Publisher
from tests.kit.clips import ClipSpec
from tests.kit.farm import WEB_CONFIG, Farm
from tests.kit.needs import needs_program
from tests.kit.waiting import until

pytestmark = [pytest.mark.e2e, needs_program("nginx")]

MakeClip = Callable[[ClipSpec], Path]
CONFIG = Path(__file__).parents[2] / "deploy" / "nginx.conf"
# A viewer's wait for a publisher ends before nginx gives up.
FARM = WEB_CONFIG.replace('wait = "30s"', 'wait = "5s"') + (
    'trusted_proxies = ["127.0.0.1/32"]\nprocesses = 2\n'
)


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with Farm(FARM) as running:
        yield running


@pytest.fixture(scope="module")
def nginx(farm: Farm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of nginx, with the file as it is but for addresses and paths."""
    folder = tmp_path_factory.mktemp("nginx")
    files = make(folder)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    (upstream,) = farm.status()["listen"]["web"]
    text = CONFIG.read_text()
    for pattern, value in (
        (r"listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        (r"server 127\.0\.0\.1:8080", f"server {upstream}"),
        (r"/var/cache/nginx/tfarm", f"{folder}/cache"),
        (r"/etc/ssl/farm\.example\.pem", str(files.certificate)),
        (r"/etc/ssl/farm\.example\.key", str(files.key)),
    ):
        text, count = re.subn(pattern, value, text)
        assert count == 1, pattern
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "main.conf").write_text(
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n"
        f"user root;\nevents {{}}\nhttp {{\n{temporary}{text}\n}}\n"
    )
    command = ["nginx", "-p", str(folder), "-e", f"{folder}/early.log", "-c", f"{folder}/main.conf"]
    subprocess.run([*command, "-t"], check=True, capture_output=True, timeout=30)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: can_connect(port), 10, "nginx listens")
        yield port
    finally:
        process.terminate()
        process.wait(10)


def can_connect(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def get(port: int, target: str) -> tuple[http.client.HTTPResponse, bytes]:
    client = http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=trusting())
    client.request("GET", target, headers={"Origin": "https://site.example"})
    response = client.getresponse()
    body = response.read()
    client.close()
    return response, body


def uris(playlist: bytes) -> list[str]:
    """What a playlist names, but for gaps."""
    found, is_gap = [], False
    for line in playlist.decode().splitlines():
        if line == "#EXT-X-GAP":
            is_gap = True
        elif line and not line.startswith("#"):
            if not is_gap:
                found.append(line)
            is_gap = False
    return found


def test_segments_are_fetched_once_playlists_go_through_and_flv_comes_as_it_is(
    farm: Farm, nginx: int, clip: MakeClip
) -> None:
    with Publisher(farm.url("cam"), clip(ClipSpec(seconds=8.0)), loop=True):
        farm.wait_stream("cam")
        response, first = get(nginx, "/live/cam/index.m3u8")
        assert response.status == 200, first
        assert response.headers["Cache-Control"] == "no-cache"
        media = next(uri for uri in uris(first) if "240p" in uri)
        _, second = get(nginx, "/live/cam/index.m3u8")
        assert uris(first) != uris(second), "each viewer has a playlist of his own"

        found: list[str] = []

        def has_segment() -> bool:
            response, playlist = get(nginx, f"/live/cam/{media}")
            assert response.status == 200, playlist
            found[:] = uris(playlist)
            return bool(found)

        until(has_segment, 20, "a segment is there", every=0.3)
        segment = urljoin(f"/live/cam/{media}", found[-1])
        kinds, bodies = [], set()
        for target in (segment, segment, segment.partition("?")[0] + "?session=another"):
            response, body = get(nginx, target)
            assert response.status == 200, (target, body)
            kinds.append(response.headers["X-Cache-Status"])
            bodies.add(body)
            assert response.headers.get_all("Access-Control-Allow-Origin") == ["*"]
        assert kinds == ["MISS", "HIT", "HIT"]
        assert len(bodies) == 1

        assert flv_pictures(nginx, "/live/cam/240p.flv", 10) >= 10
        until(lambda: "protocol=http-flv" in farm.log(), 5, "it is logged")
        response, body = get(nginx, "/live/nobody/index.m3u8?x=1")
        assert response.status == 404, body


def flv_pictures(port: int, target: str, count: int) -> int:
    """Watch HTTP-FLV until so many pictures have come; how many have in time."""
    client = http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=trusting())
    client.request("GET", target)
    response = client.getresponse()
    assert response.status == 200
    reader, pictures, until_s = FlvReader(), 0, time.monotonic() + 20
    while pictures < count and time.monotonic() < until_s:
        reader.feed(response.read1(65536))
        for tag in iter(reader.next, None):
            pictures += tag.type == 9
    response.close()  # it has the socket, as its end is the connection's
    client.close()
    return pictures
