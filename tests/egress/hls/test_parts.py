"""egress/hls/parts.py: parts of whole samples, on a grid of stream time."""

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.mp4.fragments import Run, Sample
from egress.hls.parts import Part, PartCutter, picture_target, sound_target
from tests.kit.mp4_reader import read_movie

GOP_MS = 2_000
RATES = [Fraction(r) for r in (5, 8, 10, 12, 15, 20, 24, 25, 30, 50, 60)] + [
    Fraction(30_000, 1001),
    Fraction(15_000, 1001),
    Fraction(60_000, 1001),
]


def cut(
    times_ms: list[int],
    target: int,
    gop_ms: int = GOP_MS,
    *,
    is_over: bool = True,
) -> list[Part]:
    """The parts of pictures at these times; those that begin a GOP are keyframes."""
    cutter, parts = PartCutter(1000, gop_ms, target), []
    for at, (ms, following) in enumerate(pairwise(times_ms)):
        is_key = not at or ms // gop_ms != times_ms[at - 1] // gop_ms
        parts += cutter.add(Run(1, ms, [Sample(b"%d" % ms, following - ms, 0, is_key)]))
    return parts + (cutter.finish() if is_over else [])


@pytest.mark.parametrize("fps", RATES, ids=str)
@pytest.mark.parametrize("part_s", [0.2, 1 / 3, 0.5, 1.0])
def test_parts_of_a_steady_rate_are_within_85_and_100_percent(fps: Fraction, part_s: float) -> None:
    target = picture_target(fps, part_s)
    parts = cut([round(1000 * n / fps) for n in range(int(6 * fps))], target)
    assert {part.msn for part in parts} == set(range(3))
    for part in parts:
        assert part.end - part.begin <= target
        assert part.is_last or part.end - part.begin >= 0.85 * target
    frame_ms = float(1000 / fps)
    assert abs(target - 1000 * part_s) <= max(frame_ms / 2 + 50 * part_s, 1.05 * frame_ms)


@pytest.mark.parametrize("told", [Fraction(25), Fraction(30), Fraction(60), None], ids=str)
@pytest.mark.parametrize("fps", [15, 18, 20, 24, 25, Fraction(30_000, 1001), 30, 50, 60], ids=str)
def test_parts_are_so_too_where_the_record_is_wrong_about_the_rate(
    told: Fraction | None, fps: Fraction
) -> None:
    """A camera sends less in the dark."""
    target = picture_target(told, 1 / 3)
    for part in cut([round(1000 * n / fps) for n in range(int(6 * fps))], target):
        assert part.end - part.begin <= target
        assert part.is_last or part.end - part.begin >= 0.85 * target


@given(
    st.sampled_from([Fraction(25), Fraction(30), Fraction(60), Fraction(30_000, 1001)]),
    st.lists(st.integers(-5, 5), min_size=100, max_size=100),
    st.integers(10, 10_000),
)
def test_jitter_of_stamps_changes_nothing_of_that(
    fps: Fraction, jitter: list[int], begin: int
) -> None:
    times = [begin + round(1000 * n / fps) + off for n, off in enumerate(jitter)]
    target = picture_target(fps, 1 / 3)
    for part in cut(sorted(set(times)), target)[:-1]:
        assert part.end - part.begin <= target
        assert part.is_last or part.end - part.begin >= 0.85 * target


@given(st.lists(st.integers(1, 5_000), min_size=2, max_size=80), st.integers(0, 100_000))
def test_whatever_comes_numbers_grow_and_no_sample_is_lost(steps: list[int], begin: int) -> None:
    times = [begin]
    for step in steps:
        times.append(times[-1] + step)
    parts = cut(times, 342)
    assert [(p.msn, p.part_index) for p in parts] == sorted({(p.msn, p.part_index) for p in parts})
    assert [p.begin for p in parts][1:] == [p.end for p in parts][:-1]
    assert parts[0].begin == times[0]
    assert parts[-1].end == times[-1]
    for part, following in pairwise(parts):
        assert part.is_last == (following.msn > part.msn)
        assert part.msn == part.begin // GOP_MS or part.part_index
        assert (following.part_index == 0) == part.is_last
        assert following.part_index in (0, part.part_index + 1)


def test_a_part_is_a_fragment_of_its_samples() -> None:
    parts = cut([0, 100, 200, 300, 2_000, 2_100], 342)
    assert [(p.begin, p.end, p.is_independent) for p in parts] == [
        (0, 300, True),
        (300, 2_000, False),
        (2_000, 2_100, True),
    ]
    movie = read_movie(b"".join(part.data for part in parts))
    assert [(s.dts, s.duration, s.is_key) for s in movie.of(1)] == [
        (0, 100, True),
        (100, 100, False),
        (200, 100, False),
        (300, 1_700, False),
        (2_000, 100, True),
    ]


def test_another_process_cuts_the_same_bytes_from_a_segments_begin_on() -> None:
    times = [round(n * 1000 / 30) for n in range(300)]
    first, later = cut(times, 342), cut([ms for ms in times if ms >= 4_000], 342)
    assert later == [part for part in first if part.msn >= 2]


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("frame", [960, 1024, 2048])
def test_parts_of_sound_are_whole_frames(rate: int, frame: int) -> None:
    target = sound_target(rate, frame, 1 / 3)
    cutter, parts = PartCutter(rate, GOP_MS, target), []
    for at in range(0, 9 * rate, frame):
        parts += cutter.add(Run(2, at, [Sample(b"s", frame, 0, True)]))
    assert {part.end - part.begin for part in parts if not part.is_last} == {target}
    assert [part.msn for part in parts if part.is_last] == [0, 1, 2, 3]
