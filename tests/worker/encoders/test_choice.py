"""Which encoder process a stream goes to."""

from hypothesis import given
from hypothesis import strategies as st

from common.config.ladder import RenditionFormat
from common.ipc.identity import BootId, ChildId, gpu_worker
from worker.encoders.choice import (
    ProcessName,
    better_than,
    first_turn,
    least_loaded,
    weight,
)


def process(index: int) -> ProcessName:
    return ChildId("encoder", index=index), BootId(f"{index:016x}")


def rendition(width: int, height: int) -> RenditionFormat:
    return RenditionFormat(
        "x", width, height, 0, 0, width, height, None, 1_000_000, 1000, 2000, "main", "p3"
    )


def test_a_stream_weighs_its_samples_a_second() -> None:
    assert weight([(rendition(640, 360), 30.0), (rendition(320, 180), 15.0)]) == (
        640 * 360 * 30 + 320 * 180 * 15
    )


def test_without_a_process_there_is_none() -> None:
    assert least_loaded({}, 5) is None
    assert better_than(process(0), 1.0, {process(0): 1.0}, 5) is None


@given(st.integers(1, 8), st.integers(0, 100), st.integers(1, 40))
def test_equal_streams_spread_evenly(processes: int, turn: int, streams: int) -> None:
    loads = {process(index): 0.0 for index in range(processes)}
    for _ in range(streams):
        name = least_loaded(loads, turn)
        assert name is not None
        loads[name] += 1
    assert max(loads.values()) - min(loads.values()) <= 1


def test_workers_do_not_all_begin_with_the_same_process() -> None:
    loads = {process(index): 0.0 for index in range(8)}
    begins = {least_loaded(loads, first_turn(gpu_worker(f"GPU-{number}"))) for number in range(8)}
    assert len(begins) > 3


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=30),
    st.lists(st.integers(1, 9), min_size=30, max_size=30),
)
def test_moves_come_to_an_end_and_leave_nobody_with_a_stream_too_many(
    places: list[int], weights: list[int]
) -> None:
    names = [process(index) for index in range(4)]
    at = {number: names[place] for number, place in enumerate(places)}

    def loads() -> dict[ProcessName, float]:
        return {
            name: float(sum(weights[n] for n, other in at.items() if other == name))
            for name in names
        }

    for _ in range(200):
        found = [
            (number, target)
            for number, name in at.items()
            if (target := better_than(name, weights[number], loads(), 0)) is not None
        ]
        if not found:
            break
        number, target = found[0]
        before = max(loads()[at[number]], loads()[target])
        at[number] = target
        assert max(loads()[target], 0) < before
    assert not found
    for number, name in at.items():
        assert loads()[name] <= min(loads().values()) + weights[number]


def test_a_stream_whose_process_is_not_there_moves_to_any() -> None:
    assert better_than(process(1), 5.0, {process(0): 100.0}, 0) == process(0)
