"""common/ipc/socket_handover.py: the sender's half, against a peer made by hand."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.ipc.socket_handover import (
    ADOPTED,
    DECLINED,
    HEADER,
    MAGIC,
    PIECE_BYTES,
    HandoverAck,
    HandoverClient,
    packets,
)
from common.rtmp.snapshot import MAX_SNAPSHOT_BYTES

Answer = Callable[[socket.socket, bytes, socket.socket], None]


class Peer:
    """Takes one handover in a thread and answers as it is told."""

    def __init__(self, path: Path, answer: Answer) -> None:
        self.path = str(path / "handover")
        self.snapshot = b""
        self._answer = answer
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(self.path)
        self._listener.listen(4)
        self._listener.settimeout(5)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with self._listener, self._listener.accept()[0] as link:
            link.settimeout(5)
            data, descriptors, _, _ = socket.recv_fds(link, HEADER.size + PIECE_BYTES, 1)
            magic, length = HEADER.unpack_from(data)
            assert magic == MAGIC
            snapshot = data[HEADER.size :]
            while len(snapshot) < length:
                snapshot += link.recv(PIECE_BYTES)
            self.snapshot = snapshot
            with socket.socket(fileno=descriptors[0]) as taken:
                self._answer(link, snapshot, taken)

    def join(self) -> None:
        self._thread.join(5)
        assert not self._thread.is_alive()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def hand_over(path: str, fd: int, snapshot: bytes, seconds: float = 5.0) -> HandoverAck:
    client = HandoverClient(path)
    return asyncio.run(client.send(fd, snapshot, time.monotonic() + seconds))


def adopt(link: socket.socket, snapshot: bytes, taken: socket.socket) -> None:
    taken.sendall(b"from egress")
    link.send(ADOPTED)


@pytest.mark.parametrize("size", [1, PIECE_BYTES, PIECE_BYTES + 1, 300_000])
@pytest.mark.parametrize("prefix", ["", "unix://"])
def test_socket_and_snapshot_arrive_whole(
    tmp_path: Path, pair: tuple[socket.socket, socket.socket], size: int, prefix: str
) -> None:
    ours, theirs = pair
    peer = Peer(tmp_path, adopt)
    snapshot = bytes(i % 251 for i in range(size))
    assert hand_over(prefix + peer.path, ours.fileno(), snapshot) == HandoverAck(True)
    peer.join()
    assert peer.snapshot == snapshot
    assert theirs.recv(100) == b"from egress"
    ours.sendall(b"still ours")  # the sender's copy is its own to close
    assert theirs.recv(100) == b"still ours"


def test_a_reason_for_declining_is_told(
    tmp_path: Path, pair: tuple[socket.socket, socket.socket]
) -> None:
    def decline(link: socket.socket, snapshot: bytes, taken: socket.socket) -> None:
        link.send(DECLINED + b"no room")

    peer = Peer(tmp_path, decline)
    assert hand_over(peer.path, pair[0].fileno(), b"x") == HandoverAck(
        False, "no room", is_declined=True
    )
    peer.join()


def test_an_end_without_an_answer_is_no_adoption(
    tmp_path: Path, pair: tuple[socket.socket, socket.socket]
) -> None:
    peer = Peer(tmp_path, lambda link, snapshot, taken: None)
    ack = hand_over(peer.path, pair[0].fileno(), b"x")
    assert not ack.adopted
    peer.join()


def test_no_answer_ends_at_the_deadline(
    tmp_path: Path, pair: tuple[socket.socket, socket.socket]
) -> None:
    done = threading.Event()

    def wait(link: socket.socket, snapshot: bytes, taken: socket.socket) -> None:
        done.wait(5)

    peer = Peer(tmp_path, wait)
    ack = hand_over(peer.path, pair[0].fileno(), b"x", seconds=0.1)
    assert ack == HandoverAck(False, "no answer in time")
    done.set()
    peer.join()


def test_an_egress_that_is_away_is_told_at_once(
    tmp_path: Path, pair: tuple[socket.socket, socket.socket]
) -> None:
    began = time.monotonic()
    ack = hand_over(str(tmp_path / "nobody"), pair[0].fileno(), b"x")
    assert not ack.adopted
    assert ack.reason
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("size", [0, MAX_SNAPSHOT_BYTES + 1])
def test_a_snapshot_of_an_impossible_length_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="snapshot of"):
        packets(bytes(size))
