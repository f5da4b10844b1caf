"""The log's lines of streams that open and close at an egress."""

import logging

import pytest

from common.ipc.identity import Generation
from common.ipc.media_messages import StreamClosed
from egress.stream_lines import StreamLines
from egress.streams.opening_lines import SETTLED_S
from tests.kit.egress import STREAM, stream_open


def test_an_opening_is_told_when_it_has_settled_and_before_its_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "tfarm.egress.run")
    lines = StreamLines()
    lines.opened(stream_open(), 0.0)
    lines.check(SETTLED_S / 2)
    assert not caplog.messages
    lines.closed(StreamClosed(STREAM, Generation(1), "it left", 3_000), SETTLED_S / 2)
    assert [line.partition(" stream=")[0] for line in caplog.messages] == [
        "stream open",
        "stream held",
    ]
    lines.closed(StreamClosed(STREAM, Generation(1), "it left", 0), SETTLED_S)
    assert caplog.messages[-1].startswith("stream closed stream=")
    lines.ended(STREAM, SETTLED_S)
    assert len(caplog.messages) == 3
