"""worker/frames/freeze_frame.py: when a freeze frame is due, and what time it has."""

import itertools

import pytest

from common.media.clock import ClockReference
from worker.frames.freeze_frame import LAG_MS, FreezeFrames


def run(frames: FreezeFrames, start_s: float, end_s: float, every_s: float = 0.001) -> list[int]:
    found = []
    for index in range(round((end_s - start_s) / every_s)):
        pts_ms = frames.take(start_s + index * every_s)
        if pts_ms is not None:
            found.append(pts_ms)
    return found


def test_pictures_follow_stream_time_at_the_sources_rate_a_little_behind_it() -> None:
    # stream time 5000 at 100 s, the last picture 4960
    frames = FreezeFrames(ClockReference(5000, 100.0), 4960, 25.0)
    times = run(frames, 100.0, 102.0)
    assert times[0] == 5000
    assert {b - a for a, b in itertools.pairwise(times)} == {40}
    assert times[-1] == pytest.approx(5000 + 2000 - LAG_MS, abs=40)


def test_none_is_made_before_stream_time_has_come_to_it() -> None:
    frames = FreezeFrames(ClockReference(5000, 100.0), 5900, 25.0)
    assert frames.take(100.5) is None
    assert frames.due_at(100.5) == pytest.approx(101.04)
    assert frames.take(101.041) == 5940


def test_a_long_silence_before_it_is_not_filled_in_after_the_fact() -> None:
    frames = FreezeFrames(ClockReference(5000, 100.0), 5000, 25.0)
    times = run(frames, 110.0, 111.0)
    assert times[0] == 15_000 - LAG_MS
    assert len(times) in (25, 26)


def test_what_a_busy_host_did_not_make_in_time_is_left_out() -> None:
    frames = FreezeFrames(ClockReference(0, 0.0), 0, 25.0)
    assert frames.take(0.2) is not None
    first = frames.take(5.0)
    assert first == 5000 - LAG_MS
    assert frames.take(5.0) is None


@pytest.mark.parametrize(("fps", "count"), [(None, 30), (0.01, 1), (500.0, 60)])
def test_the_rate_is_a_sane_one(fps: float | None, count: int) -> None:
    assert len(run(FreezeFrames(ClockReference(0, 0.0), 0, fps), 10.0, 11.0)) == pytest.approx(
        count, abs=1
    )


def test_without_a_picture_sent_it_begins_at_once() -> None:
    frames = FreezeFrames(ClockReference(1000, 10.0), None, 25.0)
    assert frames.due_at(10.0) == 10.0
    assert frames.take(10.0) == 1000 - LAG_MS
