"""ingest/streams/stream_log.py: lines about streams, at limited rates, without their keys."""

import logging

import pytest

from common.access.refusal import Refusal, RefusalReason
from common.notices.doctor import Change
from ingest.streams.stream_log import StreamLog
from tests.kit.ingest_ports import STREAM


@pytest.fixture(autouse=True)
def shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="tfarm")


def test_a_line_has_the_event_the_stream_and_its_fields(caplog: pytest.LogCaptureFixture) -> None:
    log = StreamLog(lambda: 0.0)
    log.info("publish started", STREAM, "peer=%s", "192.0.2.1:5000")
    log.warning("publisher closed", STREAM)
    first, second = caplog.messages
    assert first.startswith("publish started stream=")
    assert first.endswith("peer=192.0.2.1:5000")
    assert second.startswith("publisher closed stream=")
    assert "cam" not in first + second, "a stream's key is a credential"


def test_what_comes_too_often_is_counted_and_said_with_the_next(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = 0.0
    log = StreamLog(lambda: now)
    for _ in range(1_000):
        log.info("publisher lost", STREAM, "reason=%s", "reset")
    assert len(caplog.messages) < 300
    now = 10.0
    log.info("publisher lost", STREAM, "reason=%s", "reset")
    assert caplog.messages[-1].endswith("more like it)")


def test_notices_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    notices = ["sends faster", "Opus audio is omitted"]
    StreamLog(lambda: 0.0).notices(STREAM, "192.0.2.1:5000", notices)
    assert notices == []
    assert [text.partition(" peer=192.0.2.1:5000 what=")[2] for text in caplog.messages] == [
        "sends faster",
        "Opus audio is omitted",
    ]


def test_a_refusal_may_have_no_stream(caplog: pytest.LogCaptureFixture) -> None:
    log = StreamLog(lambda: 0.0)
    log.refused("", "peer", Refusal(RefusalReason.NOT_FOUND, "no app"), 0.0)
    assert "stream=? peer=peer code=not-found reason=no app" in caplog.text


def test_a_notice_has_a_line_when_it_begins_and_one_when_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = StreamLog(lambda: 0.0)
    words = "keyframes are 8.3 s apart: set the keyframe interval to 2 s"
    log.changes(STREAM, [Change("long-gop", True, words, True)])
    log.changes(STREAM, [Change("no-sound", True, "no sound has come", False)])
    log.changes(STREAM, [Change("long-gop", False, "keyframes too far apart", True, 35.2)])
    levels = [record.levelname for record in caplog.records]
    assert levels == ["WARNING", "INFO", "INFO"], "a fact is no warning, nor is an end"
    assert f" code=long-gop words={words}" in caplog.messages[0]
    assert caplog.messages[0].startswith("source notice stream=")
    assert caplog.messages[2].endswith("code=long-gop seconds=35 words=keyframes too far apart")
