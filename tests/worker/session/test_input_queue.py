"""What waits for a decoder stays bounded in ms, and is dropped by keyframes."""

from itertools import pairwise

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


def decoded(
    queue: StreamQueue,
    *,
    held_up: int,
    gop: int,
    pace: float,
    link: float = 50.0,
    shown: int = 0,
    is_start: bool = True,
) -> list[int]:
    """The numbers that a decoder of `pace` times real time takes of units of 40 ms.

    `held_up` of them come at `link` times real time, and 20 s more in real time. Those before
    `shown` are too old to be shown.
    """
    burst_s = held_up * 0.04 / link
    came_s = [n * 0.04 / link for n in range(held_up)]
    came_s += [burst_s + n * 0.04 for n in range(500)]
    got: list[int] = []
    free_s = put_units = 0.0
    while True:
        arrival_s = came_s[int(put_units)] if put_units < len(came_s) else float("inf")
        if len(queue) and free_s <= arrival_s:
            queue.skip_ahead(shown * 40 - 1, free_s, lambda _: is_start)
            entry = queue.take()
            assert isinstance(entry, Unit)
            got.append(entry.header.number)
            free_s += 0.04 / pace
        elif put_units < len(came_s):
            number = int(put_units)
            put(queue, number, number * 40, is_key=number % gop == 0, now_s=arrival_s)
            free_s = max(free_s, arrival_s)
            put_units += 1
        else:
            assert len(got) + queue.dropped == len(came_s)
            return got


@pytest.mark.parametrize("is_start", [True, False])
@pytest.mark.parametrize("gop", [50, 100, 200, 1000])
@pytest.mark.parametrize("stall_s", [1, 2, 4, 8, 12])
@pytest.mark.parametrize("link", [3, 20, 1000])
def test_a_burst_after_a_stall_is_decoded_and_nothing_waits_for_a_keyframe(
    link: float, stall_s: int, gop: int, is_start: bool
) -> None:
    """What freeze frames stood in for may be left out where an IDR picture follows it."""
    queue = running()
    held_up = stall_s * 25
    got = decoded(
        queue, held_up=held_up, gop=gop, pace=10, link=link, shown=held_up, is_start=is_start
    )
    assert got[-500:] == list(range(held_up, held_up + 500))
    assert queue.overflows == 0
    if not is_start:
        assert queue.dropped == 0
    elif link == 1000 and gop < held_up - 25:
        assert queue.dropped > held_up // gop * gop - gop - 10
        assert all(follows == before + 1 or follows % gop == 0 for before, follows in pairwise(got))


def test_a_burst_is_decoded_whole_where_nothing_stood_in_for_it() -> None:
    queue = running()
    assert decoded(queue, held_up=300, gop=50, pace=20) == list(range(800))


@pytest.mark.parametrize("gop", [50, 100, 250])
@pytest.mark.parametrize("pace", [2, 4])
def test_a_burst_that_takes_a_decoder_long_ends_at_the_newest_keyframe(
    pace: float, gop: int
) -> None:
    queue = running()
    got = decoded(queue, held_up=300, gop=gop, pace=pace)
    assert queue.dropped > 0
    assert all(follows == before + 1 or follows % gop == 0 for before, follows in pairwise(got))
    assert got[-300:] == list(range(500, 800))


def test_a_burst_for_a_decoder_that_is_too_slow_to_catch_up_is_dropped_to_a_keyframe() -> None:
    queue = running()
    got = decoded(queue, held_up=100, gop=200, pace=1.2, is_start=False)
    assert queue.overflows >= 1
    assert queue.dropped > 0
    assert all(follows == before + 1 or follows % 200 == 0 for before, follows in pairwise(got))


def test_what_is_skipped_leaves_the_orders_between_units_in_their_place() -> None:
    queue = running()
    for number in range(100):
        put(queue, number, number * 40, is_key=number % 50 == 0)
        if number in (20, 60):
            queue.put_marker(NewHeader(b"record %d" % number))
    assert queue.is_catching_up
    queue.skip_ahead(51 * 40, 2.0, lambda _: True)
    first, second = queue.take(), queue.take()
    assert first == NewHeader(b"record 20")
    assert isinstance(second, Unit)
    assert second.header.number == 50
    assert queue.dropped == 50
    assert queue.span_ms == 48 * 40


def test_what_has_not_been_shown_is_not_skipped() -> None:
    queue = running()
    for number in range(100):
        put(queue, number, number * 40, is_key=number % 50 == 0)
    for shown_ms in (None, 50 * 40 - 1):
        queue.skip_ahead(shown_ms, 2.0, lambda _: True)
        assert queue.dropped == 0
    queue.skip_ahead(100 * 40, 2.0, lambda _: False)
    assert queue.dropped == 0


@pytest.mark.parametrize("limit_ms", [100, 150, 200])
def test_batches_fit_a_short_queue(limit_ms: int) -> None:
    queue = running(limit_ms)
    for n in range(300):
        put(queue, n, n * 40, is_key=n % 50 == 0, now_s=n // 6 * 0.24)
        if n % 6 == 5:
            taken(queue)
    assert queue.dropped == 0
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
    assert all(put(queue, 250 + n, 10_000 + n * 40, now_s=2 + n * 0.04) for n in range(25))
    assert not put(queue, 275, 11_040, now_s=3.04)


def put_in_real_time(queue: StreamQueue, first: int, count: int) -> list[bool]:
    return [put(queue, n, n * 40, now_s=n * 0.04) for n in range(first, first + count)]


def test_until_the_opening_is_caught_up_with_twice_as_much_may_wait() -> None:
    queue = StreamQueue(1000)
    assert all(put(queue, n, n * 40, is_key=n == 0, replay=True, now_s=2) for n in range(50))
    assert all(put_in_real_time(queue, 50, 40))  # 1.6 s, while it opens
    for _ in range(50 + 20):  # the GOP before it, and 0.8 s: 0.8 s still wait
        assert queue.take() is not None
    assert all(put_in_real_time(queue, 90, 10))
    assert queue.span_ms == 1160  # not caught up with: still more than the limit
    for _ in range(17):
        queue.take()
    assert queue.span_ms <= 500
    assert put_in_real_time(queue, 100, 30) == [True] * 13 + [False] * 17
    assert queue.span_ms == 1000


@pytest.mark.parametrize("pace", [1.2, 10])
def test_an_opening_that_takes_long_is_caught_up_with_if_the_decoder_can(pace: float) -> None:
    queue = StreamQueue(1000)
    assert all(put(queue, n, n * 40, is_key=n == 0, now_s=n * 0.04) for n in range(125))
    got, credit = 0, 0.0
    for n in range(125, 250):
        credit += pace
        while credit >= 1 and len(queue):
            credit -= 1
            got += queue.take() is not None
        put(queue, n, n * 40, now_s=n * 0.04)
    assert (queue.dropped > 0) is (pace < 1.5)
    assert got == 249 or pace < 1.5


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
        put_units += put(queue, number, dts_ms, is_key=is_key, replay=replay, now_s=dts_ms / 1000)
        assert queue.span_ms <= 500 + 125  # the oldest has waited for less than three quarters
        for _ in range(takes):
            entry = queue.take()
            if isinstance(entry, Unit):
                got.append(entry)
    got += taken(queue)
    assert len(got) == put_units == len(steps) - queue.dropped
    assert all(unit.header.is_key for unit in got if unit.follows_gap)
    queue.clear()
    assert len(queue) == 0


@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 400),  # ms of media since the one before
            st.booleans(),  # a keyframe
            st.booleans(),  # a marker behind it
            st.integers(0, 3),  # entries that are taken then
            st.integers(0, 800),  # ms of the clock
            st.integers(-2000, 500),  # the last time shown, from this one on
        ),
        max_size=120,
    )
)
def test_whatever_is_skipped_nothing_changes_its_order_and_all_of_it_is_counted(
    steps: list[tuple[int, bool, bool, int, int, int]],
) -> None:
    queue = running(500)
    dts_ms, now_s, markers = 0, 10.0, 0
    got: list[int] = []
    got_markers: list[bytes] = []

    def take() -> bool:
        entry = queue.take()
        if isinstance(entry, Unit):
            if got and entry.header.number != got[-1] + 1:
                assert entry.header.is_key, "what was dropped is referred to"
            got.append(entry.header.number)
        elif isinstance(entry, NewHeader):
            got_markers.append(entry.record)
        return entry is not None

    for number, (step_ms, is_key, is_marked, takes, passed_ms, shown_ms) in enumerate(steps):
        dts_ms += step_ms
        now_s += passed_ms / 1000
        put(queue, number, dts_ms, is_key=is_key, now_s=now_s)
        if is_marked:
            queue.put_marker(NewHeader(b"%d" % markers))
            markers += 1
        queue.skip_ahead(dts_ms + shown_ms, now_s, lambda _: True)
        for _ in range(takes):
            take()
    while take():
        pass
    assert got == sorted(set(got))
    assert got_markers == [b"%d" % index for index in range(markers)]
    assert len(got) + queue.dropped == len(steps)
    assert (queue.span_ms, len(queue), queue.is_catching_up) == (0, 0, False)


def test_a_decoder_that_was_fast_and_is_slow_now_is_slow_within_a_second() -> None:
    """A burst's first part went fast; then other processes took the cores."""
    queue = running()
    for number in range(800):
        assert put(queue, number, number * 10, is_key=number % 100 == 0, now_s=2.0)
    for _ in range(600):
        queue.take()
    full_s = None
    for turn in range(400):  # from 0.6 s after the burst on, as much is decoded as comes
        now_s, number = 2.6 + turn * 0.01, 800 + turn
        if not put(queue, number, number * 10, is_key=number % 100 == 0, now_s=now_s):
            full_s = now_s
            break
        queue.take()
    assert full_s is not None
    assert full_s <= 2.6 + 2 * stream_queue.PACE_S
