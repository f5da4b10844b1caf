"""A real ingest process behind a proxy: whose connection it is stands in the PROXY protocol header.

The proxy is 127.0.0.2; nobody is exempt from the limits of an address.
"""

import socket
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from common.access.proxy_protocol import V2_BEGINS, header_v2
from common.ipc.control_messages import Heartbeat, PublishRequest
from common.rtmp.blocking_client import Prepare, RtmpPublisher, RtmpRefused
from tests.kit.ingest_process import SETTINGS, FarmAround, send_gop

pytestmark = pytest.mark.e2e

PROXY, STRANGER = "127.0.0.2", "127.0.0.3"
HERE = ("127.0.0.1", 1935)
LOCAL = V2_BEGINS + b"\x20\x00\x00\x00"
V1 = b"PROXY TCP4 203.0.113.7 127.0.0.1 40000 1935\r\n"


@pytest.fixture
def farm() -> Iterator[FarmAround]:
    limits = replace(
        SETTINGS.ingest,
        trusted_proxies=(f"{PROXY}/32",),
        exempt_networks=(),
        max_connections_per_address=2,
    )
    with FarmAround(replace(SETTINGS, ingest=limits)) as running:
        yield running
        log = running.log()
    assert "Traceback" not in log


def sent_first(data: bytes, *, piece: int = 4096, pause_s: float = 0.0) -> Prepare:
    def prepare(sock: socket.socket) -> socket.socket:
        for at in range(0, len(data), piece):
            sock.sendall(data[at : at + piece])
            time.sleep(pause_s)
        return sock

    return prepare


def publisher(farm: FarmAround, header: bytes, key: str = "cam", source: str = PROXY):
    return RtmpPublisher(farm.url(f"live/{key}"), 5, source=source, prepare=sent_first(header))


def asked(farm: FarmAround) -> PublishRequest:
    return farm.wait(lambda: farm.last(PublishRequest), "a publish request")


@pytest.mark.parametrize(
    ("header", "address"),
    [
        (V1, "203.0.113.7:40000"),
        (header_v2(("203.0.113.7", 40001), HERE), "203.0.113.7:40001"),
        (header_v2(("2001:db8::7", 40002), ("::1", 1935)), "[2001:db8::7]:40002"),
    ],
)
def test_a_publisher_has_the_address_that_a_trusted_proxy_says(
    farm: FarmAround, header: bytes, address: str
) -> None:
    with publisher(farm, header) as peer:
        send_gop(peer)
        assert asked(farm).address == address
    assert f"peer={address}" in farm.log() or f"address={address}" in farm.log()


@pytest.mark.parametrize("header", [LOCAL, b"PROXY UNKNOWN\r\n"])
def test_a_connection_of_the_proxys_own_has_its_address(farm: FarmAround, header: bytes) -> None:
    with publisher(farm, header):
        assert asked(farm).address.startswith(f"{PROXY}:")


@pytest.mark.parametrize("header", [V1, header_v2(("203.0.113.7", 40000), HERE)])
def test_a_header_in_pieces_is_waited_for(farm: FarmAround, header: bytes) -> None:
    prepare = sent_first(header, piece=5, pause_s=0.01)
    with RtmpPublisher(farm.url(), 5, source=PROXY, prepare=prepare):
        assert asked(farm).address == "203.0.113.7:40000"


def test_limits_of_an_address_count_the_clients_and_not_the_proxys(farm: FarmAround) -> None:
    clients = [header_v2((f"203.0.113.{n // 2}", 4000 + n), HERE) for n in range(8)]
    peers = [publisher(farm, header, f"cam{n}") for n, header in enumerate(clients)]
    try:
        for peer in peers:
            peer.connect()
        with pytest.raises((RtmpRefused, OSError)), publisher(farm, clients[0], "more"):
            pass
    finally:
        for peer in peers:
            peer.close()
    farm.wait_log("max_connections_per_address = 2 are open")
    assert "connection refused peer=203.0.113.0:4000 reason=" in farm.log()


@pytest.mark.parametrize("header", [V1, header_v2(("203.0.113.7", 40000), HERE)])
def test_a_header_from_others_is_refused_by_name(farm: FarmAround, header: bytes) -> None:
    with pytest.raises((RtmpRefused, OSError)), publisher(farm, header, source=STRANGER):
        pass
    farm.wait_log("ingest.trusted_proxies alone")
    assert f"peer={STRANGER}:" in farm.log()
    assert "203.0.113.7" not in farm.log()


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b"", "no PROXY protocol header; it is in ingest.trusted_proxies, and must send one"),
        (b"PROXY TCP4 203.0.113.7\r\n", "a broken PROXY protocol header (version 1)"),
        (V1 + V1, "this is a PROXY protocol header (version 1)"),  # a second one is the client's
        (V2_BEGINS + b"\x21\x11\xff\xff", "at most 4096"),
    ],
)
def test_a_proxy_without_a_good_header_is_refused_by_name(
    farm: FarmAround, header: bytes, words: str
) -> None:
    with pytest.raises((RtmpRefused, OSError)), publisher(farm, header):
        pass
    farm.wait_log(words)
    assert not farm.of(PublishRequest)


def test_health_checks_say_nothing_and_a_header_that_never_comes_is_named(farm: FarmAround) -> None:
    for _ in range(3):
        socket.create_connection(("127.0.0.1", farm.port), 5, (PROXY, 0)).close()
    with socket.create_connection(("127.0.0.1", farm.port), 5, (PROXY, 0)) as silent:
        silent.sendall(V1[:9])
        silent.settimeout(5)
        assert silent.recv(1) == b""
    farm.wait_log("no whole PROXY protocol header within 3 s")
    assert farm.log().count("PROXY protocol") == 1
    beat = farm.wait(lambda: farm.last(Heartbeat), "a heartbeat")
    assert beat.counters["connections"] == 0
