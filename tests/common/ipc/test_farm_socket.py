"""A Unix socket for the farm's own children: who is known is let in, others are turned away."""

import asyncio
import functools
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, ParamSpec

import pytest

from common.ipc import farm_socket
from common.ipc.control_messages import Endpoint
from common.ipc.farm_socket import MAX_UNKNOWN, FarmSocket
from common.ipc.identity import BootId, ChildId
from common.ipc.socket_peers import SocketPeers
from tests.kit.waiting import until_async

ME = os.getpid()
P = ParamSpec("P")


@asynccontextmanager
async def listening(
    **options: Any,
) -> AsyncIterator[tuple[FarmSocket, list[socket.socket], str]]:
    taken: list[socket.socket] = []
    with tempfile.TemporaryDirectory(prefix="tfarm-") as directory:
        path = f"{directory}/decrypted"
        server = FarmSocket(
            path, SocketPeers("decrypted"), lambda link, _: taken.append(link), **options
        )
        try:
            yield server, taken, path
        finally:
            server.close()
            for link in taken:
                link.close()
            assert not os.path.lexists(path)  # noqa: ASYNC240 - it takes no time


def on_a_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


def tls(pid: int, kind: str = "tls") -> Endpoint:
    return Endpoint(ChildId(kind), BootId("b"), pid=pid)


def connect(path: str) -> socket.socket:
    link = socket.socket(socket.AF_UNIX)
    link.setblocking(False)
    link.connect(path)
    return link


def is_closed(link: socket.socket) -> bool:
    try:
        return link.recv(1) == b""
    except BlockingIOError:
        return False


@on_a_loop
async def test_a_known_process_is_taken_at_once_and_its_bytes_are_left_alone() -> None:
    async with listening() as (server, taken, path):
        server.follow([tls(ME)])
        with connect(path) as link:
            link.send(b"PROXY")
            await until_async(lambda: taken)
            assert taken[0].recv(9) == b"PROXY"
            assert not taken[0].getblocking()


@on_a_loop
async def test_one_that_the_topology_names_a_moment_later_is_waited_for() -> None:
    async with listening() as (server, taken, path):
        server.follow([tls(1)])
        with connect(path) as link:
            await asyncio.sleep(0.05)
            assert not taken
            server.follow([tls(1), tls(ME)])
            assert len(taken) == 1
            assert not is_closed(link)


@on_a_loop
async def test_a_stranger_is_turned_away_and_so_is_the_oldest_of_many(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(farm_socket, "UNKNOWN_S", 0.2)
    async with listening() as (server, taken, path):
        server.follow([tls(1)])
        links = [connect(path) for _ in range(MAX_UNKNOWN + 1)]
        await until_async(lambda: is_closed(links[0]))
        assert not is_closed(links[-1])
        await until_async(lambda: all(map(is_closed, links)))
        assert not taken
        for link in links:
            link.close()
    assert f"process {ME} is no https or tls of this farm" in caplog.text


@on_a_loop
async def test_a_socket_whose_file_was_removed_is_made_again() -> None:
    async with listening() as (server, taken, path):
        server.follow([tls(0)])  # any
        os.unlink(path)
        server.listen_again()
        server.listen_again()
        with connect(path):
            await until_async(lambda: taken)


@on_a_loop
async def test_a_child_that_has_no_business_here_is_turned_away_at_once_and_nobody_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    refused: list[tuple[int, str]] = []
    async with listening(on_refused=lambda pid, why: refused.append((pid, why))) as (
        server,
        taken,
        path,
    ):
        server.follow([tls(ME, "worker")])
        with connect(path) as link:
            await until_async(lambda: is_closed(link))
        assert not taken
        assert server.waiting == 0
        assert refused == [(ME, f"process {ME}, worker:0, is no https or tls of this farm")]
    assert caplog.text == "", "who is told of it says it"


@on_a_loop
async def test_nobody_is_accepted_while_no_more_may_be_and_all_are_later() -> None:
    may = False
    async with listening(may_accept=lambda: may) as (server, taken, path):
        server.follow([tls(ME)])
        links = [connect(path) for _ in range(3)]
        await asyncio.sleep(0.03)
        assert not taken
        may = True
        await until_async(lambda: len(taken) == 3)
        for link in links:
            link.close()


@on_a_loop
async def test_what_has_connected_may_be_taken_without_a_wait() -> None:
    async with listening(kind=socket.SOCK_SEQPACKET) as (server, taken, path):
        server.follow([tls(ME)])
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link:
            link.connect(path)
            server.accept()
            assert len(taken) == 1
    server.accept()  # it is closed: nothing
