"""worker/session/inline_encoding.py: what the decode thread encodes by itself."""

import pytest

from worker.session.inline_encoding import (
    PLAYED_SHARE,
    SATURATED_SHARE,
    UNPLAYED_SHARE,
    CpuCost,
    choose_inline,
    inline_share,
)

INTERVAL_S = 1 / 30
HD = [0.0150, 0.0076, 0.0045]  # 720p, 480p, 360p: CPU seconds a picture


def test_with_a_core_to_spare_the_largest_rendition_has_its_own_thread() -> None:
    assert choose_inline(HD, 0.0034, INTERVAL_S, PLAYED_SHARE) == [False, True, True]


def test_on_a_saturated_host_all_are_inline_if_they_are_done_in_time() -> None:
    small = [0.0038, 0.002, 0.001]
    assert choose_inline(small, 0.001, INTERVAL_S, SATURATED_SHARE) == [True, True, True]
    assert choose_inline(HD, 0.0028, INTERVAL_S, SATURATED_SHARE) == [True, True, True]
    assert choose_inline(HD, 0.0055, INTERVAL_S, SATURATED_SHARE) == [False, True, True]


def test_where_nobody_plays_a_thread_may_take_a_little_more_than_it_can_do() -> None:
    slow = [cost * 1.1 for cost in HD]
    assert choose_inline(slow, 0.0038, INTERVAL_S, SATURATED_SHARE) == [False, True, True]
    share = inline_share(has_players=False, is_saturated=True)
    assert choose_inline(slow, 0.0038, INTERVAL_S, share) == [True, True, True]
    assert share == UNPLAYED_SHARE
    assert inline_share(has_players=True, is_saturated=True) == SATURATED_SHARE
    assert inline_share(has_players=True, is_saturated=False) == PLAYED_SHARE


def test_where_a_gpu_decodes_nothing_that_is_played_is_inline_on_a_saturated_host() -> None:
    share = inline_share(has_players=True, is_saturated=True, groups_small_encoders=True)
    assert choose_inline(HD, 0.0002, INTERVAL_S, share) == [False] * 3
    assert (
        inline_share(has_players=True, is_saturated=False, groups_small_encoders=True)
        == PLAYED_SHARE
    )
    assert (
        inline_share(has_players=False, is_saturated=True, groups_small_encoders=True)
        == UNPLAYED_SHARE
    )


def test_what_leaves_no_room_has_its_own_thread_and_the_small_ones_are_inline() -> None:
    assert choose_inline(HD, 0.0044, INTERVAL_S / 2, SATURATED_SHARE) == [False, False, True]
    assert (
        choose_inline(HD, SATURATED_SHARE * INTERVAL_S, INTERVAL_S, SATURATED_SHARE) == [False] * 3
    )


def test_a_rendition_of_unknown_cost_is_measured_in_its_own_thread_first() -> None:
    assert choose_inline([0.0, 0.0, 0.0045], 0.0034, INTERVAL_S, SATURATED_SHARE) == [
        False,
        False,
        True,
    ]


def test_an_only_rendition_is_inline_on_a_saturated_host_alone() -> None:
    assert choose_inline([0.004], 0.001, INTERVAL_S, PLAYED_SHARE) == [False]
    assert choose_inline([0.004], 0.001, INTERVAL_S, SATURATED_SHARE) == [True]


def test_a_cost_follows_what_it_is_told() -> None:
    cost = CpuCost()
    assert cost.seconds == 0
    cost.add(0.010)
    assert cost.seconds == 0.010
    for _ in range(60):
        cost.add(0.020)
    assert cost.seconds == pytest.approx(0.020, rel=0.02)
