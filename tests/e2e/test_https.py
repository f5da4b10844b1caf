"""Viewers with TLS of a real farm: as without it, and with a renewed certificate."""

import http.client
import os
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.flv.tag import FlvReader
from tests.kit.certificates import Files, make, shown, trusting
from tests.kit.clients import Publisher
from tests.kit.clips import ClipSpec
from tests.kit.farm import DEFAULT_CONFIG, Farm
from tests.kit.waiting import until

pytestmark = pytest.mark.e2e

MakeClip = Callable[[ClipSpec], Path]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return make(tmp_path_factory.mktemp("https"))


@pytest.fixture(scope="module")
def farm(files: Files) -> Iterator[Farm]:
    listen = '"127.0.0.1:0"\nhttp = "127.0.0.1:0"\nhttps = "127.0.0.1:0"\n'
    config = DEFAULT_CONFIG.replace('"127.0.0.1:0"\n', listen, 1)
    tls = f'[tls]\ncertificate = "{files.certificate}"\nkey = "{files.key}"\n'
    with Farm(f"{config}\n[web]\nenabled = true\n{tls}") as running:
        yield running


def port_of(farm: Farm) -> int:
    (found,) = farm.status()["listen"]["https"]
    return int(found.rpartition(":")[2])


def watch(port: int, context: ssl.SSLContext, target: str, pictures: int) -> None:
    """Watch HTTP-FLV with TLS until so many pictures have come."""
    reader, seen = FlvReader(), 0
    with (
        socket.create_connection(("127.0.0.1", port), timeout=15) as tcp,
        context.wrap_socket(tcp, server_hostname="localhost") as tls,
    ):
        tls.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head, _, body = tls.recv(65536).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK"), head
        reader.feed(body)
        while seen < pictures:
            seen += sum(tag.type == 9 for tag in iter(reader.next, None))
            if seen < pictures:
                data = tls.recv(65536)
                assert data, "it goes on"
                reader.feed(data)


def test_a_viewer_with_tls_gets_what_one_without_gets(
    farm: Farm, files: Files, clip: MakeClip
) -> None:
    port, context = port_of(farm), trusting(files)
    client = http.client.HTTPSConnection("localhost", port, timeout=10, context=context)
    for _ in range(2):  # on one connection
        client.request("GET", "/live/cam/720p.avi")
        response = client.getresponse()
        assert (response.status, response.read()) == (404, b"there is nothing at this address\n")
    client.close()
    with Publisher(farm.url("cam"), clip(ClipSpec(seconds=8.0)), loop=True):
        farm.wait_stream("cam")
        watch(port, context, "/live/cam/240p.flv", 20)
        assert "player open address=127.0.0.1:" in farm.log()
    until(lambda: farm.child("https")["counters"]["handshakes"] >= 2, 10, "both are counted")


def test_a_renewed_certificate_is_shown_without_a_restart_and_a_dead_process_comes_back(
    farm: Farm, files: Files
) -> None:
    port, before = port_of(farm), farm.child("https")["pid"]
    assert shown(port, trusting(files)) == files.der()
    other = make(files.key.parent, "renewed")
    files.replace(other)
    until(lambda: shown(port) == other.der(), 30, "the new one is shown")
    assert farm.child("https")["pid"] == before
    os.kill(before, signal.SIGKILL)
    until(lambda: farm.child("https")["restarts"] == 1, 15, "it is started again")
    until(lambda: farm.child("https")["state"] == "ready", 15, "it is ready")
    assert port_of(farm) == port
