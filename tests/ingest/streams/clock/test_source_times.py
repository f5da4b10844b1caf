"""ingest/streams/clock/source_times.py: a publisher's stamps to stream time."""

from collections.abc import Callable

from ingest.streams.clock.source_times import SourceTimes
from ingest.streams.clock.timeline import Timeline
from tests.kit.publisher_times import PICTURE, SOUND, Frame, publisher, stamped


def run(frames: list[Frame], timeline: Timeline) -> tuple[SourceTimes, dict[str, list[int]], int]:
    """The times given, by kind; how many were marked as set anew."""
    times = SourceTimes(timeline)
    given: dict[str, list[int]] = {PICTURE: [], SOUND: []}
    marked = 0
    for frame in frames:
        now = 500.0 + frame.came_s
        if frame.kind == PICTURE:
            stamp = times.video(frame.stamp, now, 0, frame.length_ms)
        else:
            stamp = times.audio(frame.stamp, now, frame.length_ms)
        given[frame.kind].append(stamp.dts_ms)
        marked += stamp.discontinuity
    return times, given, marked


def scaled_by(factor: int) -> Callable[[int], float]:
    return lambda ms: ms * factor


def test_good_stamps_pass() -> None:
    frames = publisher(5)
    times, given, marked = run(frames, Timeline())
    assert given[PICTURE] == [frame.stamp for frame in frames if frame.kind == PICTURE]
    assert given[SOUND] == [frame.stamp for frame in frames if frame.kind == SOUND]
    assert marked == 0
    assert not times.has_notices
    assert times.data(4_000, 505.0).dts_ms == 4_000


def test_stamps_in_another_unit_are_put_right_in_step_and_without_a_leap() -> None:
    for factor in (10, 90, 1_000):
        frames = stamped(publisher(8), scaled_by(factor))
        times, given, marked = run(frames, Timeline())
        assert abs(given[PICTURE][-1] - given[SOUND][-1]) < 60
        assert 7_900 < given[PICTURE][-1] < 13_000
        assert marked >= 2
        (decision,) = times.take_notices()
        assert "times as fast" in decision.notice
        assert "stamped by arrival" in decision.words
        assert not times.has_notices


def test_a_publisher_that_returns_lands_at_now_whatever_its_clock() -> None:
    timeline = Timeline()
    run(publisher(5), timeline)
    timeline.resume(510.0)
    late = [Frame(f.kind, f.media_s, f.stamp, f.came_s + 10, f.length_ms) for f in publisher(5)]
    _, given, marked = run(stamped(late, lambda ms: ms - 43), timeline)
    assert given[PICTURE][0] in (10_000, 10_001)
    assert abs(given[PICTURE][-1] - given[SOUND][-1]) < 60
    assert marked >= 1
