"""Which pictures are too late for a rendition that is behind."""

import pytest

from worker.frames.late_frames import Lateness


@pytest.mark.parametrize(("age_s", "late"), [(0.0, False), (0.5, False), (0.51, True)])
def test_a_picture_older_than_half_the_queue_is_late(age_s: float, late: bool) -> None:
    lateness = Lateness(1000)
    assert lateness.is_late(100.0, 100.0 + age_s, lambda: 0) is late


@pytest.mark.parametrize(("queued_ms", "late"), [(0, False), (750, False), (751, True)])
def test_what_waited_for_the_opening_is_late_only_when_the_queue_is_nearly_full(
    queued_ms: int, late: bool
) -> None:
    lateness = Lateness(1000)
    lateness.opened_s = 102.0
    assert lateness.is_late(100.0, 102.1, lambda: queued_ms) is late


def test_soon_after_the_opening_the_rule_is_the_usual_one() -> None:
    lateness = Lateness(1000)
    lateness.opened_s = 102.0
    assert lateness.is_late(102.0, 102.6, lambda: 0)


@pytest.mark.parametrize(("age_s", "too_late"), [(0.75, False), (0.76, True)])
def test_three_quarters_of_the_queue_are_too_late_for_a_picture_with_others_behind_it(
    age_s: float, too_late: bool
) -> None:
    lateness = Lateness(1000)
    assert lateness.is_too_late(100.0, 100.0 + age_s) is too_late
    lateness.opened_s = 100.1
    assert not lateness.is_too_late(100.0, 100.0 + age_s), "the opening took its time"
