"""Lanes do one thing after the other, and what waits for its time waits."""

import logging
import os
import threading
import time

import pytest

from worker.threads import Lane, OwnLanes, SharedLanes, pack

DEADLINE_S = 5.0


def test_jobs_run_in_order_in_one_thread() -> None:
    lane = Lane("test")
    seen: list[tuple[int, int]] = []
    for index in range(100):
        lane.post(lambda index=index: seen.append((index, threading.get_ident())))  # type: ignore[misc]
    lane.close()
    assert lane.join(DEADLINE_S)
    assert [index for index, _ in seen] == list(range(100))
    assert len({thread for _, thread in seen}) == 1


def test_a_job_that_waits_lets_others_pass_and_is_not_starved_by_them() -> None:
    lane = Lane("test")
    done = threading.Event()
    order: list[str] = []

    def busy() -> None:
        # posts itself for ever: there is always a job that could run at once
        if not done.is_set():
            order.append("busy")
            lane.post(busy)

    started_s = time.monotonic()
    lane.post_later(done.set, 0.05)
    lane.post(busy)
    assert done.wait(DEADLINE_S)
    assert time.monotonic() - started_s >= 0.05
    assert order
    lane.close()
    assert lane.join(DEADLINE_S)


def test_jobs_that_wait_run_by_their_time() -> None:
    lane = Lane("test")
    order: list[str] = []
    done = threading.Event()
    lane.post_later(done.set, 0.06)
    lane.post_later(lambda: order.append("second"), 0.04)
    lane.post_later(lambda: order.append("first"), 0.02)
    assert done.wait(DEADLINE_S)
    assert order == ["first", "second"]
    lane.close()


def test_a_job_that_fails_is_logged_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    lane = Lane("test")
    done = threading.Event()
    with caplog.at_level(logging.ERROR, "tfarm.worker.threads"):
        lane.post(lambda: 1 / 0)  # type: ignore[arg-type]  # it never returns
        lane.post(done.set)
        assert done.wait(DEADLINE_S)
    assert "a job failed" in caplog.text
    lane.close()


def test_own_lanes_are_one_each_and_end_when_released() -> None:
    lanes = OwnLanes()
    decoding = lanes.for_decoding()
    encoding = lanes.for_encoding([300, 200, 100])
    assert len({decoding, *encoding}) == 4
    lanes.release(decoding)
    assert decoding.join(DEADLINE_S)
    lanes.close()
    assert all(lane.join(DEADLINE_S) for lane in encoding)


def test_shared_lanes_spread_sessions_evenly_and_outlive_them() -> None:
    lanes = SharedLanes(2, 3)
    decoding = [lanes.for_decoding() for _ in range(4)]
    assert {decoding.count(lane) for lane in decoding} == {2}
    encoding = lanes.for_encoding([300, 200, 100])
    assert len(set(encoding)) == 3
    lanes.release(decoding[0])
    assert lanes.for_decoding() is decoding[0]
    lanes.close()
    assert all(lane.join(DEADLINE_S) for lane in {*decoding, *encoding})


def test_small_encoders_of_a_session_are_packed_into_one_lane() -> None:
    lanes = OwnLanes(packs=True)
    decoding = lanes.for_decoding()
    first, second = (lanes.for_encoding([1280 * 720, 854 * 480, 640 * 360]) for _ in range(2))
    for large, *small in (first, second):
        assert small[0] is small[1]
        assert small[0] is not large
    assert len({decoding, *first, *second}) == 5
    for lane in first:  # the one that is there twice is released twice
        lanes.release(lane)
    assert all(lane.join(DEADLINE_S) for lane in set(first))
    lanes.close()
    assert all(lane.join(DEADLINE_S) for lane in {decoding, *second})


@pytest.mark.parametrize(
    ("samples", "groups"),
    [
        ([], []),
        ([5], [0]),
        ([9, 4, 3], [0, 1, 1]),
        ([9, 4, 3, 3], [0, 1, 1, 2]),
        ([3, 9, 6], [1, 0, 1]),
        ([5, 5, 5], [0, 1, 2]),
    ],
)
def test_a_group_has_no_more_samples_than_the_largest_alone(
    samples: list[int], groups: list[int]
) -> None:
    assert pack(samples) == groups


def test_lanes_that_encode_beside_a_gpu_are_of_the_batch_class() -> None:
    lanes = OwnLanes(packs=True)
    (lane,) = lanes.for_encoding([100])
    found: list[int] = []
    done = threading.Event()
    for job in (lambda: found.append(os.sched_getscheduler(0)), done.set):
        lane.post(job)
    assert done.wait(DEADLINE_S)
    assert found == [os.SCHED_BATCH]
    assert os.sched_getscheduler(0) == os.SCHED_OTHER  # that thread alone
    lanes.close()
