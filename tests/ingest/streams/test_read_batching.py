"""ingest/streams/read_batching.py: bundles of many streams come one after the other."""

import asyncio

import pytest

from ingest.streams.read_batching import PARTS, TICK_S, read_spread


class Reads:
    """Publishers that are to be read, `a_turn` of them in a turn of the loop."""

    def __init__(self, unread: int, a_turn: int) -> None:
        self.unread = unread
        self.log: list[float] = []  # reads by their counts, waits by their negated seconds
        self._a_turn = a_turn

    def __len__(self) -> int:
        return self.unread

    def read(self, seconds: float, most: int) -> int:
        count = min(self.unread, most, self._a_turn)
        self.unread -= count
        if count:
            self.log.append(count)
        return count

    async def sleep(self, seconds: float) -> None:
        self.log.append(-seconds)


def run(unread: int, a_turn: int = 1000) -> Reads:
    reads = Reads(unread, a_turn)
    asyncio.run(read_spread(reads, reads.sleep))
    return reads


def test_one_stream_is_read_at_the_tick_and_none_cost_nothing() -> None:
    assert run(1).log == [1, 0]
    assert run(0).log == []


def test_a_few_are_read_at_even_distances() -> None:
    assert run(2).log == [1, 0, -TICK_S / 2, 1, 0]


@pytest.mark.parametrize("unread", [4, 5, 9, 150])
def test_many_are_read_in_like_parts_within_the_tick(unread: int) -> None:
    reads = run(unread)
    counts = [count for count in reads.log if count > 0]
    assert sum(counts) == unread
    assert max(counts) - min(counts) <= 1
    assert len(counts) == PARTS
    assert -sum(wait for wait in reads.log if wait < 0) < TICK_S


def test_the_loop_gets_a_turn_between_reads_that_take_long() -> None:
    reads = run(6, a_turn=1)
    first, pause = [1, 0, 1, 0], [-TICK_S / 4]
    assert reads.log == [*first, *pause, *first, *pause, 1, 0, *pause, 1, 0]


def test_nothing_is_waited_for_once_none_is_left_to_read() -> None:
    reads = Reads(2, 1)

    async def sleep(seconds: float) -> None:
        reads.log.append(-seconds)
        reads.unread = 0  # the other one is played from now on

    asyncio.run(read_spread(reads, sleep))
    assert reads.log == [1, 0]
