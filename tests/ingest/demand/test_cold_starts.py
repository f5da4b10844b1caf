"""ingest/demand/cold_starts.py: streams begin in the order they were asked for, and not at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.ipc.identity import StreamId
from ingest.demand.cold_starts import START_CPU_S, ColdStarts

TICK_S = 0.1


def ids(count: int) -> list[StreamId]:
    return [StreamId(f"live/cam{number}") for number in range(count)]


def begun(
    starts: ColdStarts, asked: list[StreamId], seconds: float
) -> list[tuple[StreamId, float]]:
    """Ask for all of them with each tick, as their streams do, the last one first."""
    found = []
    waiting = list(asked)
    for name in list(waiting):
        if starts.may_begin(name, 100.0):
            found.append((name, 100.0))
            waiting.remove(name)
    for tick in range(1, round(seconds / TICK_S)):
        now = 100.0 + tick * TICK_S
        for name in reversed(list(waiting)):
            if starts.may_begin(name, now):
                found.append((name, now))
                waiting.remove(name)
    return found


def test_who_comes_alone_never_waits() -> None:
    starts = ColdStarts(cores=2)
    for number, name in enumerate(ids(20)):
        assert starts.may_begin(name, 100.0 + number)


@pytest.mark.parametrize("cores", [1, 2, 16, 64])
def test_a_herd_begins_as_fast_as_the_cores_can(cores: int) -> None:
    found = begun(ColdStarts(cores), ids(40), 40.0)
    assert len(found) == 40, "all are served"
    took_s = found[-1][1] - found[0][1]
    least_s = 38 * START_CPU_S / cores
    assert took_s <= least_s + 2 * TICK_S
    if least_s > 1.0:
        assert took_s >= 0.8 * least_s


def test_who_was_asked_for_first_begins_first_whoever_asks_again_first() -> None:
    names = ids(12)
    found = [name for name, _ in begun(ColdStarts(2), names, 10.0)]
    place = {name: at for at, name in enumerate(found)}
    assert all(abs(place[name] - at) <= 1 for at, name in enumerate(names)), found


def test_who_does_not_ask_any_more_keeps_nobody_waiting() -> None:
    starts = ColdStarts(cores=1)
    first, second, third, fourth = ids(4)
    assert starts.may_begin(first, 100.0)
    assert starts.may_begin(second, 100.0)
    assert not starts.may_begin(third, 100.0)
    assert not starts.may_begin(fourth, 100.1)
    assert not starts.may_begin(fourth, 100.5), "the third one is due"
    assert starts.may_begin(fourth, 101.2), "it has gone"


@given(
    st.integers(1, 64),
    st.lists(st.tuples(st.integers(0, 9), st.floats(0.0, 0.5)), min_size=1, max_size=60),
)
def test_whoever_asks_the_rate_holds_and_the_first_in_line_gets_his_turn(
    cores: int, asks: list[tuple[int, float]]
) -> None:
    starts, now = ColdStarts(cores), 100.0
    names = ids(10)
    times: list[float] = []
    for at, step_s in asks:
        now += step_s
        if starts.may_begin(names[at], now):
            times.append(now)
    interval_s = START_CPU_S / cores
    most = max(2, -(-TICK_S // interval_s))
    for at, first in enumerate(times):
        for later in range(at, len(times)):
            count = later - at + 1
            assert count <= most + (times[later] - first) / interval_s + 1.001
    for _ in range(40):  # one who goes on asking is served
        now += TICK_S
        if starts.may_begin(names[0], now):
            return
    pytest.fail("it never had its turn")
