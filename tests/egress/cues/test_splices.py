"""egress/cues/splices.py: splices as breaks."""

from hypothesis import given
from hypothesis import strategies as st

from common.scte35.section import Way, parse
from egress.cues.splice_point import SplicePoint
from egress.cues.splices import MAX_BREAKS, Splices
from tests.kit.scte35_writer import (
    PLACEMENT_END,
    PLACEMENT_START,
    insertion,
    segmentation,
    time_signal,
)


def point(at_ms: int, data: bytes) -> SplicePoint:
    return SplicePoint(at_ms, data, parse(data))


def spans(splices: Splices) -> list[tuple[int, int]]:
    return [(one.begin_ms, one.end_ms) for one in splices.breaks]


def test_a_break_ends_with_the_splice_that_leads_back() -> None:
    for begin, end in (
        (insertion(7, 5, duration=900_000), insertion(7, 6, is_out=0)),
        (PLACEMENT_START, PLACEMENT_END),
    ):
        splices = Splices()
        splices.add(point(1_000, begin))
        splices.add(point(1_000, begin))
        splices.add(point(9_000, end))
        splices.add(point(9_000, end))
        assert spans(splices) == [(1_000, 9_000)]


def test_a_break_that_says_how_long_it_lasts_is_over_then() -> None:
    splices = Splices()
    splices.add(point(1_000, insertion(7, 5, duration=900_000)))
    splices.add(point(20_000, insertion(8, 5)))
    assert spans(splices) == [(1_000, 11_000), (20_000, 20_000)]


def test_what_leads_back_from_nothing_known_stands_alone() -> None:
    splices = Splices()
    splices.add(point(1_000, insertion(7, 5)))
    splices.add(point(2_000, insertion(8, 5, is_out=0)))
    splices.add(point(3_000, time_signal(5, segmentation(1, 0x10))))
    assert [one.begin.splice.way for one in splices.breaks] == [Way.OUT, Way.IN, Way.OTHER]


def test_a_break_that_is_to_come_can_be_cancelled() -> None:
    splices = Splices()
    splices.add(point(1_000, insertion(7, 5)))
    splices.add(point(9_000, insertion(7, 6)))
    splices.add(point(9_500, insertion(8, 6)))
    splices.add(point(5_000, insertion(7, is_cancelled=1)))
    assert spans(splices) == [(1_000, 1_000), (9_500, 9_500)]


@given(st.lists(st.tuples(st.integers(0, 99_999), st.integers(0, 5), st.integers(0, 1))))
def test_breaks_are_few_in_order_and_end_behind_their_begin(
    told: list[tuple[int, int, int]],
) -> None:
    splices = Splices()
    for at_ms, event_id, is_out in told:
        splices.add(point(at_ms, insertion(event_id, at_ms, is_out=is_out)))
        found = spans(splices)
        assert len(found) <= MAX_BREAKS
        assert found == sorted(found, key=lambda span: span[0])
        assert all(begin <= end for begin, end in found)
