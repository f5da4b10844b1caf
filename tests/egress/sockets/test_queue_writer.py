"""A viewer's queue and its socket: what is a stall, and what is an absence of this process."""

import asyncio
import socket
from collections.abc import Iterator, Sequence

import pytest

from egress.sockets.queue_writer import QueueWriter

STALL_S = 10.0


class Waiting:
    """So many bytes wait for a socket."""

    def __init__(self, count: int) -> None:
        self.left = count

    @property
    def has_queue(self) -> bool:
        return self.left > 0

    def buffers(self) -> Sequence[bytes]:
        return [bytes(min(self.left, 65_536))]

    def sent(self, count: int, /) -> None:
        self.left -= count


class Rig:
    """A writer whose peer has not begun to read, by a clock of the test's own."""

    def __init__(self, ours: socket.socket, loop: asyncio.AbstractEventLoop, count: int) -> None:
        self.now_s = 0.0
        self.queue = Waiting(count)
        self.writer = QueueWriter(ours, self.queue, loop, lambda: self.now_s)
        self.pump()

    def pump(self) -> None:
        self.writer.write(self.pump)

    def is_stalled(self, at_s: float) -> bool:
        self.now_s = at_s
        return self.writer.is_stalled(STALL_S, self.pump)


@pytest.fixture
def peer() -> Iterator[tuple[socket.socket, socket.socket, asyncio.AbstractEventLoop]]:
    ours, theirs = socket.socketpair()
    loop = asyncio.new_event_loop()
    with ours, theirs:
        ours.setblocking(False)
        yield ours, theirs, loop
        loop.close()


Peer = tuple[socket.socket, socket.socket, asyncio.AbstractEventLoop]


def test_a_viewer_that_takes_nothing_is_stalled_after_the_time_for_it(peer: Peer) -> None:
    ours, _, loop = peer
    rig = Rig(ours, loop, 1 << 24)
    assert not rig.is_stalled(STALL_S)
    assert rig.is_stalled(STALL_S + 0.1)
    rig.writer.stop_waiting()


def test_a_viewer_that_took_it_while_this_process_was_away_is_not(peer: Peer) -> None:
    """It was closed before: the look came before the loop saw that its socket has room."""
    ours, theirs, loop = peer
    rig = Rig(ours, loop, 1 << 24)
    left = rig.queue.left
    theirs.recv(1 << 20)
    assert not rig.is_stalled(100.0)
    assert rig.queue.left < left, "it was offered more"
    assert not rig.is_stalled(100.0 + STALL_S)
    assert rig.is_stalled(100.1 + STALL_S), "it has taken nothing since"
    rig.writer.stop_waiting()


def test_a_viewer_for_whom_nothing_waits_is_not(peer: Peer) -> None:
    ours, _, loop = peer
    assert not Rig(ours, loop, 100).is_stalled(1000.0)
