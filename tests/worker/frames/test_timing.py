"""Keyframe grid, rate caps and windows, on plain numbers."""

import itertools
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.media.rates import FrameRate, usual_rate
from worker.frames.picture_choice import decimation
from worker.frames.timing import (
    FrameTimer,
    KeyframeGrid,
    PtsWindow,
    RateCap,
    Verdict,
    rendition_rate,
)


def times(fps: Fraction | int, count: int, start_ms: int = 0) -> list[int]:
    return [start_ms + round(index * 1000 / Fraction(fps)) for index in range(count)]


def timer(
    gop_ms: int = 2000,
    caps: tuple[Fraction | None, ...] = (Fraction(30),),
    window: PtsWindow | None = None,
    fps: Fraction | None = None,
) -> FrameTimer:
    return FrameTimer(gop_ms, caps, window or PtsWindow(), fps)


def taken(timer: FrameTimer, pts: list[int], rendition: int = 0) -> list[int]:
    return [pts_ms for pts_ms in pts if rendition in timer.plan(pts_ms).renditions]


@pytest.mark.parametrize(
    ("source", "cap", "n"),
    [
        (60, 30, 2),
        (50, 30, 2),
        (Fraction(60000, 1001), 30, 2),
        (60, Fraction(30000, 1001), 2),
        (30, 30, 1),
        (Fraction(30000, 1001), 30, 1),
        (30, Fraction(30000, 1001), 1),
        (25, 30, 1),
        (48, 30, 2),
        (120, 30, 4),
        (90, 25, 4),
        (30, 15, 2),
        (24, 10, 3),
    ],
)
def test_a_rendition_takes_every_nth_picture(
    source: Fraction | int, cap: Fraction | int, n: int
) -> None:
    assert decimation(float(source), Fraction(cap)) == n


def test_a_rendition_without_a_rate_takes_all() -> None:
    assert decimation(240.0, None) == 1
    assert taken(timer(caps=(None,)), times(120, 300)) == times(120, 300)


@pytest.mark.parametrize(
    ("source", "cap", "step"),
    [
        (60, 30, 2),
        (50, 30, 2),
        (Fraction(60000, 1001), 30, 2),
        (30, 30, 1),
        (Fraction(30000, 1001), 30, 1),
        (25, 30, 1),
        (120, 30, 4),
        (30, 15, 2),
        (30, 10, 3),
    ],
)
@pytest.mark.parametrize("knows_rate", [True, False])
def test_spacing_is_even(
    source: Fraction | int, cap: Fraction | int, step: int, knows_rate: bool
) -> None:
    pts = times(source, 500)
    rate = Fraction(source) if knows_rate else None
    got = taken(timer(gop_ms=10**9, caps=(Fraction(cap),), fps=rate), pts)
    # the rate needs some pictures to be found out
    settled = got if knows_rate else got[40:]
    indexes = [pts.index(pts_ms) for pts_ms in settled]
    assert {b - a for a, b in itertools.pairwise(indexes)} == {step}


@settings(max_examples=30, deadline=None)
@given(
    source=st.sampled_from([24, 25, 30, 48, 50, 60]),
    jitter=st.lists(st.integers(-3, 3), min_size=200, max_size=200),
)
def test_jitter_of_timestamps_does_not_disturb_the_spacing(source: int, jitter: list[int]) -> None:
    pts = [t + j for t, j in zip(times(source, 200, 100), jitter, strict=True)]
    got = taken(timer(gop_ms=10**9, fps=Fraction(source)), pts)
    indexes = [pts.index(pts_ms) for pts_ms in got]
    step = 1 if source <= 30 else 2
    assert {b - a for a, b in itertools.pairwise(indexes)} == {step}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(4, 90), min_size=60, max_size=250))
def test_a_variable_rate_is_never_faster_than_the_cap_for_long(steps: list[int]) -> None:
    pts = [0]
    for step in steps:
        pts.append(pts[-1] + step)
    got = taken(timer(gop_ms=10**9), pts)
    source_fps = (len(pts) - 1) * 1000 / pts[-1]
    fps = (len(got) - 1) * 1000 / max(1, got[-1] - got[0])
    # slower sources pass whole: then it is the source's rate that bounds it
    assert fps <= max(30 * 1.3, min(source_fps, 30) * 1.3)


def test_keyframes_are_the_first_pictures_past_multiples_of_the_gop() -> None:
    grid = KeyframeGrid(2000)
    keys = [pts_ms for pts_ms in times(25, 200, 530) if grid.is_key(pts_ms)]
    assert keys == [530, 2010, 4010, 6010, 8010]


@settings(max_examples=40, deadline=None)
@given(
    fps=st.sampled_from([Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(60)]),
    gop_ms=st.integers(500, 4000),
    start_ms=st.integers(0, 10_000),
    late=st.integers(1, 200),
)
def test_a_worker_that_begins_later_finds_the_same_grid(
    fps: Fraction, gop_ms: int, start_ms: int, late: int
) -> None:
    pts = times(fps, 400, start_ms)
    first, second = KeyframeGrid(gop_ms), KeyframeGrid(gop_ms)
    keys = {pts_ms for pts_ms in pts if first.is_key(pts_ms)}
    later = {pts_ms for pts_ms in pts[late:] if second.is_key(pts_ms)}
    assert later - keys <= {pts[late]}
    assert {key for key in keys if key > pts[late]} == later - {pts[late]}


def test_every_rendition_takes_the_keyframes_whatever_its_rate() -> None:
    machine = timer(gop_ms=1000, caps=(None, Fraction(30), Fraction(7)))
    plans = [machine.plan(pts_ms) for pts_ms in times(Fraction(60000, 1001), 400)]
    keys = [plan for plan in plans if plan.is_key]
    assert len(keys) == 7
    assert all(plan.renditions == (0, 1, 2) for plan in keys)


def test_a_source_that_changed_begins_with_a_keyframe() -> None:
    machine = timer()
    assert machine.plan(100).is_key
    assert not machine.plan(140).is_key
    machine.new_source(Fraction(25))
    assert machine.plan(180).is_key
    assert not machine.plan(220).is_key


def test_pictures_that_step_back_in_time_are_left_out() -> None:
    machine = timer()
    assert machine.plan(100).verdict is Verdict.ENCODE
    assert machine.plan(100).verdict is Verdict.SKIP
    assert machine.plan(60).verdict is Verdict.SKIP
    assert machine.plan(140).verdict is Verdict.ENCODE


def test_after_a_loss_encoding_resumes_with_a_keyframe_behind_the_last_picture_seen() -> None:
    machine = timer(window=PtsWindow(after_ms=1080))
    plans = {pts_ms: machine.plan(pts_ms) for pts_ms in times(25, 40)}
    encoded = [pts_ms for pts_ms, plan in plans.items() if plan.verdict is Verdict.ENCODE]
    assert encoded[0] == 1120
    assert plans[1120].is_key
    assert not plans[1160].is_key


def test_a_cut_parts_the_pictures_of_two_generations_without_loss_or_repeat() -> None:
    pts = times(25, 100)
    old = timer(gop_ms=1000, window=PtsWindow(until_ms=2000))
    new = timer(gop_ms=1000, window=PtsWindow(from_ms=2000))
    of_old = [t for t in pts if old.plan(t).verdict is Verdict.ENCODE]
    of_new = [t for t in pts if new.plan(t).verdict is Verdict.ENCODE]
    assert of_old + of_new == pts
    assert of_new[0] == 2000
    assert old.plan(5000).verdict is Verdict.PAST_END


@pytest.mark.parametrize(
    ("fps", "rate"),
    [
        (29.9, Fraction(30000, 1001)),
        (30.01, Fraction(30)),
        (24.95, Fraction(25)),
        (59.95, Fraction(60000, 1001)),
        (17.2, Fraction(17200, 1000)),
        (0.0001, Fraction(1, 1000)),
    ],
)
def test_measured_rates_are_taken_for_usual_ones(fps: float, rate: Fraction) -> None:
    assert usual_rate(fps) == rate


@pytest.mark.parametrize(
    ("declared", "cap", "rate"),
    [
        (Fraction(60), Fraction(30), 30),
        (Fraction(50), Fraction(30), 25),
        (Fraction(25), Fraction(30), 25),
        (None, Fraction(30), 30),
        (None, Fraction(15), 15),
        (Fraction(1000), Fraction(30), 30),  # a time base, not a rate: seen from FFmpeg
        (Fraction(60), None, 60),
    ],
)
def test_the_rate_to_expect_of_a_rendition(
    declared: Fraction | None, cap: Fraction | None, rate: int
) -> None:
    assert rendition_rate(declared, cap) == rate


def test_a_rate_is_measured_over_the_last_pictures_and_not_over_a_pause() -> None:
    meter = FrameRate(Fraction(60))
    assert meter.fps == 60
    for pts_ms in times(25, 50):
        meter.observe(pts_ms)
    assert meter.fps == pytest.approx(25)
    meter.observe(100_000)
    assert meter.measured_ms == 0
    for pts_ms in times(50, 50, 100_020):
        meter.observe(pts_ms)
    assert meter.fps == pytest.approx(50)


def test_a_cap_counts_what_it_took() -> None:
    cap = RateCap(Fraction(30))
    for pts_ms in times(60, 200):
        cap.takes(pts_ms, False, 60.0)
    assert cap.rate.fps == pytest.approx(30, rel=0.01)


def test_a_rendition_may_be_told_to_take_every_second_picture_and_all_again() -> None:
    timer = FrameTimer(1000, [Fraction(30), None], PtsWindow(), Fraction(30))
    timer.divide(0, 2)
    times = [round(index * 1000 / 30) for index in range(90)]
    taken = [[pts_ms for pts_ms in times if 0 in timer.plan(pts_ms).renditions]]
    assert 45 <= len(taken[0]) <= 47
    assert {1000, 2000} <= set(taken[0])
    timer.divide(0, 1)
    later = [3000 + pts_ms for pts_ms in times]
    assert [pts_ms for pts_ms in later if 0 in timer.plan(pts_ms).renditions] == later


def test_a_rendition_at_the_sources_rate_can_be_halved_too() -> None:
    timer = FrameTimer(10_000, [None], PtsWindow(), Fraction(25))
    timer.divide(0, 2)
    taken = [index for index in range(100) if timer.plan(40 * index).renditions]
    assert taken == list(range(0, 100, 2))


def test_freeze_frames_say_nothing_of_the_rate() -> None:
    timer = FrameTimer(1000, [Fraction(30)], PtsWindow(), Fraction(30))
    for index in range(90):
        timer.plan(round(index * 1000 / 30))
    assert timer.rate(0).fps == pytest.approx(30, abs=0.5)
    times = [3000 + index * 100 for index in range(50)]
    plans = [timer.repeat_picture(pts_ms) for pts_ms in times]
    assert all(plan.renditions == (0,) for plan in plans)
    assert [t for t, plan in zip(times, plans, strict=True) if plan.is_key] == times[::10]
    assert timer.rate(0).fps is None
    assert timer.source_fps == 30
    assert timer.last_ms == times[-1]


@pytest.mark.parametrize("source", [24, 31, 35, 40, 45, 50, 59, 60, 75, 100, 144])
def test_a_rendition_keeps_its_rate_before_its_sources_rate_is_known(source: int) -> None:
    pts = [pts_ms for pts_ms in times(source, source) if pts_ms < 900]
    cap = RateCap(Fraction(30))
    kept = [pts_ms for pts_ms in pts if cap.takes(pts_ms, pts_ms == 0, None)]
    assert 0.75 * min(source, 30) * 0.9 <= len(kept) <= min(source, 30) * 0.9 + 1


@given(st.lists(st.integers(-8, 8), min_size=30, max_size=30))
@settings(max_examples=30, deadline=None)
def test_jitter_costs_no_picture_of_an_unknown_rate_that_is_the_renditions(
    jitter: list[int],
) -> None:
    cap = RateCap(Fraction(30))
    pts = [pts_ms + late for pts_ms, late in zip(times(30, 30), jitter, strict=True)]
    assert sum(cap.takes(pts_ms, index == 0, None) for index, pts_ms in enumerate(pts)) >= 26
