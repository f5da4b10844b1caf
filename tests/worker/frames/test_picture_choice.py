"""worker/frames/picture_choice.py: pictures are chosen by count over time."""

import random
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.frames.picture_choice import PictureChoice, decimation, tolerance

RATES = (10, 15, 20, 24, 25, 30, 48, 50, 60)


def times(fps: float, count: int) -> list[int]:
    return [100 + round(index * 1000 / fps) for index in range(count)]


def taken(choice: PictureChoice, pts: list[int], fps: float | None) -> list[int]:
    """Indexes of what is taken; the first is a keyframe."""
    return [index for index, at in enumerate(pts) if choice.takes(at, index == 0, fps)]


def jittered(pts: list[int], jitter: list[int]) -> list[int]:
    """As they come from ingest: never back, at least 1 ms apart."""
    out: list[int] = []
    for at, late in zip(pts, jitter, strict=False):
        out.append(max(at + late, out[-1] + 1 if out else 0))
    return out


# The source's pictures a second, as they come; the rendition's; what was measured; what is taken.
TABLE = [
    (30, 30, 30.0, 1), (30, 30, 31.4, 1), (29.97, 30, 29.97, 1), (25, 30, 25.0, 1),
    (60, 30, 60.0, 2), (60, 30, 59.94, 2), (59.94, 30, 60.06, 2), (50, 30, 50.0, 2),
    (30, 15, 30.0, 2), (30, 10, 30.0, 3), (24, 10, 24.0, 3), (120, 30, 120.0, 4),
]  # fmt: skip


@pytest.mark.parametrize(("source", "cap", "measured", "n"), TABLE)
@pytest.mark.parametrize("swing_ms", [0, 3, 20])
def test_every_nth_is_taken_however_the_stamps_swing(
    source: float, cap: int, measured: float, n: int, swing_ms: int
) -> None:
    pts = jittered(times(source, 600), [swing_ms, -swing_ms] * 300)
    got = taken(PictureChoice(Fraction(cap)), pts, measured)
    assert got == list(range(0, 600, n))


@settings(max_examples=60, deadline=None)
@given(
    fps=st.sampled_from(RATES),
    seed=st.integers(0, 2**16),
    error=st.floats(-0.02, 0.02),
)
def test_jitter_at_the_renditions_own_rate_costs_no_picture(
    fps: int, seed: int, error: float
) -> None:
    source = random.Random(seed)
    pts = jittered(times(fps, 400), [source.randint(-20, 20) for _ in range(400)])
    got = taken(PictureChoice(Fraction(fps)), pts, fps * (1 + error))
    assert got == list(range(400))


@settings(max_examples=40, deadline=None)
@given(fps=st.sampled_from([48, 50, 60]), seed=st.integers(0, 2**16))
def test_jitter_does_not_disturb_the_spacing(fps: int, seed: int) -> None:
    source = random.Random(seed)
    pts = jittered(times(fps, 400), [source.randint(-20, 20) for _ in range(400)])
    got = taken(PictureChoice(Fraction(30)), pts, fps)
    assert {b - a for a, b in pairwise(got)} == {2}


def test_stamps_of_several_pictures_at_once_cost_none() -> None:
    pts = jittered([100 + index // 4 * 133 for index in range(400)], [0] * 400)
    got = taken(PictureChoice(Fraction(30)), pts, 30.0)
    assert got[-380:] == list(range(20, 400))
    assert len(got) >= 398


def test_a_source_that_became_slower_than_measured_is_not_thinned() -> None:
    choice = PictureChoice(Fraction(30))
    taken(choice, times(60, 240), 60.0)
    begin_ms = 100 + 4_000
    slow = [begin_ms + index * 40 for index in range(100)]
    got = [at for at in slow if choice.takes(at, False, 60.0)]
    assert len([at for at in got if at >= begin_ms + 500]) >= 80


def test_a_source_that_became_faster_than_measured_is_thinned() -> None:
    choice = PictureChoice(Fraction(30))
    taken(choice, times(25, 100), 25.0)
    fast = [4_200 + round(index * 1000 / 60) for index in range(240)]
    got = [at for at in fast if choice.takes(at, False, 25.0)]
    assert 110 <= len(got) <= 4 * (31.5 + tolerance(31.5)) + tolerance(31.5)


def test_a_rate_about_a_border_does_not_swing_to_and_fro() -> None:
    choice = PictureChoice(Fraction(30))
    pts = times(31.5, 600)
    got = [at for index, at in enumerate(pts) if choice.takes(at, False, 31.4 + index % 2 * 0.3)]
    assert len(got) >= 590


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 90), min_size=200, max_size=400))
def test_a_rendition_is_never_faster_than_its_rate_for_long(steps: list[int]) -> None:
    pts = [0]
    for step in steps:
        pts.append(pts[-1] + step)
    measured = (len(pts) - 1) * 1000 / pts[-1]
    got = taken(PictureChoice(Fraction(30)), pts, measured)
    for begin in range(0, len(got) - 60, 20):
        span_ms = pts[got[begin + 60]] - pts[got[begin]]
        assert 60_000 / span_ms <= 30 * 1.05 + 2 * tolerance(31.5) * 1000 / span_ms + 2.5


def test_keyframes_are_taken_and_counted() -> None:
    choice = PictureChoice(Fraction(15))
    pts = times(30, 90)
    got = [at for index, at in enumerate(pts) if choice.takes(at, index % 5 == 0, 30.0)]
    assert set(pts[::5]) <= set(got)
    assert len(got) <= 55


def test_a_divisor_thins_and_is_taken_back() -> None:
    choice = PictureChoice(None)
    choice.divisor = 2
    assert taken(choice, times(25, 100), 25.0) == list(range(0, 100, 2))
    choice.divisor = 1
    assert taken(choice, times(25, 100), 25.0) == list(range(100))


@pytest.mark.parametrize(("fps", "n"), [(30, 1), (60, 2), (90, 3)])
def test_a_source_of_unknown_rate_is_taken_evenly_from_the_start(fps: int, n: int) -> None:
    pts = times(fps, fps)
    assert taken(PictureChoice(Fraction(30)), pts, None) == list(range(0, fps, n))


@pytest.mark.parametrize("fps", [24, 31, 45, 60, 100, 144])
def test_before_the_sources_rate_is_known_the_renditions_holds(fps: int) -> None:
    pts = [at for at in times(fps, fps) if at < 1_000]
    got = taken(PictureChoice(Fraction(30)), pts, None)
    assert 0.75 * 0.9 * min(fps, 30) <= len(got) <= 0.9 * min(fps, 30) + 2
    assert taken(PictureChoice(None), pts, None) == list(range(len(pts)))


@pytest.mark.parametrize(
    ("fps", "cap", "n"), [(60, 30, 2), (31.4, 30, 1), (31.6, 30, 2), (0, 9, 1)]
)
def test_decimation(fps: float, cap: int, n: int) -> None:
    assert decimation(fps, Fraction(cap)) == n
    assert decimation(fps, None) == 1


@pytest.mark.parametrize("pace", [0.5, 0.7, 0.8, 0.9, 0.95])
@pytest.mark.parametrize(("fps", "cap", "n"), [(30, 30, 1), (30, 15, 2), (25, 30, 1), (60, 30, 2)])
def test_a_slow_clock_costs_no_picture_until_it_is_found(
    pace: float, fps: int, cap: int, n: int
) -> None:
    """So its pictures come closer than they are; ingest finds it within 2 to 4 s."""
    seconds = 0.35 / (1 - pace)
    count = round(seconds * fps)
    pts = [round(at * pace) for at in times(fps, count)]
    got = taken(PictureChoice(Fraction(cap), Fraction(fps)), pts, fps / pace)
    assert got == list(range(0, count, n))


def test_a_source_that_is_faster_than_it_says_is_held_to_the_rate_after_a_second() -> None:
    got = taken(PictureChoice(Fraction(30), Fraction(30)), times(60, 1200), 60.0)
    assert len(got) <= 600 + 40
    assert {b - a for a, b in pairwise(got[100:])} == {2}


def test_a_source_that_is_slower_than_it_says_is_taken_whole() -> None:
    got = taken(PictureChoice(Fraction(30), Fraction(60)), times(30, 300), 30.0)
    assert got == list(range(300))
