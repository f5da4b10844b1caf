"""worker/frames/display_times.py: the k-th shown picture gets the k-th smallest time."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.frames.display_times import CALM, DisplayTimes

STEP_MS = 40


def decoding_order(count: int, b_frames: int) -> list[int]:
    """Display numbers in decoding order: I P B B P B B …"""
    order = [0]
    for anchor in range(1 + b_frames, count, 1 + b_frames):
        order += [anchor, *range(anchor - b_frames, anchor)]
    return order


def shown(
    order: list[int],
    delay: int,
    *,
    has_composition: bool = False,
    lost: frozenset[int] = frozenset(),
) -> dict[int, int]:
    """What a decoder of this reorder delay shows: the time given, by display number.

    The decoder takes units in decoding order and gives pictures in display order, `delay` units
    later; `lost` units (by place in decoding order) go in and give none.
    """
    times = DisplayTimes()
    inside: list[tuple[int, int]] = []
    out = {}
    for place, number in enumerate(order):
        dts_ms = place * STEP_MS
        pts_ms = (number + delay) * STEP_MS if has_composition else dts_ms
        times.put(dts_ms, pts_ms)
        if place not in lost:
            inside.append((number, pts_ms))
        if len(inside) > delay or (place in lost and len(inside) > delay):
            inside.sort()
            first, own_ms = inside.pop(0)
            out[first] = times.take(own_ms)
    return out


@pytest.mark.parametrize("b_frames", [1, 2, 3])
def test_without_composition_times_pictures_are_shown_evenly_and_in_order(b_frames: int) -> None:
    out = shown(decoding_order(200, b_frames), delay=1 if b_frames < 3 else 2)
    times = [out[number] for number in sorted(out)]
    assert len(times) >= 190
    assert all(a < b for a, b in pairwise(times))
    settled = [b - a for a, b in pairwise(times[10:])]
    assert set(settled) == {STEP_MS}


@pytest.mark.parametrize(("b_frames", "delay"), [(0, 0), (0, 2), (2, 1), (3, 2)])
def test_with_composition_times_or_without_b_frames_a_pictures_own_time_is_right(
    b_frames: int, delay: int
) -> None:
    has_composition = b_frames > 0
    out = shown(decoding_order(200, b_frames), delay, has_composition=has_composition)
    late = delay if has_composition else 0
    assert out == {number: (number + late) * STEP_MS for number in out}


def test_a_unit_without_a_picture_moves_nothing_for_long() -> None:
    order = decoding_order(301, 2)
    lost = frozenset({100, 151, 203})
    out = shown(order, 1, lost=lost)
    places = {number: place for place, number in enumerate(sorted(order))}
    late = [places[number] * STEP_MS - time_ms for number, time_ms in sorted(out.items())]
    assert abs(late[-5] - late[20]) <= STEP_MS
    plain = shown(list(range(200)), 0, lost=frozenset({50}))
    assert plain == {number: number * STEP_MS for number in range(200) if number != 50}


def test_after_a_while_in_order_own_times_are_right_again() -> None:
    times = DisplayTimes()
    for at in range(0, 400, 40):
        times.put(at, at)
    for at in (0, 80, 40):
        times.take(at)
    last_ms = 400
    for number in range(CALM + 100):
        last_ms += 40
        times.put(last_ms, last_ms)
        given = times.take(last_ms)
        if number > CALM:
            assert given == last_ms


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5_000), st.booleans()), max_size=200))
def test_whatever_comes_out_of_a_stream_without_composition_times_grows_once_it_is_known(
    events: list[tuple[int, bool]],
) -> None:
    times = DisplayTimes()
    for at in range(20):
        times.put(at, at)
    times.take(19)
    before = times.take(5)
    for at, comes in events:
        if comes:
            times.put(at, at)
        elif times.take(at) <= before:
            raise AssertionError("a time that steps back")
        else:
            before = before + 1


@pytest.mark.parametrize(
    ("name", "composition_ms"),
    [
        ("in pictures", lambda place, own_ms: own_ms // STEP_MS),
        ("the same for all", lambda place, own_ms: 2 * STEP_MS),
        ("some missing", lambda place, own_ms: own_ms if place % 5 else 0),
        ("garbage", lambda place, own_ms: place * 7919 % 100),
    ],
)
def test_composition_times_that_are_wrong_cost_no_picture(
    name: str, composition_ms: Callable[[int, int], int]
) -> None:
    times = DisplayTimes()
    inside: list[tuple[int, int]] = []
    given = []
    for place, number in enumerate(decoding_order(300, 2)):
        dts_ms = place * STEP_MS
        pts_ms = dts_ms + composition_ms(place, (number + 1) * STEP_MS - dts_ms)
        times.put(dts_ms, pts_ms)
        inside.append((number, pts_ms))
        if len(inside) > 1:
            inside.sort()
            given.append(times.take(inside.pop(0)[1]))
    settled = given[100:]
    assert all(a < b for a, b in pairwise(settled))
    assert max(b - a for a, b in pairwise(settled)) <= 4 * STEP_MS


def test_one_picture_out_of_order_is_no_wrong_composition_time() -> None:
    times = DisplayTimes()
    for place in range(100):
        pts_ms = place * STEP_MS + 2 * STEP_MS if place != 50 else 45 * STEP_MS
        times.put(place * STEP_MS, pts_ms)
        assert times.take(pts_ms) == pts_ms
