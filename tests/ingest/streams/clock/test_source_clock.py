"""ingest/streams/clock/source_clock.py: publishers' stamps and arrivals to times, kind by kind."""

import random
import statistics
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingest.streams.clock.source_clock import SourceClock
from tests.kit.publisher_times import (
    PICTURE,
    SOUND,
    Frame,
    Timed,
    arriving,
    in_order,
    publisher,
    run,
    stamped,
)

NORMAL = publisher(12)


def clumped(at_s: float) -> float:
    """A path that gives on what it has each 150 ms."""
    return -(-at_s // 0.15) * 0.15


def stalled(at_s: float) -> float:
    return 9.0 if 5.0 <= at_s < 9.0 else at_s


def burst(at_s: float) -> float:
    return max(0.0005 * at_s, at_s - 8.0)


def muted(frames: list[Frame], kind: str) -> list[Frame]:
    """Nothing of one kind from 3 to 8 s; then its stamps go on where they were."""
    return arriving(frames, lambda at_s: at_s + 5 if at_s >= 3 else at_s, (kind,))


def late_each_5_s(at_s: float) -> float:
    return at_s // 5 * 5 + max(2.0, at_s % 5)


def jumping(seed: int, most_ms: int):
    jumps = random.Random(seed)
    return lambda ms: ms + jumps.randint(0, most_ms)


@dataclass(frozen=True)
class Row:
    """A kind of publisher, and what is decided of it."""

    name: str
    frames: list[Frame]
    notice: str = ""  # nothing is decided
    settled_s: float = 1.2  # from then on all is well
    words: str = ""


LEFT_OUT = [
    frame
    for frame in arriving(publisher(30), late_each_5_s)
    if frame.kind == SOUND or frame.came_s % 5 != 2.0
]
ROWS = [
    Row("in real time", NORMAL),
    Row("in clumps", arriving(NORMAL, clumped)),
    Row("after a stall", arriving(NORMAL, stalled), settled_s=9.2),
    Row("far from zero", stamped(NORMAL, lambda ms: ms + 3_000_000_000)),
    Row("past the wrap", stamped(publisher(25), lambda ms: ms + 2**32 - 20_000)),
    Row("soon at the wrap", stamped(publisher(25), lambda ms: ms + 2**32 - 9_000)),
    Row("a cached GOP, then real time", arriving(NORMAL, burst)),
    Row("pictures alone, a cached GOP", arriving(publisher(12, has_sound=False), burst)),
    Row("a file at ten times real time", arriving(publisher(40), lambda s: s / 10)),
    Row("a file at 1.8 times real time", arriving(publisher(20), lambda s: s / 1.8)),
    Row("one picture a second", publisher(30, fps=1)),
    Row("one picture a second without anything known", publisher(30, 1, has_sound=False,
                                                                 knows_rate=False)),
    Row("a clock set once", stamped(NORMAL, lambda ms: ms + 5_000 * (ms > 4_000)),
        "times were set ahead by 5.0 s: they go on as before", 0.0),
    Row("90 kHz", stamped(NORMAL, lambda ms: ms * 90), "run 90 times", 0.8,
        "picture times run 90 times as fast as the clock, sound times run 90 times as fast as the"
        " clock: stamped by arrival"),
    Row("90 kHz in clumps", arriving(stamped(NORMAL, lambda ms: ms * 90), clumped), "run ", 0.9,
        "stamped by arrival"),
    Row("microseconds", stamped(NORMAL, lambda ms: ms * 1000), "times as fast", 0.8, "by arrival"),
    Row("1.8 times as fast", stamped(NORMAL, lambda ms: ms * 1.8), "run 1.8 times", 1.2,
        "by arrival"),
    Row("1.8 times as fast, pictures alone",
        stamped(publisher(12, has_sound=False), lambda ms: ms * 1.8), "run 1.", 2.0, "by arrival"),
    Row("1.8 times as fast, nothing known",
        stamped(publisher(12, has_sound=False, knows_rate=False), lambda ms: ms * 1.8),
        "picture times run 1.8 times", 2.6, "by arrival"),
    Row("half as fast", stamped(NORMAL, lambda ms: ms * 0.5), "run 0.5 times", 2.0, "by arrival"),
    Row("1.25 times as fast", stamped(NORMAL, lambda ms: ms * 1.25), "run 1.", 3.0,
        "by arrival"),
    Row("1.1 times as fast", stamped(NORMAL, lambda ms: ms * 1.1), "run 1.1 times", 4.0,
        "picture times run 1.1 times as fast as the clock, sound times run 1.1 times as fast as the"
        " clock: stamped by arrival"),
    Row("0.9 times as fast", stamped(NORMAL, lambda ms: ms * 0.9), "run 0.9 times", 4.0,
        "by arrival"),
    Row("pictures 1.2 times as fast, sound as it should be",
        stamped(NORMAL, lambda ms: ms * 1.2, [PICTURE]), "picture times run 1.2 times", 4.0,
        "picture times run 1.2 times as fast as the clock: stamped by arrival"),
    Row("pictures twice as fast, sound as it should be",
        stamped(NORMAL, lambda ms: ms * 2, [PICTURE]), "picture times run", 1.2,
        "picture times run 2 times as fast as the clock: stamped by arrival"),
    Row("48 kHz stamped as 44.1", stamped(NORMAL, lambda ms: ms * 48 / 44.1, [SOUND]),
        "sound times run 1.1 times", 4.0,
        "sound times run 1.1 times as fast as the clock: stamped by arrival"),
    Row("one picture a second, all zero", stamped(publisher(30, fps=1), lambda ms: 0),
        "sound times stand still", 3.5, "picture times stand still, sound times stand still"),
    Row("steps of 200 ms", stamped(NORMAL, lambda ms: ms // 200 * 200), "times stand still", 1.8,
        "stand still: stamped by arrival"),
    Row("jumps back to 0 each 2 s", stamped(publisher(20), lambda ms: ms % 2_000),
        "times jump from one to the next", 7.0, "jump from one to the next: stamped by arrival"),
    Row("pictures jump back to 0 each 2 s",
        stamped(publisher(20), lambda ms: ms % 2_000, [PICTURE]),
        "picture", 7.0, "picture times jump from one to the next: stamped by arrival"),
    Row("all zero, after a stall", stamped(arriving(NORMAL, stalled), lambda ms: 0),
        "picture and sound times stand still", 10.5, "stand still"),
    Row("an encoder that leaves out what its network is late with", LEFT_OUT, settled_s=28.0),
    Row("all zero", stamped(NORMAL, lambda ms: 0), "picture and sound times stand still", 0.9,
        "stand still"),
    Row("pictures zero", stamped(NORMAL, lambda ms: 0, [PICTURE]), "picture times stand still", 0.9,
        "picture times stand still: stamped by arrival"),
    Row("sound zero", stamped(NORMAL, lambda ms: 0, [SOUND]), "sound times stand still", 0.9,
        "sound times stand still: stamped by arrival"),
    Row("pictures alone, zero, nothing known",
        stamped(publisher(12, has_sound=False, knows_rate=False), lambda ms: 0),
        "picture times stand still", 1.0, "stand still"),
    Row("pictures in 90 kHz, sound as it should be",
        stamped(NORMAL, lambda ms: ms * 90, [PICTURE]), "picture times run 90", 1.0, "by arrival"),
    Row("pictures that jump", stamped(NORMAL, jumping(3, 5_000), [PICTURE]),
        "picture times jump from one to the next", 1.5, "by arrival"),
    Row("sound that stood still for 5 s", muted(publisher(20), SOUND),
        "sound and picture parted by 5.0 s: the sound was moved up", 12.0),
    Row("pictures that stood still for 5 s", muted(publisher(20), PICTURE),
        "sound and picture parted by 5.0 s: the picture was moved up", 12.0),
    Row("sound from below zero", stamped(NORMAL, lambda ms: ms - 43, [SOUND]),
        "its times begin 43 ms below zero: all are moved up", 0.1),
    Row("all from below zero", stamped(NORMAL, lambda ms: ms - 60),
        "its times begin 60 ms below zero: all are moved up", 0.1),
]  # fmt: skip


def lateness_ms(timed: list[Timed], kind: str, since_s: float) -> list[float]:
    """Times given minus the frames' own, in the order of arrival."""
    return [
        t.ms - t.frame.media_s * 1000
        for t in timed
        if t.frame.kind == kind and t.frame.came_s >= since_s
    ]


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_what_is_decided_of_a_publisher_and_which_times_it_gets(row: Row) -> None:
    clock = SourceClock()
    timed = run(row.frames, clock)
    if row.notice:
        assert row.notice in clock.notices[0]
        assert len(clock.notices) == 1 or "times" in row.notice
    else:
        assert clock.notices == []
    assert row.words in clock.words
    assert bool(row.words) is bool(clock.words)
    kinds = {frame.kind for frame in row.frames}
    middles = []
    for kind in kinds:
        times = [t.ms for t in timed if t.frame.kind == kind]
        # what was decided late moves nothing back
        assert all(a <= b for a, b in pairwise(times)) or "jump" in row.name
        late = lateness_ms(timed, kind, row.settled_s)
        assert len(late) > 10
        middles.append(statistics.median(late))
        spread = max(late) - min(late)
        assert spread <= (2 if not row.words else 120), (kind, spread)
    if "parted" in row.notice:
        # what stood still is 5 s late by now, and comes beside what does not
        assert abs(abs(middles[0] - middles[1]) - 5_000) < 100
    elif kinds == {PICTURE, SOUND}:
        assert abs(middles[0] - middles[1]) < (60 if row.words else 2 + 43)
    assert all(t.ms >= 0 for t in timed)


def test_normal_times_are_the_stamps_and_their_constant_offset() -> None:
    for frames in (NORMAL, stamped(NORMAL, lambda ms: ms + 77_777)):
        assert [t.ms for t in run(frames, SourceClock())] == [frame.stamp for frame in frames]


@settings(max_examples=25, deadline=None)
@given(
    pace=st.floats(0.985, 1.015),
    fps=st.sampled_from([5, 15, 24, 25, 30, 50, 60]),
    seed=st.integers(0, 2**16),
    late_s=st.sampled_from([0.02, 0.1, 0.5]),
    has_sound=st.booleans(),
    knows_rate=st.booleans(),
    start_ms=st.sampled_from([0, 1, 100_000, 2**31, 2**32 - 20_000]),
)
@example(1.01171875, 25, 51335, 0.5, True, False, 0)
@example(1.012, 25, 8, 0.5, True, False, 0)
def test_a_normal_publisher_is_never_touched(
    pace: float,
    fps: int,
    seed: int,
    late_s: float,
    has_sound: bool,
    knows_rate: bool,
    start_ms: int,
) -> None:
    source = random.Random(seed)
    frames = publisher(25, fps, has_sound=has_sound, knows_rate=knows_rate)
    frames = arriving(frames, lambda at_s: at_s + source.uniform(0, late_s))
    frames = stamped(frames, lambda ms: start_ms + ms * pace)
    clock = SourceClock()
    timed = run(frames, clock)
    assert clock.notices == []
    assert {(t.ms - t.frame.stamp) % 2**32 for t in timed} == {0}
    assert not any(t.is_set_anew for t in timed)


@settings(max_examples=20, deadline=None)
@given(
    stalls=st.lists(st.tuples(st.floats(0, 25), st.floats(0, 6)), max_size=4),
    has_sound=st.booleans(),
)
def test_a_publisher_that_is_held_up_on_its_way_is_never_touched(
    stalls: list[tuple[float, float]], has_sound: bool
) -> None:
    def came(at_s: float) -> float:
        for begin_s, length_s in stalls:
            if begin_s <= at_s < begin_s + length_s:
                at_s = begin_s + length_s
        return at_s

    frames = arriving(publisher(25, has_sound=has_sound), came)
    clock = SourceClock()
    timed = run(frames, clock)
    assert clock.notices == []
    assert [t.ms for t in timed] == [frame.stamp for frame in frames]


def test_stamps_that_are_right_again_are_taken_again_and_hardly_twice() -> None:
    def stamp(ms: int) -> float:
        return 0 if ms < 5_000 else 40_000 if 40_000 <= ms < 45_000 else ms

    clock = SourceClock()
    timed = run(stamped(publisher(70), stamp), clock)
    assert sorted({note.partition(" times ")[2] for note in clock.notices}) == [
        "are right again, and are taken again",
        "stand still: times of arrival are taken instead",
    ]
    assert "stand still" in clock.words, "not for another 40 s"
    for kind in (PICTURE, SOUND):
        late = lateness_ms(timed, kind, 1.0)
        assert max(late) - min(late) < 1_500


def test_data_follow_the_pictures() -> None:
    clock = SourceClock()
    run(stamped(NORMAL, lambda ms: ms - 60), clock)
    assert clock.data(1_000, 600.0) == 1_060
    by_arrival = SourceClock()
    last = run(stamped(NORMAL, lambda ms: 0), by_arrival)[-1]
    assert abs(by_arrival.data(0, 500.0 + last.frame.came_s) - last.ms) < 100
    assert SourceClock().data(5, 1.0) == 5


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.booleans(), st.integers(0, 2**32 - 1) | st.integers(0, 5_000), st.floats(0, 3)
        ),
        max_size=120,
    )
)
def test_whatever_comes_is_given_a_time(events: list[tuple[bool, int, float]]) -> None:
    clock = SourceClock()
    now = 0.0
    for is_picture, stamp, pause in events:
        now += pause
        (clock.video if is_picture else clock.audio)(stamp, now, 21.0)
        clock.data(stamp, now)
    assert len(clock.notices) < 60


def test_frames_in_order_is_a_helper_that_sorts() -> None:
    assert in_order(reversed(NORMAL))[0].came_s == 0.0
