"""The machine behind notices: hysteresis in value and time, and how often the log hears of it."""

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from common.ipc.status_messages import Notice
from common.notices.doctor import LOG_AGAIN_S, Change, Doctor
from common.notices.notices import Notices
from common.notices.rules import Rule

RULE: Rule[float] = Rule(
    "hot",
    "too hot",
    "less heat",
    lambda f: f"{f:g} degrees",
    lambda f: f,
    enter=10,
    leave=5,
    after_s=3,
    until_s=4,
)


def course(values: Sequence[float]) -> tuple[list[str], list[Change]]:
    """The words at each second, and all changes."""
    notices = Notices()
    doctor = Doctor([RULE], notices)
    words, changes = [], []
    for second, value in enumerate(values):
        doctor.look(value, 100.0 + second)
        found = notices.as_tuple(0, 0)
        words.append(found[0].words if found else "")
        changes += doctor.take_changes()
    return words, changes


def test_a_notice_begins_when_the_value_has_held_and_ends_when_it_has_been_calm():
    words, changes = course([0, 12, 11, 12, 13, 7, 14, 4, 4, 4, 4, 4, 4])
    assert words == [
        "", "", "", "", "13 degrees", "13 degrees", "14 degrees",
        "14 degrees", "14 degrees", "14 degrees", "14 degrees", "", "",
    ]  # fmt: skip
    assert changes == [
        Change("hot", True, "13 degrees", True),
        Change("hot", False, "too hot", True, 7.0),
    ]


def test_what_comes_and_goes_faster_than_it_must_hold_is_no_notice():
    words, changes = course([12, 12, 9] * 20)
    assert not any(words)
    assert changes == []


def test_between_the_thresholds_a_notice_stays_what_it_is():
    words, changes = course([12] * 4 + [4, 4, 4, 6] * 20)
    assert words[3:] == ["12 degrees"] * 81
    assert len(changes) == 1


def test_a_notice_that_returns_soon_is_in_status_and_not_in_the_log():
    words, changes = course(([12] * 5 + [0] * 6) * 3)
    assert sum(before == "" and after != "" for before, after in pairwise(words)) == 3
    assert [change.begins for change in changes] == [True, False]


def test_another_source_begins_without_notices_and_what_was_logged_stays_known():
    notices = Notices()
    doctor = Doctor([RULE], notices)
    for second in range(4):
        doctor.look(12, second)
    assert notices.as_tuple(3.0, 1003.0) == (Notice("hot", "12 degrees", 1003.0),)
    doctor.restart()
    assert not notices
    for second in range(4, 8):
        doctor.look(12, second)
    assert notices
    assert [change.begins for change in doctor.take_changes()] == [True]


def test_the_lines_of_the_log():
    begin, end = Change("hot", True, "13 degrees", True), Change("hot", False, "too hot", True, 7)
    assert begin.line() == ("source notice", "code=%s words=%s", ("hot", "13 degrees"))
    assert end.line() == (
        "source notice over",
        "code=%s seconds=%.0f words=%s",
        ("hot", 7, "too hot"),
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 40), st.sampled_from([0.0, 5.0, 7.0, 10.0, 20.0]))))
def test_of_a_code_the_log_has_one_pair_at_most_in_so_many_seconds(
    steps: list[tuple[int, float]],
) -> None:
    doctor = Doctor([RULE], Notices())
    now = 0
    logged: list[tuple[int, bool]] = []
    for seconds, value in steps * 4:
        for _ in range(seconds):
            now += 1
            doctor.look(value, now)
            logged += [(now, change.begins) for change in doctor.take_changes()]
    assert [begins for _, begins in logged] == [i % 2 == 0 for i in range(len(logged))]
    begun = [at for at, begins in logged if begins]
    assert all(b - a >= LOG_AGAIN_S for a, b in pairwise(begun))
