"""Lanes do one thing after the other, and what waits for its time waits."""

import logging
import threading
import time

import pytest

from worker.lanes import Lane, OwnLanes, SharedLanes

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
    with caplog.at_level(logging.ERROR, "tfarm.worker.lanes"):
        lane.post(lambda: 1 / 0)  # type: ignore[arg-type]  # it never returns
        lane.post(done.set)
        assert done.wait(DEADLINE_S)
    assert "a job failed" in caplog.text
    lane.close()


def test_own_lanes_are_one_each_and_end_when_released() -> None:
    lanes = OwnLanes()
    decoding = lanes.for_decoding()
    encoding = [lanes.for_encoding(decoding) for _ in range(3)]
    assert len({decoding, *encoding}) == 4
    lanes.release(decoding)
    assert decoding.join(DEADLINE_S)
    lanes.close()
    assert all(lane.join(DEADLINE_S) for lane in encoding)


def test_shared_lanes_spread_sessions_evenly_and_outlive_them() -> None:
    lanes = SharedLanes(2, 3)
    decoding = [lanes.for_decoding() for _ in range(4)]
    assert {decoding.count(lane) for lane in decoding} == {2}
    encoding = [lanes.for_encoding(decoding[0]) for _ in range(3)]
    assert len(set(encoding)) == 3
    lanes.release(decoding[0])
    assert lanes.for_decoding() is decoding[0]
    lanes.close()
    assert all(lane.join(DEADLINE_S) for lane in {*decoding, *encoding})


def test_a_gpu_without_encoders_shares_only_the_decoding_lanes() -> None:
    lanes = SharedLanes(1, None)
    decoding = lanes.for_decoding()
    encoding = [lanes.for_encoding(decoding) for _ in range(3)]
    assert len({decoding, *encoding}) == 4
    lanes.release(encoding[0])
    assert encoding[0].join(DEADLINE_S)
    lanes.close()
    assert decoding.join(DEADLINE_S)
    assert encoding[1].join(DEADLINE_S)
