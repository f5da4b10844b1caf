"""Publishers' clocks down to what renditions take: each kind of oddity, alone and with others."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kit.publisher_served import serve
from tests.kit.publisher_times import PICTURE, SOUND, Frame, arriving, publisher, stamped

SECONDS = 24


def lumps(seconds: float) -> Callable[[float], float]:
    """A sender, or a path, that gives what so long brings at once."""
    return lambda at_s: math.ceil(at_s / seconds - 1e-9) * seconds


def scaled(pace: float) -> Callable[[int], float]:
    return lambda ms: ms * pace


def jittering(most_ms: int, *, is_even: bool = False, seed: int = 1) -> list[Frame]:
    source, sign = random.Random(seed), [1]

    def jittered(ms: int) -> float:
        sign[0] = -sign[0]
        return ms + 1_000 + (sign[0] * most_ms if is_even else source.randint(-most_ms, most_ms))

    later = stamped(publisher(SECONDS), lambda ms: ms + 1_000, [SOUND])
    return stamped(later, jittered, [PICTURE])


@dataclass(frozen=True)
class Row:
    """A publisher of 30 pictures a second, and how well it has to be served."""

    name: str
    frames: list[Frame]
    share: float = 0.99  # of the pictures, in a rendition of 30 and in one of 15
    settled_s: float = 6.0
    speed: float = 0.02  # off the clock's
    spread_ms: float = 60
    apart_ms: float = 60


BOTH = (PICTURE, SOUND)
ROWS = [
    *(Row(f"x{pace}", stamped(publisher(SECONDS), scaled(pace)), 0.995, 10.0)
      for pace in (0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 1.05, 1.1, 1.2, 1.5, 2.0)),
    *(Row(f"pictures x{pace}", stamped(publisher(SECONDS), scaled(pace), [PICTURE]), 0.995, 10.0)
      for pace in (0.5, 0.8, 0.9, 1.1, 1.2, 2.0)),
    *(Row(f"x{pace}, pictures alone", stamped(publisher(SECONDS, has_sound=False), scaled(pace)),
          0.995, 12.0) for pace in (0.8, 0.85, 0.9, 1.1, 1.2)),
    *(Row(f"jitter of {most_ms} ms", jittering(most_ms), 0.985, 4.0, 0.03, 2.1 * most_ms)
      for most_ms in (20, 50, 100)),
    *(Row(f"jitter of {most_ms} ms", jittering(most_ms), 0.98, 8.0)
      for most_ms in (150, 200, 300, 500)),
    *(Row(f"to and fro by {most_ms} ms", jittering(most_ms, is_even=True), 0.98, 4.0, 0.03)
      for most_ms in (20, 60, 120, 200, 300, 500)),
    *(Row(f"lumps of {lump_s} s, {kinds[0] if len(kinds) == 1 else 'all'} x{pace}",
          arriving(stamped(publisher(SECONDS), scaled(pace), kinds), lumps(lump_s)), 0.985, 12.0,
          0.07, 150, 150)
      for lump_s in (0.3, 0.5, 1.0) for pace in (0.0, 0.5, 0.8, 1.2, 1.8, 90.0)
      for kinds in (BOTH, (PICTURE,))),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_every_picture_at_the_clocks_pace_in_step_with_the_sound(row: Row) -> None:
    served = serve(row.frames)
    assert served.is_in_order
    assert served.share(0, 30) >= row.share
    assert served.share(1, 30) >= row.share
    assert served.speed(row.settled_s) == pytest.approx(1.0, abs=row.speed)
    assert served.spread_ms(row.settled_s) <= row.spread_ms
    if served.given[SOUND]:
        assert abs(served.apart_ms(row.settled_s)) <= row.apart_ms


SET_AT_MS, SET_BACK_AT_MS = 8_000, 13_000
STARTS_MS = 4_000_000


def set_clock(by_ms: int, *, again: bool) -> Callable[[int], float]:
    """An encoder's clock that is set, and perhaps set again to what it was."""

    def stamp(ms: int) -> float:
        is_off = ms > SET_AT_MS and not (again and ms > SET_BACK_AT_MS)
        return STARTS_MS + ms + by_ms * is_off

    return stamp


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("kinds", [BOTH, (PICTURE,), (SOUND,)])
@pytest.mark.parametrize(
    "by_ms", [600, 900, 1_500, 3_000, 8_000, 20_000, 3_600_000, -600, -900, -1_500, -3_000, -20_000,
              -3_600_000]
)  # fmt: skip
def test_a_clock_that_is_set_forth_and_back_is_not_followed(
    by_ms: int, kinds: tuple[str, ...], again: bool
) -> None:
    frames = stamped(publisher(SECONDS), lambda ms: STARTS_MS + ms, [PICTURE, SOUND])
    changed = stamped(publisher(SECONDS), set_clock(by_ms, again=again))
    frames = [b if b.kind in kinds else a for a, b in zip(frames, changed, strict=True)]
    served = serve(frames)
    assert served.is_in_order
    assert served.share(0, 30) >= 0.98
    taken = [ms for ms, _ in served.taken[0]]
    assert max(after - before for before, after in pairwise(taken)) <= 250
    assert served.speed(4.0) == pytest.approx(1.0, abs=0.01)
    assert abs(served.apart_ms(16.0)) <= 60


@pytest.mark.parametrize("lump_s", [0.3, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("has_sound", [True, False])
def test_lumps_of_a_good_clock_are_never_touched(lump_s: float, has_sound: bool) -> None:
    frames = arriving(publisher(SECONDS, has_sound=has_sound), lumps(lump_s))
    served = serve(frames)
    assert (served.notices, served.set_anew) == ([], 0)
    assert served.share(0, 30) == 1.0


@settings(max_examples=20, deadline=None)
@given(
    pace=st.sampled_from([0.0, 0.5, 0.8, 1.0, 1.25, 1.8, 90.0]),
    lump_s=st.sampled_from([0.0, 0.1, 0.4, 1.0]),
    jitter_ms=st.sampled_from([0, 10, 30]),
    fps=st.sampled_from([15, 25, 30, 60]),
    start_ms=st.sampled_from([0, 5_000, 2**24 - 8_000, 2**31, 2**32 - 8_000]),
    seed=st.integers(0, 1_000),
)
def test_whatever_is_wrong_together_pictures_are_taken_in_order_at_the_clocks_pace(
    pace: float, lump_s: float, jitter_ms: int, fps: int, start_ms: int, seed: int
) -> None:
    source = random.Random(seed)
    frames = publisher(SECONDS, fps)
    if lump_s:
        frames = arriving(frames, lumps(lump_s))
    frames = stamped(
        frames, lambda ms: start_ms + 1_000 + ms * pace + source.randint(-jitter_ms, jitter_ms)
    )
    served = serve(frames, fps, (60, 15))
    assert served.is_in_order
    assert served.share(0, min(fps, 60)) >= 0.95
    assert served.speed(14.0) == pytest.approx(1.0, abs=0.07)
    assert abs(served.apart_ms(14.0)) <= 200


def bursty(at_s: float) -> float:
    return max(0.001 * at_s, at_s - 6)


def slow_at_first(at_s: float) -> float:
    """The first picture is late, and then the path catches up."""
    return max(at_s, 3 + at_s / 2)


def often_held_up(at_s: float) -> float:
    """For up to 0.9 s, each 1.7 s."""
    held_until_s = at_s // 1.7 * 1.7 + 0.9
    return max(at_s, held_until_s)


@settings(max_examples=25, deadline=None)
@given(
    fps=st.sampled_from([1, 2, 5, 12, 30, 60]),
    has_sound=st.booleans(),
    path=st.sampled_from([bursty, slow_at_first, often_held_up, lumps(0.7), lumps(2.2)]),
    jitter_s=st.sampled_from([0.0, 0.05, 0.3]),
    pace=st.floats(0.99, 1.01),
    seed=st.integers(0, 1_000),
)
def test_whatever_a_network_does_a_good_clock_is_believed(
    fps: int,
    has_sound: bool,
    path: Callable[[float], float],
    jitter_s: float,
    pace: float,
    seed: int,
) -> None:
    source = random.Random(seed)
    latest_s = 0.0

    def came(at_s: float) -> float:
        """On one connection none overtakes another."""
        nonlocal latest_s
        latest_s = max(latest_s, path(at_s) + source.uniform(0, jitter_s))
        return latest_s

    frames = arriving(publisher(SECONDS, fps, has_sound=has_sound), came)
    frames = stamped(frames, lambda ms: 5_000 + ms * pace)
    assert serve(frames, fps, (60, 30)).notices == []


def test_a_length_that_the_header_has_wrong_spoils_no_good_clock() -> None:
    """HE-AAC that its header says is AAC-LC: frames are twice as long as they seem."""
    frames = [
        replace(f, length_ms=(f.length_ms or 0) / 2) if f.kind == SOUND else f
        for f in publisher(SECONDS)
    ]
    served = serve(arriving(frames, lumps(0.15)))
    assert (served.notices, served.share(0, 30)) == ([], 1.0)
