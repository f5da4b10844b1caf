"""Listening sockets that go over to a successor: no connection is refused, none is lost."""

import argparse
import asyncio
import os
import socket
import tempfile
import threading
from collections.abc import Iterator

import pytest

from common.errors import BootFailed
from common.ipc.listener_transfer import (
    MAGIC,
    ListenerShare,
    add_listeners,
    inherited,
    take_listeners,
)
from common.process.listening import bind
from tests.kit.children import INGEST0


@pytest.fixture
def path() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="tfarm-") as directory:
        yield f"{directory}/listeners"


def test_a_connection_that_waits_is_accepted_by_the_successor(path: str) -> None:
    async def test() -> None:
        (before,) = bind("127.0.0.1", 0)
        address = before.getsockname()
        share = ListenerShare(INGEST0, path, [before])
        share.allow(os.getpid())
        with socket.create_connection(address) as early:
            (after,) = await asyncio.to_thread(take_listeners, path)
            before.close()  # as who retires does
            with after, socket.create_connection(address) as late:
                accepted = after.accept(), after.accept()
                peers = {peer for _, peer in accepted}
                assert peers == {early.getsockname(), late.getsockname()}
                for sock, _ in accepted:
                    sock.close()
                with pytest.raises(BlockingIOError):
                    after.accept()
                assert not after.get_inheritable()
        share.close()

    asyncio.run(test())


def test_who_is_not_the_successor_gets_nothing(path: str) -> None:
    async def test() -> None:
        (listener,) = bind("127.0.0.1", 0)
        with listener:
            share = ListenerShare(INGEST0, path, [listener])
            share.allow(1)
            with pytest.raises(BootFailed, match="it does not answer"):
                await asyncio.to_thread(take_listeners, path, 0.1)
            share.close()

    asyncio.run(test())


def test_the_successor_is_waited_for_until_it_is_named(path: str) -> None:
    async def test() -> None:
        (listener,) = bind("127.0.0.1", 0)
        with listener:
            share = ListenerShare(INGEST0, path, [listener])
            asyncio.get_running_loop().call_later(0.05, share.allow, os.getpid())
            (taken,) = await asyncio.to_thread(take_listeners, path)
            taken.close()
            share.close()

    asyncio.run(test())


def given(path: str, data: bytes, *given: socket.socket) -> list[socket.socket]:
    """What is taken of somebody that says this."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()

        def answer() -> None:
            link, _ = server.accept()
            with link:
                socket.send_fds(link, [data], [sock.fileno() for sock in given])

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            return take_listeners(path)
        finally:
            thread.join()


def test_what_is_no_listening_socket_is_not_taken(path: str) -> None:
    here, there = socket.socketpair()
    with here, there, pytest.raises(BootFailed, match="it gave something else"):
        given(path, MAGIC, here)
    os.unlink(path)
    (listener,) = bind("127.0.0.1", 0)
    with listener, pytest.raises(BootFailed, match="it gave something else"):
        given(path, b"TFL9", listener)
    os.unlink(path)
    with pytest.raises(BootFailed, match="it gave none"):
        given(path, MAGIC)
    os.unlink(path)
    with pytest.raises(BootFailed, match="No such file"):
        take_listeners(path)


def test_a_child_takes_them_where_its_command_line_says_so() -> None:
    parser = argparse.ArgumentParser()
    add_listeners(parser)
    assert inherited(parser.parse_args([])) == []
    with pytest.raises(BootFailed):
        inherited(parser.parse_args(["--listeners", "/nowhere/listeners"]))
