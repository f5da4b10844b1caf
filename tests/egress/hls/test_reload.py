"""egress/hls/reload.py: what waits, for how long, and what is refused."""

import pytest

from egress.hls import reload
from egress.hls.reload import BlockedRequests, Verdict, Wanted, judge, judge_part, parse_wanted
from egress.hls.window import Window
from tests.egress.hls.test_window import filled, steady, window

R, W, B, O = Verdict.READY, Verdict.WAIT, Verdict.BAD, Verdict.OVER  # noqa: E741


def there() -> Window:
    """Segments 2 and 3 are whole, of 4 there are the parts 0 to 2; a part has 320 ms."""
    return filled(steady(4_000, 9_040))


@pytest.mark.parametrize(
    ("msn", "part", "verdict"),
    [
        (0, None, R),
        (3, None, R),
        (3, 0, R),
        (4, None, W),
        (4, 0, R),
        (4, 2, R),
        (4, 3, W),
        (4, 10, W),  # the limit is 3 s / 0.342 s: eight ahead
        (4, 11, B),
        (3, 7, R),  # beyond the last of segment 3: part 0 of segment 4, which is there
        (3, 99, R),
        (5, None, W),
        (5, 0, W),
        (5, 7, W),
        (5, 8, B),
        (6, None, W),
        (6, 0, W),
        (7, None, B),
        (7, 0, B),
        (999_999_999_999_999, 0, B),
    ],
)
def test_a_reload_waits_or_not(msn: int, part: int | None, verdict: Verdict) -> None:
    assert judge(there(), Wanted(msn, part)) is verdict


def test_beyond_the_last_part_of_the_last_segment_is_the_next_segments_first() -> None:
    found = filled(steady(4_000, 6_400))
    assert found.next_part == (3, 1)
    whole = filled(steady(4_000, 6_080))
    assert whole.next_part == (3, 0)
    assert judge(whole, Wanted(2, 30)) is W
    assert judge(found, Wanted(2, 30)) is R


@pytest.mark.parametrize(
    ("msn", "part", "verdict"),
    [(4, 2, R), (4, 3, W), (4, 4, O), (5, 0, O), (3, 0, R), (3, 50, O), (0, 0, O)],
)
def test_of_parts_the_hinted_one_is_waited_for(msn: int, part: int, verdict: Verdict) -> None:
    assert judge_part(there(), msn, part) is verdict


def test_at_the_end_nothing_waits() -> None:
    found = there()
    found.end()
    assert judge(found, Wanted(6)) is R
    assert judge_part(found, *found.next_part) is O


@pytest.mark.parametrize(
    ("msn", "part", "found"),
    [
        (None, None, None),
        ("7", None, Wanted(7)),
        ("7", "0", Wanted(7, 0)),
        (None, "0", "_HLS_part needs _HLS_msn"),
        ("-1", None, "_HLS_msn is no number"),
        ("1" * 16, None, "_HLS_msn is no number"),
        ("²", None, "_HLS_msn is no number"),
        ("7", "x", "_HLS_part is no number"),
    ],
)
def test_the_query_is_read(msn: str | None, part: str | None, found: object) -> None:
    assert parse_wanted(msn, part) == found


def test_those_that_can_be_answered_are_and_the_others_go_on_waiting() -> None:
    made = window()
    parts = steady(4_000, 6_500)
    for part in parts[:2]:
        made.add(part, 1000)
    blocked: BlockedRequests[str] = BlockedRequests()
    blocked.add(made, Wanted(2, 2), "part", 0.0, is_for_part=True)
    blocked.add(made, Wanted(2, 2), "playlist", 0.0)
    blocked.add(made, Wanted(2), "whole", 0.0)
    assert blocked.ready(made) == []
    made.add(parts[2], 1000)
    assert blocked.ready(made) == ["part", "playlist"]
    for part in parts[3:8]:
        made.add(part, 1000)
    assert blocked.ready(made) == ["whole"]


def test_a_hint_that_does_not_come_true_is_answered() -> None:
    made = filled(steady(4_000, 4_600))
    blocked: BlockedRequests[str] = BlockedRequests()
    msn, index = made.next_part
    blocked.add(made, Wanted(msn, index), "hinted", 0.0, is_for_part=True)
    made.end_segment()
    assert blocked.ready(made) == ["hinted"]


def test_nobody_waits_for_more_than_three_target_durations() -> None:
    made = there()
    blocked: BlockedRequests[str] = BlockedRequests()
    blocked.add(made, Wanted(5), "early", 10.0)
    blocked.add(made, Wanted(5), "late", 12.0)
    assert blocked.expired(15.9) == []
    assert blocked.expired(16.0) == ["early"]
    assert len(blocked) == 1
    blocked.remove("late")
    assert blocked.take_all() == []


def test_those_who_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload, "MAX_WAITING", 2)
    made = there()
    blocked: BlockedRequests[int] = BlockedRequests()
    assert [blocked.add(made, Wanted(5), number, 0.0) for number in range(3)] == [True, True, False]
    assert blocked.take_all() == [0, 1]
