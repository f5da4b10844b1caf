"""Bytes both ways between a TLS client and a Unix socket, within bounds, to the last word."""

import asyncio
import contextlib
import hashlib
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator

import pytest
import uvloop

from common.process.certificate_files import new_context
from ingest.tls import forwarding
from ingest.tls.forwarding import READ_BYTES, Forwarding
from tests.kit.certificates import Files, make, trusting
from tests.kit.waiting import patient, until

MIB = 1 << 20


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return make(tmp_path_factory.mktemp("tls"))


class Bridge:
    """A loop in a thread with one forwarding on it; the test has the two outer ends."""

    def __init__(self, files: Files) -> None:
        self.reasons: list[str] = []
        self.most_kept = 0
        self.closed = threading.Event()
        self._files = files
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._run()))

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        self._started.set()
        await self._over.wait()

    def open(self) -> tuple[ssl.SSLSocket, socket.socket]:
        self._thread.start()
        self._started.wait(5)
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            outer = socket.create_connection(listener.getsockname(), 5)
            accepted, _ = listener.accept()
        context = new_context(self._files.certificate, self._files.key)
        accepted.settimeout(5)
        shaking = threading.Thread(
            target=lambda: setattr(self, "inner", context.wrap_socket(accepted, server_side=True))
        )
        shaking.start()
        client = trusting(self._files).wrap_socket(outer, server_hostname="127.0.0.1")
        shaking.join()
        farm, here = socket.socketpair()
        farm.settimeout(5)
        for sock in (self.inner, here):
            sock.setblocking(False)

        def begin() -> None:
            self.forwarding = Forwarding(
                self.inner, here, memoryview(bytearray(READ_BYTES)), "h", "h:1", self._on_closed
            )

        self.call(begin)
        self._ends = (client, farm)
        return client, farm

    inner: ssl.SSLSocket

    def call(self, function: Callable[[], object]) -> None:
        done = threading.Event()

        def run() -> None:
            function()
            done.set()

        self._loop.call_soon_threadsafe(run)
        assert done.wait(5)

    def kept_bytes(self) -> int:
        one = self.forwarding
        return len(one._to_client) + len(one._to_farm)

    def _on_closed(self, one: Forwarding, reason: str) -> None:
        self.reasons.append(reason)
        self.closed.set()

    def end(self) -> None:
        if hasattr(self, "forwarding"):
            self.call(lambda: self.forwarding.close("the test is over"))
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(5)
        for sock in self._ends:
            sock.close()


@pytest.fixture
def bridge(files: Files) -> Iterator[Bridge]:
    bridge = Bridge(files)
    yield bridge
    bridge.end()


def digest_of(sock: socket.socket, size: int) -> str:
    digest = hashlib.sha256()
    while size:
        data = sock.recv(min(size, 1 << 18))
        assert data, f"{size} bytes are missing"
        digest.update(data)
        size -= len(data)
    return digest.hexdigest()


def test_megabytes_go_both_ways_at_once_and_arrive_whole(bridge: Bridge) -> None:
    client, farm = bridge.open()
    data = os.urandom(8 * MIB)
    expected = hashlib.sha256(data).hexdigest()
    found: dict[str, str] = {}
    work = [
        threading.Thread(target=farm.sendall, args=(data,)),
        threading.Thread(target=lambda: found.update(farm=digest_of(farm, len(data)))),
    ]
    for thread in work:
        thread.start()
    client.settimeout(0.5)  # one TLS socket is not for two threads: it sends and reads in turn
    sent, digest, missing = 0, hashlib.sha256(), len(data)
    while sent < len(data) or missing:
        if sent < len(data):
            sent += client.send(data[sent : sent + 16_000])
        for _ in range(4 if missing else 0):
            got = client.recv(16_384)
            digest.update(got)
            missing -= len(got)
            if not missing:
                break
    for thread in work:
        thread.join(10)
    assert digest.hexdigest() == expected
    assert found["farm"] == expected


@pytest.mark.parametrize("reader", ["client", "farm"])
def test_who_reads_nothing_holds_the_sender_back_and_little_is_kept(
    bridge: Bridge, reader: str
) -> None:
    client, farm = bridge.open()
    sender: socket.socket = farm if reader == "client" else client
    sender.settimeout(0.3)
    sent = 0
    with contextlib.suppress(TimeoutError, ssl.SSLWantWriteError):
        while sent < 64 * MIB:
            sent += sender.send(bytes(16_384))
    assert 0 < sent < 32 * MIB, "the kernel's buffers, and no more"
    assert bridge.kept_bytes() <= READ_BYTES
    sender.settimeout(5)
    receiver: socket.socket = client if reader == "client" else farm
    receiver.settimeout(5)
    digest_of(receiver, sent - 16_384)  # it goes on


def test_the_farms_last_words_arrive_though_the_client_still_sends(bridge: Bridge) -> None:
    client, farm = bridge.open()
    client.sendall(bytes(200_000))  # that nobody reads
    farm.sendall(b"refused: " + bytes(100_000))
    farm.close()
    data, has_ended = b"", False
    client.settimeout(0.2)

    def is_over() -> bool:
        nonlocal data, has_ended
        bridge.call(bridge.forwarding.look_again)  # a loop may not report a reset
        with contextlib.suppress(TimeoutError):
            part = client.recv(65_536)
            data, has_ended = data + part, not part
        with contextlib.suppress(OSError):
            client.send(bytes(1000))
        return has_ended

    until(is_over)
    assert len(data) == 100_009
    client.close()
    assert bridge.closed.wait(patient(5))
    assert bridge.reasons == [""]


@pytest.mark.parametrize("way", ["close", "unwrap", "reset"])
def test_the_clients_end_is_the_farms_with_all_that_came_before(bridge: Bridge, way: str) -> None:
    client, farm = bridge.open()
    client.sendall(b"x" * 10_000)
    assert digest_of(farm, 10_000)
    if way == "unwrap":
        with contextlib.suppress(OSError):
            client.settimeout(0.2)
            client.unwrap()
    elif way == "reset":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    if way == "reset":
        bridge.call(bridge.forwarding.look_again)  # a loop may not report it
    assert farm.recv(1) == b""
    farm.close()
    assert bridge.closed.wait(patient(5))


def test_a_client_that_takes_nothing_more_is_closed_when_the_farm_has_left_it(
    bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarding, "ENDING_S", 0.2)
    client, farm = bridge.open()
    farm.settimeout(0.3)
    with contextlib.suppress(TimeoutError):
        while True:
            farm.sendall(bytes(MIB))
    farm.close()
    bridge.call(bridge.forwarding.look_again)  # it reads nothing that it could not pass on
    assert bridge.closed.wait(patient(5))
    assert bridge.reasons == ["takes nothing of what is left for it"]
    client.settimeout(5)
    with contextlib.suppress(OSError):  # a reset, behind what it had taken before
        while client.recv(65_536):
            pass


def test_what_is_no_tls_any_more_ends_it(bridge: Bridge) -> None:
    client, farm = bridge.open()
    with socket.socket(fileno=os.dup(client.fileno())) as below:
        below.sendall(b"\x17\x03\x03\x00\x10" + bytes(16))
    assert farm.recv(1) == b""
    assert bridge.closed.wait(patient(5))
    assert bridge.reasons[0].startswith("TLS failed: ")
