"""When a rendition is measured."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from worker.quality.schedule import LATE_S, SHARE, MeasureSchedule

ENCODES = 0.3  # of a core
CHEAP_S = 0.001


def run(schedule: MeasureSchedule, cpu_s: float, until_s: float, share: float = ENCODES) -> int:
    """Keyframes twice a second, each measured at once: how many were."""
    found = 0
    for half_seconds in range(int(2 * until_s)):
        now = half_seconds / 2
        if schedule.begins(share, 0.0, now):
            found += 1
            schedule.ended(cpu_s, cpu_s, share, now)
    return found


def test_it_is_as_often_as_asked_for() -> None:
    assert run(MeasureSchedule(5.0), CHEAP_S, 60) == 12


def test_never_is_never() -> None:
    assert run(MeasureSchedule(0.0), CHEAP_S, 60) == 0


def test_what_takes_longer_is_done_more_seldom() -> None:
    # 30 ms of one core every 10 s are 0.3 %, as much as 1 % of what the encoding takes
    assert run(MeasureSchedule(5.0), 0.030, 100) == 10


@given(st.floats(0.0001, 1.0), st.floats(0.01, 4.0), st.floats(0.5, 60))
def test_it_takes_no_more_than_its_share(cpu_s: float, share: float, every_s: float) -> None:
    schedule, spent_s, now, began = MeasureSchedule(every_s), 0.0, 0.0, []
    for _ in range(500):
        if schedule.begins(share, 0.0, now):
            spent_s += cpu_s
            began.append(now)
            schedule.ended(cpu_s, cpu_s, share, now)
        now += 0.5
    # the last one is paid for by the time after it
    assert spent_s - cpu_s <= SHARE * share * now + 1e-9
    assert all(after - before >= every_s for before, after in itertools.pairwise(began))


def test_nothing_is_measured_before_the_cost_of_encoding_is_known() -> None:
    schedule = MeasureSchedule(5.0)
    assert not schedule.begins(0.0, 0.0, 1.0)
    assert schedule.begins(ENCODES, 0.0, 2.0)


def test_one_at_a_time() -> None:
    schedule = MeasureSchedule(5.0)
    assert schedule.begins(ENCODES, 0.0, 0.0)
    assert not schedule.begins(ENCODES, 0.0, 100.0)


def test_what_nobody_has_time_for_is_tried_with_the_next_keyframe() -> None:
    schedule = MeasureSchedule(5.0)
    assert schedule.begins(ENCODES, 0.0, 0.0)
    schedule.put_off()
    assert schedule.begins(ENCODES, 0.0, 0.5)


def test_a_late_picture_is_not_measured() -> None:
    schedule = MeasureSchedule(5.0)
    assert not schedule.begins(ENCODES, LATE_S + 0.1, 0.0)
    assert schedule.begins(ENCODES, LATE_S, 0.5)


def test_a_host_without_time_is_left_alone_longer_each_time() -> None:
    schedule, now, pauses = MeasureSchedule(5.0), 0.0, []
    for _ in range(7):
        began = now
        while not schedule.begins(ENCODES, 0.0, now):
            now += 0.5
        pauses.append(now - began)
        schedule.ended(CHEAP_S, 1.0, ENCODES, now)
    assert pauses[1:] == [10, 20, 40, 80, 160, 160]
    while not schedule.begins(ENCODES, 0.0, now):
        now += 0.5
    schedule.ended(CHEAP_S, 2 * CHEAP_S, ENCODES, now)
    assert schedule.begins(ENCODES, 0.0, now + 5)
