"""Sockets read in turn, on real loops and real sockets: nothing of what comes is lost."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import pytest

from common.access.fair_turns import Budget
from common.access.peer_address import Networks
from common.process.fair_reading import FLOODING, READ_BYTES, TURN_S, FairReading, Reading
from tests.kit.virtual_time import run_virtually

LOTS = Budget(100.0, 1e12)
_sockets: list[socket.socket] = []


@pytest.fixture(autouse=True)
def closing() -> Iterator[None]:
    yield
    while _sockets:
        _sockets.pop().close()


class Peer:
    """A socket that is read in turn, and its other end."""

    def __init__(self, fair: FairReading, host: str = "192.0.2.1") -> None:
        self.theirs, self.ours = socket.socketpair()
        _sockets.extend((self.theirs, self.ours))
        self.theirs.setblocking(False)
        self.ours.setblocking(False)
        self.came = b""
        self.has_ended = False
        self.why = ""
        self.on_read: Callable[[], object] = bool
        self.reading = Reading(fair, self.ours.fileno(), host, self._read, self._refuse)

    def _read(self) -> tuple[int, bool]:
        self.on_read()
        try:
            data = self.ours.recv(READ_BYTES)
        except BlockingIOError:
            return 0, False
        if not data:
            self.has_ended = True
            self.close()
        self.came += data
        return len(data), len(data) == READ_BYTES

    def _refuse(self, reason: str) -> None:
        self.why = reason
        self.close()

    def close(self) -> None:
        self.reading.close()
        self.ours.close()


def fair_reading(each: Budget = LOTS, share: float = 100.0, **clocks) -> FairReading:
    loop = asyncio.get_running_loop()
    clocks.setdefault("clock", loop.time)
    clocks.setdefault("cpu_clock", lambda: 0.0)
    return FairReading(loop, share, each, **clocks)


async def settled(seconds: float = 0.05) -> None:
    await asyncio.sleep(seconds)


@pytest.mark.parametrize("size", [1, READ_BYTES - 1, READ_BYTES, READ_BYTES + 1, 5 * READ_BYTES])
@pytest.mark.parametrize("ends", [False, True])
def test_all_that_comes_is_read_and_the_end_behind_it(size, ends):
    async def main():
        fair = fair_reading()
        peer = Peer(fair)
        peer.theirs.send(bytes(size))
        if ends:
            peer.theirs.close()
        await settled()
        assert len(peer.came) == size
        assert peer.has_ended is ends
        if not ends:
            peer.theirs.send(b"more")
            await settled()
            assert peer.came.endswith(b"more")
            peer.theirs.close()
            await settled()
            assert peer.has_ended
        fair.close()

    run_virtually(main())


def test_an_end_that_comes_between_the_look_and_the_read_is_noticed():
    async def main():
        fair = fair_reading()
        peer = Peer(fair)

        def end():
            peer.on_read = bool
            peer.theirs.close()

        peer.on_read = end
        peer.theirs.send(b"last words")
        await settled()
        assert peer.came == b"last words"
        assert peer.has_ended
        fair.close()

    run_virtually(main())


def test_what_is_closed_is_not_read_and_what_is_opened_again_is():
    async def main():
        fair = fair_reading()
        peer = Peer(fair)
        peer.reading.close()
        peer.theirs.send(b"held")
        await settled()
        assert len(peer.came) == 0
        peer.reading = Reading(fair, peer.ours.fileno(), "192.0.2.1", peer._read, peer._refuse)
        await settled()
        assert peer.came == b"held"
        peer.close()
        fair.close()

    run_virtually(main())


def test_a_turn_of_the_loop_ends_though_there_is_more():
    async def main():
        now = [0.0]
        fair = fair_reading(clock=lambda: now[0])
        peers = [Peer(fair) for _ in range(10)]
        longest = [0.0, 0.0]

        def spend():
            now[0] += TURN_S / 2

        async def watch():
            while not all(peer.came for peer in peers):
                before = now[0]
                await asyncio.sleep(0)
                longest[0] = max(longest[0], now[0] - before)

        for peer in peers:
            peer.on_read = spend
            peer.theirs.send(b"x")
        await asyncio.wait_for(watch(), 5)
        assert 0 < longest[0] <= 2 * TURN_S
        for peer in peers:
            peer.close()
        fair.close()

    asyncio.run(main())


def test_who_floods_waits_and_is_then_ended_with_one_line_in_a_minute(caplog):
    async def main():
        loop = asyncio.get_running_loop()
        fair = fair_reading(Budget(1.0, 10_000))
        fair.configure(Budget(1.0, 10_000), Networks(["203.0.113.0/24"]))
        flood, other, exempt = Peer(fair), Peer(fair, "192.0.2.2"), Peer(fair, "203.0.113.9")
        idle = Peer(fair)  # of the same address as the flood, and says nothing
        until_s, checked_s = loop.time() + 8.0, loop.time()
        while loop.time() < until_s:
            for peer in (flood, exempt):
                if not peer.why:
                    with contextlib.suppress(BlockingIOError):
                        peer.theirs.send(bytes(20_000))
            if loop.time() - checked_s >= 1.0:
                checked_s = loop.time()
                fair.check()
            await asyncio.sleep(0.02)
        assert len(flood.came) < 10_000 * 12
        assert flood.why == FLOODING
        assert fair.is_refused("192.0.2.1")
        assert not other.why
        assert not idle.why
        assert not exempt.why
        assert len(exempt.came) > 10 * len(flood.came)
        other.theirs.send(b"hello")
        await settled()
        assert other.came == b"hello"
        for peer in (other, exempt, idle):
            peer.close()
        fair.close()

    run_virtually(main())
    lines = [r.getMessage() for r in caplog.records if "address refused" in r.getMessage()]
    assert len(lines) == 1
    assert "192.0.2.1" in lines[0]


def test_a_bug_met_by_one_peer_ends_that_peer_alone(caplog):
    async def main():
        fair = fair_reading()
        bad, good = Peer(fair), Peer(fair)

        def fail():
            raise RuntimeError("a bug")

        bad.on_read = fail
        for peer in (bad, good):
            peer.theirs.send(b"x")
        await settled()
        assert bad.why == "internal error"
        assert good.came == b"x"
        good.close()
        fair.close()

    run_virtually(main())
    assert "a bug" in caplog.text
