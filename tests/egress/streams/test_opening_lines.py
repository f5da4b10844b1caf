"""An opening is logged once a generation, with the renditions that there will be."""

from dataclasses import replace

from common.config.ladder import Template
from common.ipc.identity import Generation, StreamId
from common.ipc.media_messages import StreamOpen
from egress.streams.opening_lines import SETTLED_S, OpeningLines

STREAM = StreamId("live/a")
ALL = StreamOpen(STREAM, Generation(1), Template("live", ()), ("720p", "360p"), None)
FITTED = replace(ALL, renditions=("360p",))


def test_only_the_renditions_that_fit_the_source_are_logged() -> None:
    lines = OpeningLines()
    lines.opened(ALL, 10.0)
    lines.opened(FITTED, 10.1)
    assert lines.due(10.1) == []
    assert lines.due(10.2 + SETTLED_S) == [FITTED]
    assert lines.due(100.0) == []


def test_an_opening_that_says_nothing_new_is_no_line() -> None:
    lines = OpeningLines()
    lines.opened(FITTED, 10.0)
    assert lines.due(20.0) == [FITTED]
    lines.opened(FITTED, 21.0)
    assert lines.due(30.0) == []
    moved = replace(FITTED, generation=Generation(2))
    lines.opened(moved, 31.0)
    assert lines.due(40.0) == [moved]


def test_a_stream_that_ends_at_once_has_its_line_before_the_end() -> None:
    lines = OpeningLines()
    lines.opened(ALL, 10.0)
    assert lines.closed(STREAM) == [ALL]
    assert lines.closed(STREAM) == []
    assert lines.due(20.0) == []


def test_a_stream_that_was_held_opens_again() -> None:
    lines = OpeningLines()
    lines.opened(FITTED, 10.0)
    assert lines.due(20.0) == [FITTED]
    assert lines.closed(STREAM) == []
    lines.opened(FITTED, 30.0)
    assert lines.due(40.0) == [FITTED]
