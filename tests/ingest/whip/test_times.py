"""Stamps by RTP times: by arrival at first, then by what the publisher says of its clock."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.rtp.header import TIMESTAMPS
from common.rtp.rtcp import SenderInfo, ntp_time
from ingest.whip.times import FIRST_MS, MAX_STEP_MS, PICTURES, SOUND, Times

STARTS = st.integers(0, TIMESTAMPS - 1)


def report(clock_s: float, timestamp: int) -> SenderInfo:
    return SenderInfo(1, ntp_time(clock_s), timestamp % TIMESTAMPS)


@given(STARTS, STARTS, st.integers(-400, 400))
def test_without_reports_tracks_begin_by_their_arrival_and_run_by_their_times(
    video: int, audio: int, ahead_ms: int
) -> None:
    times = Times()
    for number in range(60):
        stamp = times.stamp_ms(PICTURES, (video + number * 3000) % TIMESTAMPS, 100 + number / 30)
        assert abs(stamp - FIRST_MS - number * 1000 / 30) <= 1
    begin_s = 102 + ahead_ms / 1000
    for number in range(60):
        stamp = times.stamp_ms(SOUND, (audio + number * 960) % TIMESTAMPS, begin_s + number * 0.5)
        assert abs(stamp - FIRST_MS - 2000 - ahead_ms - number * 20) <= 1


@given(STARTS, STARTS, st.integers(-300, 300))
def test_reports_move_the_sound_to_its_place_little_by_little(
    video: int, audio: int, late_ms: int
) -> None:
    """Sound arrives so much later than its pictures; both were taken at one moment."""
    times, stamps, shown = Times(), [], []
    for number in range(200):
        taken_s = number / 50
        shown.append(times.stamp_ms(PICTURES, (video + number * 1800) % TIMESTAMPS, 10 + taken_s))
        arrived_s = 10 + taken_s + late_ms / 1000
        stamps.append(times.stamp_ms(SOUND, (audio + number * 960) % TIMESTAMPS, arrived_s))
        if number == 20:
            times.on_report(PICTURES, report(7.0 + taken_s, video + number * 1800))
            times.on_report(SOUND, report(7.0 + taken_s, audio + number * 960))
    assert abs(stamps[0] - shown[0] - late_ms) <= 1
    assert abs(stamps[-1] - shown[-1]) <= MAX_STEP_MS + 1
    assert all(18 - 1 <= after - before <= 22 + 1 for before, after in pairwise(stamps))


@pytest.mark.parametrize(
    "reports",
    [
        [(PICTURES, 7.0)],
        [(SOUND, 7.0)],
        [(PICTURES, 7.0), (SOUND, 1e6)],  # clocks that have nothing to do with one another
    ],
)
def test_what_says_nothing_of_both_moves_nothing(reports: list[tuple[str, float]]) -> None:
    times = Times()
    times.stamp_ms(PICTURES, 0, 1.0)
    first = times.stamp_ms(SOUND, 0, 1.25)
    for name, clock_s in reports:
        times.on_report(name, report(clock_s, 0))
    assert [times.stamp_ms(SOUND, number * 960, 2.0) for number in range(1, 50)] == [
        first + number * 20 for number in range(1, 50)
    ]


def test_a_track_that_begins_anew_begins_by_its_arrival() -> None:
    times = Times()
    times.stamp_ms(PICTURES, 5, 1.0)
    times.begin_anew(PICTURES)
    assert times.stamp_ms(PICTURES, 3_000_000_000, 4.0) == FIRST_MS + 3000
