"""egress/hls/numbering.py: numbers by a stream's epoch, and the discontinuities of its tracks."""

import pytest

from egress.hls.numbering import Earlier, Numbering
from egress.hls.window import Discontinuities
from egress.streams.tag import VIDEO, Tag

EPOCH_MS = 1_790_000_000_123


def picture(dts_ms: int, received_s: float) -> Tag:
    return Tag(VIDEO, "h264", dts_ms, 0, 0, b"", received_s)


@pytest.mark.parametrize("gop_ms", [250, 1_000, 2_000, 3_000])
def test_numbers_go_by_the_epoch(gop_ms: int) -> None:
    made = Numbering(gop_ms)
    made.settle(EPOCH_MS, (), 0.0)
    assert made.base_msn == EPOCH_MS // gop_ms
    assert made.msn_at(5 * gop_ms - 1) == made.base_msn + 4
    assert made.msn_at(5 * gop_ms) == made.base_msn + 5
    assert made.unix_offset_s == EPOCH_MS / 1000


def test_what_is_not_reported_is_found_by_the_first_that_came_and_stays() -> None:
    made = Numbering(2_000)
    made.settle(None, (), 1_790_000_000.0)
    assert made.epoch_ms is None
    made.settle(None, [picture(4_000, 10.0), picture(4_040, 99.0)], 1_790_000_000.0)
    assert made.epoch_ms == 1_790_000_006_000
    made.settle(EPOCH_MS, (), 0.0)
    assert made.epoch_ms == 1_790_000_006_000


@pytest.mark.parametrize(
    ("before_ms", "places"), [(EPOCH_MS, [3]), (EPOCH_MS - 60_000, [3, 50]), (None, [3])]
)
def test_another_start_begins_with_a_discontinuity(
    before_ms: int | None, places: list[int]
) -> None:
    known = Discontinuities()
    known.add(3)
    made = Numbering(2_000, Earlier(before_ms, known))
    made.settle(EPOCH_MS, (), 0.0)
    made.begin(50)
    assert list(made.discontinuities) == places
    assert made.earlier == Earlier(EPOCH_MS, known)


def test_a_discontinuity_is_where_no_track_has_begun() -> None:
    made = Numbering(2_000)
    assert made.next_discontinuity([4, 6]) == 7
    assert made.next_discontinuity([5, 6]) == 7, "it is announced, and not reached yet"
    assert made.next_discontinuity([7, 6]) == 8
    assert list(made.discontinuities) == [7, 8]
