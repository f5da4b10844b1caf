"""Packets in order: by table, and by property on any line that loses, repeats and reorders."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.rtp.header import SEQUENCES
from common.rtp.reorder import MAX_ASKS, MAX_JUMP, MAX_KEPT, MAX_NAMED, WAIT_S, Gap, Reorder

FATES = ("", "", "", "lost", "late", "twice")


def fed(sequences, first=0):
    """What comes out of these numbers, each 1 ms behind the one before; all is given up then."""
    reorder: Reorder[int] = Reorder()
    found: list[int | Gap] = []
    for at, sequence in enumerate(sequences):
        number = (first + sequence) % SEQUENCES
        found += reorder.add(number, sequence, at / 1000)
    return [*found, *reorder.due(len(sequences) / 1000 + WAIT_S)]


@pytest.mark.parametrize(
    ("sequences", "found"),
    [
        ([0, 1, 2], [0, 1, 2]),
        ([0, 2, 1, 3], [0, 1, 2, 3]),
        ([0, 1, 1, 0, 2], [0, 1, 2]),
        ([0, 2, 3], [0, Gap(1), 2, 3]),
        ([0, 3, 5, 6], [0, Gap(2), 3, Gap(1), 5, 6]),
        ([5, 4, 6], [5, 6]),  # nobody waits for what is before the first
        ([0, 1, 5000, 2], [0, 1, 2]),  # a single number that jumps is an accident
        ([0, 1, 5000, 5001, 5002], [0, 1, Gap(0), 5001, 5002]),
        ([5000, 0, 1], [5000, Gap(0), 1]),
        ([0, 2, 5000, 5001], [0, Gap(1), 2, Gap(0), 5001]),
    ],
)
@pytest.mark.parametrize("first", [0, 1, 65_530, 65_535, 40_000])
def test_what_comes_out_of_what_came(sequences, found, first):
    assert fed(sequences, first) == found


@given(
    first=st.integers(0, SEQUENCES - 1),
    fates=st.lists(
        st.sampled_from(["", "", "", "lost", "late", "twice"]), min_size=1, max_size=300
    ),
)
def test_whatever_the_line_does_all_come_once_in_order_with_gaps_for_the_lost(first, fates):
    fates = ["", *fates]
    reorder: Reorder[int] = Reorder()
    found: list[int | Gap] = []
    delayed: list[tuple[float, int]] = []
    for at, fate in enumerate(fates):
        now = at / 1000
        arriving = [one for one in delayed if one[0] <= now]
        delayed = [one for one in delayed if one[0] > now]
        if fate == "late":
            delayed.append((now + 0.02, at))
        elif fate != "lost":
            arriving += [(now, at)] * (2 if fate == "twice" else 1)
        for _, number in arriving:
            found += reorder.add((first + number) % SEQUENCES, number, now)
        found += reorder.due(now)
    for _, number in delayed:
        found += reorder.add((first + number) % SEQUENCES, number, 0.4)
    found += reorder.due(10.0)
    numbers = [one for one in found if not isinstance(one, Gap)]
    came = [at for at, fate in enumerate(fates) if fate != "lost"]
    assert numbers == came
    lost_inside = [at for at, fate in enumerate(fates) if fate == "lost" and at < came[-1]]
    assert sum(one.packets for one in found if isinstance(one, Gap)) == len(lost_inside)
    assert reorder.lost == len(lost_inside)


def test_what_is_missing_is_asked_for_again_a_few_times_and_not_before_it_may_come():
    reorder: Reorder[str] = Reorder(wait_s=10.0)
    asked: list[int] = []
    reorder.add(65_534, "a", 0.0)
    reorder.add(1, "b", 0.0)
    assert reorder.asks(0.0) == []
    for tick in range(200):
        asked += reorder.asks(tick / 100)
    assert sorted(set(asked)) == [0, 65_535]
    assert asked.count(0) == MAX_ASKS
    assert reorder.add(0, "z", 3.0) == []
    assert reorder.add(65_535, "y", 3.0) == ["y", "z", "b"]
    assert not reorder.is_waiting
    assert reorder.asks(9.0) == []


def test_what_is_kept_and_asked_for_is_bounded():
    reorder: Reorder[int] = Reorder(wait_s=1e9)
    reorder.add(0, 0, 0.0)
    for number in range(2, 40_000):
        reorder.add(number % SEQUENCES, number, 0.0)
        assert len(reorder._kept) <= MAX_KEPT + 1
    sparse: Reorder[int] = Reorder(wait_s=1e9)
    for number in range(0, 30_000, MAX_JUMP):
        sparse.add(number, number, 0.0)
    assert len(sparse.asks(1.0)) == MAX_NAMED
    assert len(sparse._missing) <= 30_000


def test_an_old_repeat_begins_nothing_anew():
    reorder: Reorder[str] = Reorder()
    reorder.add(5000, "a", 0.0)
    for number in (10, 11, 12):
        assert reorder.add(number, "old", 0.0, is_repeat=True) == []
    assert reorder.add(5001, "b", 0.0) == ["b"]
