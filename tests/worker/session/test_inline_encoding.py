"""worker/session/inline_encoding.py: what the decode thread encodes by itself."""

import pytest

from worker.session.inline_encoding import (
    CROWDED_SHARE,
    SHARE,
    UNWATCHED_SHARE,
    Cost,
    share_for,
    stay,
)

INTERVAL_S = 1 / 30
HD = [0.0150, 0.0076, 0.0045]  # 720p, 480p, 360p: CPU seconds a picture


def test_with_a_core_to_spare_the_largest_rendition_has_its_own_thread() -> None:
    assert stay(HD, 0.0034, INTERVAL_S, SHARE) == [False, True, True]


def test_where_nobody_waits_all_stay_if_they_are_done_in_time() -> None:
    small = [0.0038, 0.002, 0.001]
    assert stay(small, 0.001, INTERVAL_S, CROWDED_SHARE) == [True, True, True]
    assert stay(HD, 0.0028, INTERVAL_S, CROWDED_SHARE) == [True, True, True]
    assert stay(HD, 0.0055, INTERVAL_S, CROWDED_SHARE) == [False, True, True]


def test_where_nobody_plays_a_thread_may_take_a_little_more_than_it_can_do() -> None:
    slow = [cost * 1.1 for cost in HD]
    assert stay(slow, 0.0038, INTERVAL_S, CROWDED_SHARE) == [False, True, True]
    share = share_for(is_watched=False, is_saturated=True)
    assert stay(slow, 0.0038, INTERVAL_S, share) == [True, True, True]
    assert share == UNWATCHED_SHARE
    assert share_for(is_watched=True, is_saturated=True) == CROWDED_SHARE
    assert share_for(is_watched=True, is_saturated=False) == SHARE


def test_where_a_gpu_decodes_no_rendition_stays_that_is_played_once_it_is_crowded() -> None:
    share = share_for(is_watched=True, is_saturated=True, groups_small_encoders=True)
    assert stay(HD, 0.0002, INTERVAL_S, share) == [False] * 3
    assert share_for(is_watched=True, is_saturated=False, groups_small_encoders=True) == SHARE
    assert (
        share_for(is_watched=False, is_saturated=True, groups_small_encoders=True)
        == UNWATCHED_SHARE
    )


def test_what_leaves_no_room_goes_and_the_small_ones_stay() -> None:
    assert stay(HD, 0.0044, INTERVAL_S / 2, CROWDED_SHARE) == [False, False, True]
    assert stay(HD, CROWDED_SHARE * INTERVAL_S, INTERVAL_S, CROWDED_SHARE) == [False] * 3


def test_a_rendition_of_unknown_cost_is_measured_in_its_own_thread_first() -> None:
    assert stay([0.0, 0.0, 0.0045], 0.0034, INTERVAL_S, CROWDED_SHARE) == [False, False, True]


def test_an_only_rendition_stays_where_it_is_crowded_alone() -> None:
    assert stay([0.004], 0.001, INTERVAL_S, SHARE) == [False]
    assert stay([0.004], 0.001, INTERVAL_S, CROWDED_SHARE) == [True]


def test_a_cost_follows_what_it_is_told() -> None:
    cost = Cost()
    assert cost.seconds == 0
    cost.add(0.010)
    assert cost.seconds == 0.010
    for _ in range(60):
        cost.add(0.020)
    assert cost.seconds == pytest.approx(0.020, rel=0.02)
