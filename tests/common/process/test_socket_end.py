"""Sockets of peers that take nothing end, and the kernel holds nothing for them."""

import contextlib
import socket
from collections.abc import Iterator

import pytest

from common.process.socket_end import close_now, unsent_bytes
from tests.kit.waiting import until


@contextlib.contextmanager
def connected() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with socket.create_connection(listener.getsockname()) as ours:
            theirs, _ = listener.accept()
            with theirs:
                yield ours, theirs


def fill(sock: socket.socket) -> None:
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.send(bytes(65536))


def read_to_end(sock: socket.socket) -> None:
    while sock.recv(1 << 20):
        pass


def test_one_that_is_not_read_is_reset():
    with connected() as (ours, theirs):
        fill(ours)
        assert unsent_bytes(ours) > 10_000
        close_now(ours)
        theirs.settimeout(5)
        with pytest.raises(ConnectionResetError):
            read_to_end(theirs)


def test_one_whose_peer_has_everything_is_closed_as_ever():
    with connected() as (ours, theirs):
        ours.sendall(b"the last words")
        until(lambda: unsent_bytes(ours) == 0, 5, "it has arrived")
        close_now(ours)
        theirs.settimeout(5)
        assert theirs.recv(100) == b"the last words"
        assert theirs.recv(100) == b""


def test_one_that_is_closed_has_nothing():
    with connected() as (ours, _):
        close_now(ours)
        assert unsent_bytes(ours) == 0
        close_now(ours)
