"""The search for how many streams a device takes."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.bench.capacity_search import (
    CLOSE,
    CapacitySearch,
    Part,
    Trial,
    Use,
    alone,
    confirmations,
    percentile,
    trial_of,
)

PASS = Trial(1, 5.0, 20.0, 33.3, 100, 0, cores=0.5)


def search(limit: int, cores: int, cores_a_stream: float) -> tuple[int, list[int]]:
    """What is found, and what was tried, on a device that takes `limit` streams."""
    searching = CapacitySearch(cores)
    tried: list[int] = []
    while (streams := searching.next()) is not None:
        tried.append(streams)
        late = 20.0 if streams <= limit else 80.0
        used = min(float(cores), streams * cores_a_stream)
        searching.observe(replace(PASS, streams=streams, p99_ms=late, cores=used))
        assert len(tried) < 60
    return searching.found, tried


def test_a_frame_interval_is_the_limit_and_nothing_may_be_missing() -> None:
    assert PASS.keeps_real_time
    assert not replace(PASS, p99_ms=33.3).keeps_real_time
    assert not replace(PASS, missing=1).keeps_real_time
    assert not replace(PASS, p50_ms=33.4).keeps_real_time


def test_the_busiest_resource_counts() -> None:
    assert PASS.busy(2) == 0.25
    gpu = replace(PASS, cores=0.1, decode=0.3, scale=0.1, encode=0.2, memory_bytes=1)
    assert gpu.busy(16) == 0.3
    # in software decoding and encoding are counted in the cores
    assert replace(PASS, decode=9.0).busy(2) == 0.25


@pytest.mark.parametrize(("limit", "cores", "each"), [(90, 16, 0.17), (6, 2, 0.3), (1, 2, 1.5)])
def test_an_estimate_near_the_truth_needs_few_trials(limit: int, cores: int, each: float) -> None:
    found, tried = search(limit, cores, each)
    assert limit * (1 - CLOSE) - 1 <= found <= limit
    assert tried[0] == 1
    assert len(tried) <= 7, tried


def test_a_device_that_takes_none_is_found_at_once() -> None:
    assert search(0, 2, 3.0) == (0, [1])


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 3000), st.integers(1, 64), st.floats(0.0, 4.0))
def test_the_search_ends_close_below_the_limit(limit: int, cores: int, each: float) -> None:
    found, tried = search(limit, cores, each)
    assert limit - 1 - CLOSE * limit <= found <= limit
    assert len(tried) == len(set(tried))


def test_the_search_stops_at_the_most() -> None:
    searching = CapacitySearch(64, most=5)
    while (streams := searching.next()) is not None:
        searching.observe(replace(PASS, streams=streams))
    assert searching.found == 5


def test_ever_fewer_are_tried_when_a_number_is_not_confirmed() -> None:
    assert confirmations(0) == []
    assert confirmations(1) == [1]
    assert confirmations(100) == [100, 96, 90, 80, 65, 50, 1]
    assert confirmations(4) == [4, 3, 2, 1]


def test_percentiles_of_few_values() -> None:
    assert percentile([], 0.99) == 0.0
    assert percentile([1.0, 2.0], 0.5) == 2.0
    assert percentile([1.0, 2.0, 3.0], 0.99) == 3.0


def test_a_trial_is_the_sum_of_its_parts_and_as_late_as_all_of_them() -> None:
    parts = [
        Part(100, 1, 0.5, 0.1, 0.2, {0: (10.0, 20.0), 1: (5.0,)}),
        Part(50, 2, 0.25, 0.1, 0.1, {0: (30.0,)}),
    ]
    trial = trial_of(3, parts, {0: 12.0}, 33.0, None)
    assert (trial.expected, trial.missing, trial.cores) == (150, 3, 0.75)
    assert trial.p99_ms == 18.0
    assert trial.decode == 0.2
    assert trial.encode == pytest.approx(0.3)
    assert trial.scale == pytest.approx(0.25)


def test_a_gpus_trial_has_the_use_of_the_device_once() -> None:
    part = Part(10, 0, 0.5, 0.0, 0.2, {0: (1.0,)})
    trial = trial_of(2, [part, part], {}, 33.0, Use(0.1, 0.2, 0.0, 7))
    assert (trial.decode, trial.scale, trial.encode, trial.memory_bytes) == (0.1, 0.2, 0.0, 7)


def test_a_trial_without_a_picture_does_not_keep_real_time() -> None:
    assert not trial_of(1, [Part(0, 0, 0.0, 0.0, 0.0)], {}, 33.0, None).keeps_real_time


def test_a_lone_streams_delay_is_that_of_each_rendition() -> None:
    part = Part(2, 0, 0.1, 0.0, 0.1, {0: (1.0, 9.0), 2: (3.0,)})
    assert alone([part]) == {0: 9.0, 2: 3.0}
