"""ingest/streams/clock/source_kind.py: one kind of media, whose stamps are believed."""

import pytest

from ingest.streams.clock.source_kind import (
    BACK_FRAMES,
    BACK_MS,
    STEP_BACK_MS,
    SourceKind,
)

INTERVAL_S = 0.04


def believed(
    stamps: list[int], *, is_young: bool = False, frame_ms: float | None = 40.0
) -> tuple[list[int], SourceKind]:
    """The times of frames that come evenly."""
    kind = SourceKind("picture", is_sound=False)
    times = []
    for number, stamp in enumerate(stamps):
        now = 100 + number * INTERVAL_S
        kind.pace.observe(stamp, now, frame_ms)
        time_ms = kind.believe(stamp, now, frame_ms, is_young=is_young)
        kind.give(time_ms, now)
        times.append(time_ms)
    return times, kind


def even(count: int, start_ms: int = 0) -> list[int]:
    return [start_ms + number * 40 for number in range(count)]


def test_stamps_are_taken_as_they_are() -> None:
    assert believed(even(50, 7_000))[0] == even(50, 7_000)


@pytest.mark.parametrize("by_ms", [700, 3_000, 3_600_000])
def test_a_clock_that_is_set_ahead_is_not_followed(by_ms: int) -> None:
    times, kind = believed([*even(50), *even(50, 2_000 + by_ms)])
    assert times == even(100)
    assert kind.set_words == f"ahead by {by_ms / 1000:.1f} s"


@pytest.mark.parametrize("by_ms", [300, 600, 900])
def test_a_clock_that_is_set_back_is_not_followed_once_it_stays_behind(by_ms: int) -> None:
    times, kind = believed([*even(50), *even(50, 2_000 - by_ms)])
    late = [wanted - ms for wanted, ms in zip(even(100), times, strict=True)]
    if by_ms - 40 * BACK_FRAMES > BACK_MS:
        assert late == [0] * 50 + [by_ms] * BACK_FRAMES + [0] * (50 - BACK_FRAMES)
        assert kind.set_words == f"back by {by_ms / 1000:.1f} s"
    else:  # it is soon where it was
        assert late == [0] * 50 + [by_ms] * 50


def test_a_step_back_of_more_is_left_to_the_timeline() -> None:
    stamps = [*even(50, 9_000), *even(50, 11_000 - STEP_BACK_MS - 100)]
    assert believed(stamps)[0] == stamps


def test_what_is_reordered_is_no_clock_that_was_set() -> None:
    """Times of display in the place of those of decoding, with seven B-frames in a row."""
    order = [0, 8, 4, 2, 1, 3, 6, 5, 7]
    stamps = [(8 * group + place) * 40 for group in range(10) for place in order[bool(group) :]]
    assert believed(stamps)[0] == stamps


def test_of_few_frames_a_jump_is_followed() -> None:
    stamps = [*even(5), *even(5, 9_000)]
    assert believed(stamps, frame_ms=None)[0] == stamps


def test_a_young_publishers_jumps_are_held_back_and_then_followed() -> None:
    times, kind = believed([0, 40, 9_080, 9_120], is_young=True)
    assert times == even(4)
    assert kind.believe(9_160, 100.16, 40.0, is_young=False) == 9_160
