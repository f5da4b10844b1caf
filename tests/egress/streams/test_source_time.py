"""egress/streams/source_time.py: where the time of another ingest lands."""

import pytest

from common.ipc.media_messages import HEADER, REPLAY
from egress.streams.source_time import MAX_AHEAD_MS, MIN_STEP_MS, SourceTime
from tests.kit.egress import head, tags


def restarted(at_s: float = 10.0) -> SourceTime:
    time = SourceTime(0.0)
    time.on_tags(5000, (), at_s)
    time.allow_restart()
    time.on_headers(goes_on=False)
    return time


def test_time_goes_on_as_it_is_where_the_numbers_do() -> None:
    time = SourceTime(0.0)
    time.on_tags(5000, (), 10.0)
    time.on_headers(goes_on=False)  # nobody said that another generation sends
    time.allow_restart()
    time.on_headers(goes_on=True)
    time.on_tags(0, [5040], 11.0)
    assert time.offset_ms == 0


@pytest.mark.parametrize(
    ("begin_ms", "now_s", "offset_ms"),
    [
        (0, 11.5, 5040 + 1500),  # as long after as it was away
        (1000, 11.5, 4040 + 1500),
        (0, 10.0, 5040 + MIN_STEP_MS),
        (5041, 11.5, 0),  # it knows where the time is
    ],
)
def test_a_time_that_begins_anew_lands_behind_what_was_sent(
    begin_ms: int, now_s: float, offset_ms: int
) -> None:
    time = restarted()
    time.on_tags(begin_ms, [4990, 5040], now_s)
    assert time.offset_ms == offset_ms
    time.on_tags(begin_ms + 40, [9_000], now_s + 1)
    assert time.offset_ms == offset_ms, "once"


def test_where_nothing_was_sent_there_is_nothing_to_be_behind() -> None:
    time = restarted()
    time.on_tags(0, (), 11.0)
    assert time.offset_ms == 0


def test_it_is_known_through_another_placement_before_the_first_tag() -> None:
    time = restarted()
    time.allow_restart()
    time.on_headers(goes_on=True)
    time.on_tags(0, [5040], 10.0)
    assert time.offset_ms == 5040 + MIN_STEP_MS


@pytest.mark.parametrize(
    ("end_ms", "now_s", "is_ahead"),
    [
        (5000, 10.0, False),
        (5000 + MAX_AHEAD_MS, 10.0, False),
        (5001 + MAX_AHEAD_MS, 10.0, True),
        (5001 + MAX_AHEAD_MS, 10.1, False),  # the publisher is away, and its picture stands
        (3_600_000, 10.0, True),
        (0, 10.0, False),  # a replay
    ],
)
def test_a_worker_is_no_further_ahead_of_ingest_than_a_publisher_may_jump(
    end_ms: int, now_s: float, is_ahead: bool
) -> None:
    time = SourceTime(0.0)
    assert not time.is_ahead(end_ms, now_s), "ingest has not said what the time is"
    time.on_ingest(5000, 10.0)
    assert time.is_ahead(end_ms, now_s) is is_ahead


@pytest.mark.parametrize(
    ("begin_ms", "received_s", "flags", "offset_ms"),
    [
        (0, 11.5, 0, 5040 + 1500),
        (0, 11.0, REPLAY, 5040 + 1000),  # a GOP that came before what is live
        (900_000, 11.5, 0, 5040 + 1500 - 900_000),  # however far ahead its own time is
        (0, 9.0, REPLAY, 5040 + MIN_STEP_MS),  # from before the other one's last
    ],
)
def test_another_start_lands_where_it_came_behind_what_was_sent(
    begin_ms: int, received_s: float, flags: int, offset_ms: int
) -> None:
    time = SourceTime(0.0)
    time.on_start(None)
    time.on_start(1_000)
    time.on_tags(5000, (), 10.0)
    time.on_ingest(5000, 10.0)
    time.on_start(2_000)
    key = head(9, begin_ms, flags, received_s), b""
    header = head(9, 0, HEADER, 11.5), b""
    assert time.take(tags(0, header, rendition="360p")[0], [5040], 11.5)
    assert time.take(tags(1, key, rendition="360p")[0], [5040], 11.5)
    assert time.offset_ms == offset_ms
    assert time.take(tags(2, key, rendition="360p")[0], [9_000], 12.0)
    assert time.offset_ms == offset_ms, "once"
