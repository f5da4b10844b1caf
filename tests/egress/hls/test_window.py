"""egress/hls/window.py: numbers without holes, times that add up, bounds in time and bytes."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from egress.hls.parts import Part
from egress.hls.window import MIN_SEGMENTS, Discontinuities, Window, WindowLimits
from tests.egress.hls.test_parts import GOP_MS, cut

LIMITS = WindowLimits(10.0, 1 << 30)


def window(limits: WindowLimits = LIMITS, discontinuities: Discontinuities | None = None) -> Window:
    made = Window(GOP_MS, 0.342, limits, discontinuities or Discontinuities())
    made.configure("one", b"init")
    return made


def filled(parts: list[Part], limits: WindowLimits = LIMITS) -> Window:
    made = window(limits)
    for part in parts:
        made.add(part, 1000)
    return made


def steady(begin_ms: int, end_ms: int) -> list[Part]:
    return cut([*range(begin_ms, end_ms, 40)], 330, is_over=False)


def test_parts_alone_are_no_playlist() -> None:
    found = filled(steady(4_000, 5_000))
    assert [(s.msn, s.is_complete) for s in found.segments] == [(2, False)]
    assert found.next_part == (2, 3)
    assert found.has_media
    assert not found.has_segment
    assert filled(steady(4_000, 6_100)).has_segment


def test_a_streams_first_segment_has_none_before_it() -> None:
    found = filled(steady(0, 1_000))
    assert [s.msn for s in found.segments] == [0]
    assert not found.has_segment
    assert found.last_complete == -1


def test_a_complete_segment_is_its_parts_in_a_row() -> None:
    parts = steady(4_000, 6_100)
    found = filled(parts)
    segment = found.segment(2)
    assert segment is not None
    assert segment.data == b"".join(part.data for part in parts if part.msn == 2)
    assert b"".join(bytes(part.data) for part in segment.parts) == segment.data
    assert segment.seconds == 2.0
    assert found.last_complete == 2


def test_no_segment_lasts_half_a_second_longer_than_the_target_duration() -> None:
    """Half of a second may be rounded up (draft-pantos-hls-rfc8216bis, 4.4.3.1)."""
    for end_ms in (6_499, 6_500, 6_501, 7_900):
        found = filled(cut([*range(4_000, 5_200, 40), end_ms, end_ms + 40], 330))
        segment = found.segment(2)
        assert segment is not None
        assert segment.seconds < found.target_duration + 0.5, end_ms


def test_what_is_missing_is_listed_as_a_gap() -> None:
    found = filled(cut([*range(4_000, 5_000, 40), *range(10_500, 11_000, 40)], 330))
    listed = [(s.msn, s.is_gap, round(s.begin_s, 3), round(s.end_s, 3)) for s in found.segments]
    assert listed[-4:] == [  # the gap in front is gone
        (2, False, 4.0, 6.0),
        (3, True, 6.0, 8.0),
        (4, True, 8.0, 10.0),
        (5, False, 10.0, 10.98),
    ]


def test_old_segments_go_by_time_and_by_bytes_and_some_stay() -> None:
    long = steady(0, 60_000)
    by_time = filled(long)
    assert [s.msn for s in by_time.segments] == [24, 25, 26, 27, 28, 29]
    assert by_time.segment(17) is None
    by_bytes = filled(long, WindowLimits(1e9, 1))
    assert len(by_bytes.segments) == MIN_SEGMENTS + 1
    assert by_bytes.segment(by_bytes.segments[0].msn - 1) is None, "memory is bounded"
    assert by_bytes.size == sum(s.size for s in by_bytes.segments) + len(b"init")


def test_a_segment_that_ends_with_an_absence_stays_as_long_from_when_it_was_whole() -> None:
    """Its last frame lasts until the next one comes: it was whole, and listed so, only then."""
    for away_ms in (0, 4_000, 9_000, 11_000, 30_000, 60_000):
        made, back_ms = window(), 20_500 + away_ms
        parts = cut([*range(0, 20_500, 40), *range(back_ms, back_ms + 60_000, 40)], 330)
        gone_s = None
        for part in parts:
            made.add(part, 1000)
            if gone_s is None and part.msn > 10 and made.segment(10) is None:
                gone_s = part.end / 1000
        whole_s = max(back_ms / 1000, 22.0)
        assert gone_s is not None
        assert gone_s >= whole_s + 2.0 + 10.0, away_ms


def test_what_is_listed_no_longer_can_be_asked_for_by_those_who_know_it() -> None:
    """Until it appeared, plus its own duration, plus the longest playlist's (6.2.2)."""
    made = window()
    gone_s: dict[int, float] = {}
    for part in steady(0, 60_000):
        made.add(part, 1000)
        now_s = part.end / 1000
        for msn in range(made.segments[0].msn):
            if made.segment(msn) is None:
                gone_s.setdefault(msn, now_s)
    assert gone_s
    for msn, at_s in gone_s.items():
        first_s = 2.0 * (msn + 1)
        assert first_s + 2.0 + 10.0 <= at_s <= first_s + 2.0 + 14.0
    unlisted = sum(made.segment(msn) is not None for msn in range(made.segments[0].msn))
    assert made.size == len(b"init") + sum(
        one.size for msn in range(30) if (one := made.segment(msn)) is not None
    )
    assert 1 <= unlisted <= 3


def test_no_less_than_three_target_durations_stay_listed() -> None:
    """Segments may be shorter than their target."""
    made = Window(1_500, 0.342, WindowLimits(1.0, 1), Discontinuities())
    made.configure("one", b"init")
    for part in cut([*range(0, 30_000, 40)], 330, 1_500):
        made.add(part, 1000)
        whole = [segment for segment in made.segments if segment.is_complete]
        assert made.segments[0].msn == 0 or sum(segment.seconds for segment in whole) >= 3 * 2


def test_an_init_that_no_segment_needs_any_more_goes() -> None:
    found = filled(steady(0, 4_100))
    found.end_segment()
    found.configure("two", b"another")
    for part in steady(6_000, 40_000):
        found.add(part, 1000)
    assert found.inits == {"two": b"another"}


def test_discontinuities_are_counted_in_front_of_a_segment() -> None:
    found = Discontinuities()
    found.add(5)
    found.add(9)
    assert [found.before(msn) for msn in (0, 5, 6, 9, 10)] == [0, 0, 1, 1, 2]
    assert 5 in found
    assert 6 not in found


def test_a_part_whose_time_is_over_is_dropped() -> None:
    found = filled(steady(4_000, 8_100))
    version = found.version
    found.add(steady(4_000, 4_400)[0], 1000)
    assert found.version == version


@given(st.lists(st.integers(1, 5_000) | st.just(40), min_size=2, max_size=120))
def test_whatever_comes_a_playlist_holds(steps: list[int]) -> None:
    times = [10_000]
    for step in steps:
        times.append(times[-1] + step)
    made, last_first, targets = window(), -1, set()
    for part in cut(times, 330):
        made.add(part, 1000)
        segments = list(made.segments)
        numbers = [segment.msn for segment in segments]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert numbers[0] >= last_first
        last_first = numbers[0]
        targets.add(made.target_duration)
        for before, after in pairwise(segments):
            assert before.is_complete
            assert abs(before.end_s - after.begin_s) < 0.01
        for segment in segments:
            assert segment.seconds > 0
            assert not segment.is_complete or segment.seconds < made.target_duration + 0.5
            assert all(one.seconds <= made.target + 1e-9 for one in segment.parts)
            if segment.parts:
                assert abs(sum(one.seconds for one in segment.parts) - segment.seconds) < 0.001
    assert targets == {2}
