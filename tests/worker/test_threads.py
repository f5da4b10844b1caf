"""Threads do one thing after the other, and what waits for its time waits."""

import logging
import os
import threading
import time

import pytest

from tests.kit.waiting import patient
from worker.threads import JobThread, OwnThreads, SharedThreads, group_encoders

DEADLINE_S = patient(5.0)


def test_jobs_run_in_order_in_one_thread() -> None:
    worker_thread = JobThread("test")
    seen: list[tuple[int, int]] = []
    for index in range(100):
        worker_thread.post(lambda index=index: seen.append((index, threading.get_ident())))  # type: ignore[misc]
    worker_thread.close()
    assert worker_thread.join(DEADLINE_S)
    assert [index for index, _ in seen] == list(range(100))
    assert len({thread for _, thread in seen}) == 1


def test_a_job_that_waits_lets_others_pass_and_is_not_starved_by_them() -> None:
    worker_thread = JobThread("test")
    done = threading.Event()
    order: list[str] = []

    def busy() -> None:
        # posts itself for ever: there is always a job that could run at once
        if not done.is_set():
            order.append("busy")
            worker_thread.post(busy)

    started_s = time.monotonic()
    worker_thread.post_later(done.set, 0.05)
    worker_thread.post(busy)
    assert done.wait(DEADLINE_S)
    assert time.monotonic() - started_s >= 0.05
    assert order
    worker_thread.close()
    assert worker_thread.join(DEADLINE_S)


def test_jobs_that_wait_run_by_their_time() -> None:
    worker_thread = JobThread("test")
    order: list[str] = []
    done = threading.Event()
    worker_thread.post_later(done.set, 0.06)
    worker_thread.post_later(lambda: order.append("second"), 0.04)
    worker_thread.post_later(lambda: order.append("first"), 0.02)
    assert done.wait(DEADLINE_S)
    assert order == ["first", "second"]
    worker_thread.close()


def test_a_job_that_fails_is_logged_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    worker_thread = JobThread("test")
    done = threading.Event()
    with caplog.at_level(logging.ERROR, "tfarm.worker.threads"):
        worker_thread.post(lambda: 1 / 0)  # type: ignore[arg-type]  # it never returns
        worker_thread.post(done.set)
        assert done.wait(DEADLINE_S)
    assert "a job failed" in caplog.text
    worker_thread.close()


def test_own_threads_are_one_each_and_end_when_released() -> None:
    worker_threads = OwnThreads()
    decoding = worker_threads.for_decoding()
    encoding = worker_threads.for_encoding([300, 200, 100])
    assert len({decoding, *encoding}) == 4
    worker_threads.release(decoding)
    assert decoding.join(DEADLINE_S)
    worker_threads.close()
    assert all(worker_thread.join(DEADLINE_S) for worker_thread in encoding)


def test_shared_threads_spread_sessions_evenly_and_outlive_them() -> None:
    worker_threads = SharedThreads(2, 3)
    decoding = [worker_threads.for_decoding() for _ in range(4)]
    assert {decoding.count(worker_thread) for worker_thread in decoding} == {2}
    encoding = worker_threads.for_encoding([300, 200, 100])
    assert len(set(encoding)) == 3
    worker_threads.release(decoding[0])
    assert worker_threads.for_decoding() is decoding[0]
    worker_threads.close()
    assert all(worker_thread.join(DEADLINE_S) for worker_thread in {*decoding, *encoding})


def test_small_encoders_of_a_session_are_packed_into_one_thread() -> None:
    worker_threads = OwnThreads(groups_small_encoders=True)
    decoding = worker_threads.for_decoding()
    first, second = (
        worker_threads.for_encoding([1280 * 720, 854 * 480, 640 * 360]) for _ in range(2)
    )
    for large, *small in (first, second):
        assert small[0] is small[1]
        assert small[0] is not large
    assert len({decoding, *first, *second}) == 5
    for worker_thread in first:  # the one that is there twice is released twice
        worker_threads.release(worker_thread)
    assert all(worker_thread.join(DEADLINE_S) for worker_thread in set(first))
    worker_threads.close()
    assert all(worker_thread.join(DEADLINE_S) for worker_thread in {decoding, *second})


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
    assert group_encoders(samples) == groups


def test_threads_that_encode_beside_a_gpu_are_of_the_batch_class() -> None:
    before = os.sched_getscheduler(0)
    worker_threads = OwnThreads(groups_small_encoders=True)
    (worker_thread,) = worker_threads.for_encoding([100])
    found: list[int] = []
    done = threading.Event()
    for job in (lambda: found.append(os.sched_getscheduler(0)), done.set):
        worker_thread.post(job)
    assert done.wait(DEADLINE_S)
    assert found == [os.SCHED_BATCH]
    assert os.sched_getscheduler(0) == before  # that thread alone
    worker_threads.close()
