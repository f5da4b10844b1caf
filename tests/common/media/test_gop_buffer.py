"""common/media/gop_buffer.py: one GOP, bounded."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.media.gop_buffer import GopBuffer, Kept

V, A = "video", "audio"


def filled(*times: int, size: int = 10, **limits: Any) -> GopBuffer[str]:
    """A GOP that begins with a keyframe at the first of these times."""
    gop = GopBuffer[str](**limits)
    for at, time_ms in enumerate(times):
        gop.add(f"v{time_ms}", size, V, time_ms, is_key=at == 0)
    return gop


def test_nothing_is_kept_before_a_keyframe() -> None:
    gop = GopBuffer[str]()
    assert gop.add("v0", 1, V, 0) is Kept.OMITTED
    assert gop.add("data", 1) is Kept.OMITTED
    assert gop.add("v40", 1, V, 40, is_key=True) is Kept.KEPT
    assert list(gop.entries) == ["v40"]


def test_a_gop_begins_anew_and_leaves_who_reads_the_last_one_alone() -> None:
    gop = filled(0, 40)
    before = gop.entries
    gop.add("v80", 7, V, 80, begins=True)
    assert list(before) == ["v0", "v40"]
    assert (list(gop.entries), gop.size_bytes) == (["v80"], 7)


@pytest.mark.parametrize("limits", [{"max_ms": 100}, {"max_bytes": 39}, {"max_entries": 3}])
def test_a_gop_over_a_limit_is_dropped_until_the_next_keyframe(limits: dict[str, int]) -> None:
    gop = filled(0, 40, 80, **limits)
    assert gop.add("v120", 10, V, 120) is Kept.OVERFLOWED
    assert (list(gop.entries), gop.size_bytes, gop.is_lasting) == ([], 0, False)
    assert gop.add("v160", 10, V, 160) is Kept.OMITTED
    assert gop.add("v200", 10, V, 200, is_key=True) is Kept.KEPT


def test_a_gop_over_a_limit_is_cut_to_its_latest_keyframe_and_says_what_went() -> None:
    gone: list[str] = []
    gop = GopBuffer[str](max_ms=100, on_cut=gone.extend)
    gop.add("v0", 1, V, 0, is_key=True)
    gop.add("a0", 2, A, 0)
    gop.add("v60", 4, V, 60, is_key=True)
    gop.add("a70", 8, A, 70)
    assert gop.add("v101", 16, V, 101) is Kept.OVERFLOWED
    assert gone == ["v0", "a0"]
    assert (list(gop.entries), gop.size_bytes) == (["v60", "a70", "v101"], 28)
    assert gop.add("a170", 32, A, 170) is Kept.KEPT, "measured from the new start on"
    assert gop.add("a171", 64, A, 171) is Kept.OVERFLOWED
    assert not gop.entries


def test_one_entry_over_the_limit_is_not_kept() -> None:
    gop = GopBuffer[str](max_bytes=100)
    assert gop.add("v0", 101, V, 0, begins=True) is Kept.OVERFLOWED
    assert not gop.entries


def test_kinds_are_measured_each_by_itself_and_what_has_none_not_at_all() -> None:
    gop = filled(0, max_ms=100)
    assert gop.add("a80", 1, A, 80) is Kept.KEPT
    assert gop.add("data", 1) is Kept.KEPT
    assert gop.add("a180", 1, A, 180) is Kept.KEPT
    assert gop.add("a181", 1, A, 181) is Kept.OVERFLOWED


def test_a_time_that_is_set_anew_makes_no_gop_longer() -> None:
    gop = filled(0, 40, max_ms=100)
    assert gop.add("v9000", 1, V, 9_000, set_anew=True) is Kept.KEPT
    assert gop.add("v9100", 1, V, 9_100) is Kept.KEPT
    assert gop.add("v9101", 1, V, 9_101) is Kept.OVERFLOWED


def test_what_is_about_to_outgrow_a_limit_is_not_lasting() -> None:
    assert filled(0, 800, max_ms=1_000).is_lasting
    assert not filled(0, 801, max_ms=1_000).is_lasting
    assert not filled(0, 1, size=41, max_bytes=100).is_lasting
    assert filled(*range(8), max_entries=10).is_lasting
    assert not filled(*range(9), max_entries=10).is_lasting


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([V, A, None]),
            st.integers(0, 60),
            st.sampled_from([(False, False), (True, False), (True, True)]),
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_whatever_comes_the_limits_hold_and_a_gop_begins_at_a_keyframe(
    steps: list[tuple[str | None, int, tuple[bool, bool], bool]],
) -> None:
    gop = GopBuffer[tuple[str | None, int, bool, bool]](max_ms=500, max_bytes=200, max_entries=20)
    at = 0
    for kind, step, (is_key, begins), set_anew in steps:
        at += step
        is_key, begins = is_key and kind == V, begins and kind == V
        entry = (kind, at, is_key, set_anew)
        gop.add(entry, 10, kind, at, is_key=is_key, begins=begins, set_anew=set_anew)
        entries = gop.entries
        assert gop.size_bytes == 10 * len(entries) <= 200
        assert len(entries) <= 20
        if entries:
            assert entries[0][2]
        for each in (V, A):
            times = [entry for entry in entries if entry[0] == each]
            since = max((i for i, entry in enumerate(times) if entry[3]), default=0)
            assert all(entry[1] - times[since][1] <= 500 for entry in times[since:])
