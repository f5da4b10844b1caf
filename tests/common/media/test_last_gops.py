"""common/media/last_gops.py: the GOPs that a playlist begins with."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.media.last_gops import LastGops


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 5), st.integers(1, 90))
def test_the_newest_in_a_row_within_both_bounds(sizes: list[int], gops: int, most: int) -> None:
    last = LastGops[int](gops=gops, max_bytes=most)
    for number, size in enumerate(sizes):
        last.add(number, size)
        kept = list(last)
        assert kept == list(range(number + 1 - len(kept), number + 1))
        assert last.size_bytes == sum(sizes[one] for one in kept) <= most
        assert len(last) <= gops
        one_more = len(kept) + 1
        fits = one_more <= gops and sum(sizes[number + 1 - one_more : number + 1]) <= most
        assert not fits or one_more > number + 1, "it keeps what it may"


@pytest.mark.parametrize("sizes", [(), (3,), (1, 2, 3)])
def test_nothing_is_left_after_a_break(sizes: tuple[int, ...]) -> None:
    last = LastGops[int]()
    for number, size in enumerate(sizes):
        last.add(number, size)
    last.clear()
    assert (list(last), last.size_bytes) == ([], 0)
