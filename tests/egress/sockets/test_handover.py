"""egress/sockets/handover.py: the receiver's half, with the real sender and with bad ones."""

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import pytest

from common.ipc import farm_socket
from common.ipc.control_messages import Endpoint
from common.ipc.farm_socket import MAX_UNKNOWN
from common.ipc.identity import BootId, ChildId
from common.ipc.socket_handover import (
    DECLINED,
    HEADER,
    MAGIC,
    PIECE_BYTES,
    HandoverAck,
    HandoverClient,
)
from egress.sockets.handover import HandoverServer
from tests.kit.waiting import patient

Adopted = list[tuple[socket.socket, bytes]]


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a real TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    with ours, theirs:
        yield ours, theirs


def running(*ingests: int) -> Sequence[Endpoint]:
    """Ingests with these processes, and a worker."""
    worker = Endpoint(ChildId("worker"), BootId("b"), pid=2)
    return [*(Endpoint(ChildId("ingest"), BootId("b"), pid=pid) for pid in ingests), worker]


def run(
    path: Path,
    scenario: Callable[[str, Adopted], Awaitable[None]],
    refusal: str | None = None,
    ingest: int = os.getpid(),
) -> Adopted:
    adopted: Adopted = []

    def adopt(tcp: socket.socket, snapshot: bytes) -> str | None:
        if refusal is None:
            adopted.append((tcp, snapshot))
        return refusal

    async def main() -> None:
        server = HandoverServer(str(path / "handover"), adopt, "handover")
        server.follow(running(ingest))
        try:
            async with asyncio.timeout(10):
                await scenario(str(path / "handover"), adopted)
        finally:
            server.close()

    asyncio.run(main())
    assert not (path / "handover").exists()
    return adopted


async def answer_to(path: str, data: bytes, descriptors: list[int]) -> bytes:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link:
        link.connect(path)
        socket.send_fds(link, [data], descriptors)
        link.setblocking(False)
        return await loop.sock_recv(link, 1000)


def test_many_handovers_at_once_each_bring_their_own_socket(
    tmp_path: Path, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair

    async def scenario(path: str, adopted: Adopted) -> None:
        client = HandoverClient(path)
        deadline = time.monotonic() + patient(5)
        snapshots = [bytes([i]) * (1 + i * 9000) for i in range(20)]
        acks = await asyncio.gather(
            *(client.send(ours.fileno(), snapshot, deadline) for snapshot in snapshots)
        )
        assert acks == [HandoverAck(True)] * 20
        assert sorted(snapshot for _, snapshot in adopted) == snapshots

    adopted = run(tmp_path, scenario)
    for i, (tcp, _) in enumerate(adopted):
        assert os.get_inheritable(tcp.fileno()) is False
        tcp.sendall(bytes([i]))
        tcp.close()
    assert theirs.recv(20, socket.MSG_WAITALL) == bytes(range(20))


def test_a_refused_adoption_closes_the_copy_and_says_why(
    tmp_path: Path, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair

    async def scenario(path: str, adopted: Adopted) -> None:
        ack = await HandoverClient(path).send(ours.fileno(), b"x", time.monotonic() + 5)
        assert ack == HandoverAck(False, "not today", is_declined=True)

    run(tmp_path, scenario, refusal="not today")
    ours.sendall(b"alive")
    assert theirs.recv(100) == b"alive"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"x", b"short"),
        (HEADER.pack(b"TFH9", 5) + b"hello", b"version"),
        (HEADER.pack(MAGIC, 0), b"0 bytes"),
        (HEADER.pack(MAGIC, 1 << 31), b"2147483648 bytes"),
        (HEADER.pack(MAGIC, 3) + b"hello", b"longer"),
        (HEADER.pack(MAGIC, 1 << 19) + bytes(PIECE_BYTES + 2), b"packet that is too long"),
    ],
)
def test_malformed_handovers_are_declined(
    tmp_path: Path, pair: tuple[socket.socket, socket.socket], data: bytes, says: bytes
) -> None:
    async def scenario(path: str, adopted: Adopted) -> None:
        answer = await answer_to(path, data, [pair[0].fileno()])
        assert answer[:1] == DECLINED
        assert says in answer

    assert run(tmp_path, scenario) == []


def test_a_handover_without_a_socket_or_with_something_else_is_declined(tmp_path: Path) -> None:
    packet = HEADER.pack(MAGIC, 1) + b"x"
    with (
        (tmp_path / "file").open("w") as file,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram,
    ):
        cases = [
            ([], b"no socket"),
            ([file.fileno()], b"no socket"),
            ([datagram.fileno()], b"no stream socket"),
            ([datagram.fileno()] * 2, b"more than one"),
        ]

        async def scenario(path: str, adopted: Adopted) -> None:
            for descriptors, says in cases:
                answer = await answer_to(path, packet, descriptors)
                assert says in answer

        assert run(tmp_path, scenario) == []


def test_a_sender_that_leaves_midway_leaves_nothing(
    tmp_path: Path, pair: tuple[socket.socket, socket.socket]
) -> None:
    async def scenario(path: str, adopted: Adopted) -> None:
        before = len(os.listdir("/proc/self/fd"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link:
            link.connect(path)
            socket.send_fds(link, [HEADER.pack(MAGIC, 100) + b"part"], [pair[0].fileno()])
            await asyncio.sleep(0.01)
        deadline = time.monotonic() + patient(5)
        while len(os.listdir("/proc/self/fd")) != before and time.monotonic() < deadline:
            await asyncio.sleep(0.005)
        assert len(os.listdir("/proc/self/fd")) == before

    assert run(tmp_path, scenario) == []


IDLE = 300


async def connect(path: str) -> socket.socket:
    link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    link.setblocking(False)
    while True:
        try:
            link.connect(path)
        except BlockingIOError:
            await asyncio.sleep(0.001)
        else:
            return link


def test_idle_connections_stop_no_player(
    tmp_path: Path, pair: tuple[socket.socket, socket.socket]
) -> None:
    async def scenario(path: str, adopted: Adopted) -> None:
        idle = [await connect(path) for _ in range(IDLE)]
        began = time.monotonic()
        ack = await HandoverClient(path).send(pair[0].fileno(), b"x", began + patient(5))
        assert ack == HandoverAck(True)
        assert time.monotonic() - began < patient(2.0)
        for link in idle:
            link.close()

    for tcp, _ in run(tmp_path, scenario):
        tcp.close()


def test_who_is_no_ingest_hands_nothing_over_and_keeps_nobody_waiting(
    tmp_path: Path,
    pair: tuple[socket.socket, socket.socket],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(farm_socket, "UNKNOWN_S", 0.05)

    async def scenario(path: str, adopted: Adopted) -> None:
        strangers = [await connect(path) for _ in range(IDLE)]
        ack = await HandoverClient(path).send(pair[0].fileno(), b"x", time.monotonic() + 5)
        assert not ack.adopted
        for link in strangers:
            link.close()

    assert run(tmp_path, scenario, ingest=1) == []
    assert f"declined a handover reason=process {os.getpid()} is no ingest of this farm" in (
        caplog.text
    )


def test_an_ingest_that_is_faster_than_the_topology_is_waited_for(
    tmp_path: Path, pair: tuple[socket.socket, socket.socket]
) -> None:
    async def main() -> None:
        path = str(tmp_path / "handover")
        taken = []
        server = HandoverServer(path, lambda tcp, snapshot: taken.append(tcp), "handover")
        server.follow(running(1))
        clients = [
            asyncio.create_task(
                HandoverClient(path).send(pair[0].fileno(), b"x", time.monotonic() + 5)
            )
            for _ in range(MAX_UNKNOWN + 3)
        ]
        while server._socket.waiting < MAX_UNKNOWN:
            await asyncio.sleep(0.001)
        server.follow(running(1, os.getpid()))
        acks = await asyncio.gather(*clients)
        server.close()
        assert sum(ack.adopted for ack in acks) >= MAX_UNKNOWN
        for tcp in taken:
            tcp.close()

    asyncio.run(main())


def test_a_removed_socket_is_bound_again(
    tmp_path: Path, pair: tuple[socket.socket, socket.socket]
) -> None:
    async def main() -> None:
        path = tmp_path / "handover"
        taken = []
        server = HandoverServer(str(path), lambda tcp, snapshot: taken.append(tcp), "handover")
        server.follow(running(os.getpid()))
        path.unlink()
        server.listen_again()
        server.listen_again()  # it is there: nothing
        ack = await HandoverClient(str(path)).send(pair[0].fileno(), b"x", time.monotonic() + 5)
        assert ack.adopted
        server.close()
        assert not path.exists()
        taken[0].close()

    asyncio.run(main())
