"""Frames of sound that share a time are spread evenly, at the pace of the stamps."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.streams.clock.frame_spread import FrameSpread

FRAME_MS = 1024 * 1000 / 44_100


def spread(stamps: list[int], frame_ms: float | None = FRAME_MS) -> list[int]:
    frames = FrameSpread()
    return [frames.take(stamp, frame_ms) for stamp in stamps]


def grouped(
    frames: int, sizes: list[int], pace: float = 1.0, *, of_last: bool = False
) -> list[int]:
    """Stamps of groups; each is the time of its first frame, or of its last."""
    stamps: list[int] = []
    while len(stamps) < frames:
        size = sizes[len(stamps) % len(sizes)]
        at = len(stamps) + (size - 1 if of_last else 0)
        stamps += [round(at * FRAME_MS * pace)] * size
    return stamps


def test_even_stamps_pass_as_they_are() -> None:
    stamps = [round(i * FRAME_MS) for i in range(500)]
    assert spread(stamps) == stamps


def test_jitter_and_pauses_pass_as_they_are() -> None:
    stamps = [0, 30, 40, 75, 90, 500, 523, 546, 5_000, 5_023]
    assert spread(stamps) == stamps


@pytest.mark.parametrize("size", [2, 3, 4, 7, 20])
@pytest.mark.parametrize("of_last", [False, True])
def test_groups_are_spread_evenly_from_their_time(size: int, of_last: bool) -> None:
    given_ms = spread(grouped(1000, [size], of_last=of_last))
    first_ms = given_ms[0]
    wanted = [first_ms + i * FRAME_MS for i in range(len(given_ms))]
    assert max(abs(a - b) for a, b in zip(given_ms, wanted, strict=True)) <= 1.5


def test_frames_that_come_in_a_burst_a_millisecond_apart_are_spread() -> None:
    stamps = [round(i // 2 * 2 * FRAME_MS) + i % 2 for i in range(400)]
    steps = [after - before for before, after in pairwise(spread(stamps))]
    assert {22, 23, 24} >= set(steps)


def test_each_frame_begins_where_the_one_before_ends() -> None:
    frames = FrameSpread()
    lengths_ms = [10.0, 30.0, 20.0, 40.0]
    assert [frames.take(0, length_ms) for length_ms in lengths_ms] == [0, 10, 40, 60]


def test_frames_of_unknown_length_pass_as_they_are() -> None:
    assert spread([0, 0, 0, 70, 70], None) == [0, 0, 0, 70, 70]


@pytest.mark.parametrize("pace", [0.98, 1.0, 1.02])
def test_sound_runs_at_the_pace_of_the_stamps(pace: float) -> None:
    stamps = grouped(20_000, [3], pace)
    given_ms = spread(stamps)
    assert max(abs(a - b) for a, b in zip(given_ms, stamps, strict=True)) < 120
    assert all(after > before for before, after in pairwise(given_ms))


def test_after_a_pause_the_stamp_is_taken() -> None:
    given_ms = spread([0, 0, 0, 70, 70, 70, 3_000, 3_000, 3_000, 3_070])
    assert given_ms[6:] == [3_000, 3_023, 3_046, 3_070]


def test_a_time_that_is_set_anew_is_taken() -> None:
    frames = FrameSpread()
    for stamp in (0, 0, 0):
        frames.take(stamp, FRAME_MS)
    assert frames.take(10, FRAME_MS, is_set_anew=True) == 10


def test_even_stamps_pass_again_after_groups() -> None:
    stamps = grouped(300, [3]) + [round((300 + i) * FRAME_MS) for i in range(200)]
    assert spread(stamps)[-100:] == stamps[-100:]


def test_stamps_that_stand_are_given_up_after_a_second() -> None:
    given_ms = spread([0] * 300)
    assert max(given_ms) <= 1_050
    assert given_ms[100:] == [0] * 200


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=5),
    st.floats(0.97, 1.03),
    st.booleans(),
    st.integers(-5, 5),
)
def test_groups_of_any_size_come_in_order_near_their_stamps(
    sizes: list[int], pace: float, of_last: bool, jitter: int
) -> None:
    stamps = grouped(600, sizes, pace, of_last=of_last)
    stamps = [s + (jitter if s % 3 else 0) for s in stamps]
    given_ms = spread(stamps)
    assert all(after > before for before, after in pairwise(given_ms))
    assert max(abs(a - b) for a, b in zip(given_ms, stamps, strict=True)) < 8 * FRAME_MS
