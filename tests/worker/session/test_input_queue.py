"""What waits for a decoder stays bounded in ms, and is dropped by keyframes."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from common.ipc.identity import Generation, StreamId
from common.ipc.media_messages import AccessUnit
from common.media.units import VideoCodec
from worker.session import input_queue as stream_queue
from worker.session.input_queue import End, NewHeader, Splice, StreamQueue, Unit


def put(
    queue: StreamQueue,
    number: int,
    dts_ms: int,
    *,
    is_key: bool = False,
    replay: bool = False,
    data: bytes = b"unit",
    now_s: float = 2.0,
) -> bool:
    header = AccessUnit(
        StreamId("live/a"),
        Generation(1),
        number,
        VideoCodec.H264,
        0,
        dts_ms,
        0,
        is_key,
        1.0,
        replay,
    )
    return queue.put(header, data, now_s)


def taken(queue: StreamQueue) -> list[Unit]:
    units = []
    while (entry := queue.take()) is not None:
        assert isinstance(entry, Unit)
        units.append(entry)
    return units


def running(limit_ms: int = 1000) -> StreamQueue:
    """A queue of a session that is open and has nothing to catch up with."""
    queue = StreamQueue(limit_ms)
    put(queue, -1, 0, is_key=True)
    assert queue.take() is not None
    return queue


def test_units_and_orders_keep_their_order() -> None:
    queue = StreamQueue(1000)
    put(queue, 0, 0, is_key=True)
    queue.put_marker(NewHeader(b"record"))
    put(queue, 1, 40)
    queue.put_marker(Splice(80))
    queue.put_marker(End("done"))
    kinds = []
    while (entry := queue.take()) is not None:
        kinds.append(type(entry))
    assert kinds == [Unit, NewHeader, Unit, Splice, End]


def test_a_full_queue_drops_the_newest_up_to_a_keyframe_and_marks_the_gap() -> None:
    queue = running()
    accepted = [put(queue, n, n * 40, is_key=n % 50 == 0, now_s=n * 0.04) for n in range(49)]
    assert accepted == [True] * 26 + [False] * 23
    assert queue.span_ms == 1000
    assert queue.dropped == 23
    assert queue.overflows == 1
    first = taken(queue)
    assert [unit.header.number for unit in first] == list(range(26))
    # room again, but what comes refers to what was dropped
    assert not put(queue, 49, 1960)
    assert put(queue, 50, 2000, is_key=True)
    assert put(queue, 51, 2040)
    assert [unit.follows_gap for unit in taken(queue)] == [True, False]


@pytest.mark.parametrize("link", [3, 8, 20])
def test_what_a_stalled_publisher_sends_late_is_not_its_decoders_fault(link: int) -> None:
    queue = running()
    credit = 0.0
    for n in range(75):  # 3 s of media at `link` times real time, for a decoder of twice that
        put(queue, n, n * 40, is_key=n % 50 == 0, now_s=10.0 + n * 0.04 / link)
        credit = min(1.0, credit + 2 / link)
        if credit >= 1:
            credit -= 1
            queue.take()
    assert queue.dropped > 0
    assert queue.overflows == 0


@pytest.mark.parametrize("limit_ms", [100, 150, 200])
def test_batches_that_fill_a_short_queue_by_themselves_are_not_either(limit_ms: int) -> None:
    queue = running(limit_ms)
    for n in range(300):
        put(queue, n, n * 40, is_key=n % 50 == 0, now_s=n // 6 * 0.24)
        if n % 6 == 5:
            taken(queue)
    assert (queue.dropped > 0) is (limit_ms < 200)
    assert queue.overflows == 0


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("limit_ms", [200, 300, 550, 1000])
@pytest.mark.parametrize("speed", [0.5, 0.8, 0.95])
def test_a_slow_decoder_is_found_however_its_units_come(
    speed: float, limit_ms: int, batch: int
) -> None:
    queue = running(limit_ms)
    number, credit = 0, 0.0
    for tick in range(25 * 60):
        now_s = tick * 0.04
        for _ in range(batch if tick % batch == 0 else 0):
            put(queue, number, number * 40, is_key=number % 50 == 0, now_s=now_s)
            number += 1
        credit = min(1.0, credit + speed)
        if credit >= 1 and len(queue):
            credit -= 1
            queue.take()
    assert queue.overflows >= 3


def test_a_gap_in_the_numbers_is_marked() -> None:
    queue = StreamQueue(1000)
    put(queue, 7, 0, is_key=True)
    put(queue, 8, 40)
    put(queue, 12, 200)
    put(queue, 13, 240)
    assert [unit.follows_gap for unit in taken(queue)] == [False, False, True, False]


def test_a_replayed_gop_is_no_lag() -> None:
    queue = running()
    assert all(put(queue, n, n * 40, is_key=n == 0, replay=True) for n in range(250))
    assert queue.span_ms == 0
    assert all(put(queue, 250 + n, 10_000 + n * 40) for n in range(25))
    assert not put(queue, 275, 11_040)


def test_until_the_opening_is_caught_up_with_twice_as_much_may_wait() -> None:
    queue = StreamQueue(1000)
    assert all(put(queue, n, n * 40, is_key=n == 0, replay=True) for n in range(50))
    assert all(put(queue, n, n * 40) for n in range(50, 90))  # 1.6 s, while it opens
    for _ in range(50 + 20):  # the GOP before it, and 0.8 s: 0.8 s still wait
        assert queue.take() is not None
    assert all(put(queue, n, n * 40) for n in range(90, 100))
    assert queue.span_ms == 1160  # not caught up with: still more than the limit
    for _ in range(17):
        queue.take()
    assert queue.span_ms <= 500
    accepted = [put(queue, n, n * 40) for n in range(100, 130)]
    assert accepted == [True] * 13 + [False] * 17
    assert queue.span_ms == 1000


def test_an_opening_that_takes_too_long_is_not_caught_up_with() -> None:
    queue = StreamQueue(1000)
    accepted = [put(queue, n, n * 40, is_key=n % 60 == 0) for n in range(60)]
    assert accepted == [True] * 51 + [False] * 9
    assert not put(queue, 60, 2400, is_key=True)  # the limit is the usual one from now on


def test_bytes_and_units_are_bounded_whatever_the_times_say() -> None:
    queue = StreamQueue(1000)
    megabyte = bytes(1024 * 1024)
    accepted = sum(put(queue, n, 0, is_key=n == 0, data=megabyte) for n in range(100))
    assert accepted * len(megabyte) == stream_queue.MAX_BYTES
    queue = StreamQueue(1000)
    accepted = sum(put(queue, n, 0, is_key=n == 0) for n in range(5000))
    assert accepted == stream_queue.MAX_UNITS


def test_a_flood_of_headers_is_bounded_and_the_end_still_gets_in() -> None:
    queue = StreamQueue(1000)
    for _ in range(20_000):
        queue.put_marker(NewHeader(b"record"))
    assert len(queue) == 2 * stream_queue.MAX_UNITS
    queue.put_marker(End("done"))
    assert len(queue) == 2 * stream_queue.MAX_UNITS + 1


@settings(max_examples=50)
@example(
    [(0, False, False, 0), (156, False, False, 0), (156, False, False, 0), (189, False, False, 0)]
)
@given(
    st.lists(
        st.tuples(st.integers(0, 200), st.booleans(), st.booleans(), st.integers(0, 3)),
        max_size=120,
    )
)
def test_whatever_comes_the_span_is_bounded_and_nothing_follows_a_loss_but_a_keyframe(
    steps: list[tuple[int, bool, bool, int]],
) -> None:
    queue = running(500)
    dts_ms, put_units, got = 0, 0, []
    for number, (step, is_key, replay, takes) in enumerate(steps):
        dts_ms += step
        put_units += put(queue, number, dts_ms, is_key=is_key, replay=replay)
        assert queue.span_ms <= 500
        for _ in range(takes):
            entry = queue.take()
            if isinstance(entry, Unit):
                got.append(entry)
    got += taken(queue)
    assert len(got) == put_units == len(steps) - queue.dropped
    assert all(unit.header.is_key for unit in got if unit.follows_gap)
    queue.clear()
    assert len(queue) == 0
