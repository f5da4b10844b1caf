"""common/process/log_lines.py: an event as a line, as JSON, as the journal's fields."""

import json
import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.process.log import Counts, more
from common.process.log_lines import (
    MAX_VALUE,
    JournalFields,
    JsonFormatter,
    LineFormatter,
    PriorityFormatter,
    event_of,
    fields_of,
    is_journal,
)

PLAYER = "player open address=%s stream=%s seconds=%.1f%s"


def record(
    text: str, *values: object, level: int = logging.INFO, name: str = "tfarm.x"
) -> logging.LogRecord:
    made = logging.LogRecord(name, level, "", 0, text, values, None)
    made.created = datetime(2026, 11, 30, 6, 41, 34, 123_000, UTC).timestamp()
    return made


def failed() -> logging.LogRecord:
    try:
        raise ValueError("why")
    except ValueError:
        made = record("a job failed stream=%s", "live/1", level=logging.ERROR)
        made.exc_info = sys.exc_info()
        return made


def entries(datagram: bytes) -> dict[str, str]:
    """Read what systemd's journal reads of a datagram of its native protocol."""
    found = {}
    while datagram:
        line, _, datagram = datagram.partition(b"\n")
        name, has_value, value = line.partition(b"=")
        if not has_value:
            size = int.from_bytes(datagram[:8], "little")
            value, end = datagram[8 : 8 + size], datagram[8 + size : 9 + size]
            assert end == b"\n"
            datagram = datagram[9 + size :]
        assert name.decode() not in found
        found[name.decode()] = value.decode()
    return found


@pytest.mark.parametrize(
    ("text", "event", "fields"),
    [
        (PLAYER, "player open", ("address", "stream", "seconds", "")),
        ("ingest ends", "ingest ends", ()),
        ("encoder sessions limited sessions=%d for_s=%d", "encoder sessions limited", None),
        ("handling a message failed%s", "handling a message failed", ("",)),
        ("device is behind, it takes no new streams device=%s", None, ("device",)),
        ("100%% of it is used of=%s", "100% of it is used", ("of",)),
        ("listening again reason=the socket was removed path=%s", "listening again", ("path",)),
    ],
)
def test_a_format_string_names_the_event_and_its_values(
    text: str, event: str | None, fields: tuple[str, ...] | None
) -> None:
    found = event_of(text)
    assert found.name == (event or text.partition(" device=")[0])
    assert fields is None or found.fields == fields


def test_values_have_their_names_and_numbers_stay_numbers() -> None:
    held = record(PLAYER, "203.0.113.7:1", "live/1", 2.25, more(3))
    assert fields_of(held) == {
        "event": "player open",
        "address": "203.0.113.7:1",
        "stream": "live/1",
        "seconds": 2.25,
        "more": 3,
    }
    assert "more" not in fields_of(record(PLAYER, "a", "b", 1, more(0)))
    assert fields_of(record("x y=%s", float("nan"))) == {"event": "x", "y": "nan"}
    assert fields_of(record("x y=%s", Counts(a=1))) == {"event": "x", "y": {"a": 1}}
    assert record("x y=%s z=%s", Counts(a=1, b=2), Counts()).getMessage() == "x y=a:1,b:2 z=-"
    assert fields_of(record("x y=%s", True)) == {"event": "x", "y": "True"}


def test_what_a_library_says_is_no_event_of_ours() -> None:
    found = fields_of(record("slow call=%s", "a", name="asyncio"))
    assert found == {"event": "library", "logger": "asyncio"}


def test_a_line_of_json_has_the_time_the_fields_and_what_text_would_say() -> None:
    line = JsonFormatter("egress:0").format(record(PLAYER, "a", "live/1", 2, more(0)))
    assert json.loads(line) == {
        "time": "2026-11-30T06:41:34.123Z",
        "level": "info",
        "process": "egress:0",
        "event": "player open",
        "address": "a",
        "stream": "live/1",
        "seconds": 2,
        "message": "player open address=a stream=live/1 seconds=2.0",
    }


def test_a_traceback_is_in_the_same_line_of_json_and_the_same_entry() -> None:
    line = JsonFormatter("worker:cpu:0").format(failed())
    assert "\n" not in line
    assert json.loads(line)["traceback"].endswith("ValueError: why")
    entry = entries(JournalFields("worker:cpu:0").datagram(failed()))
    assert entry["MESSAGE"].startswith("worker:cpu:0: a job failed stream=live/1\nTraceback")
    assert entry["MESSAGE"].endswith("ValueError: why")


def test_the_journal_gets_a_field_for_each_value() -> None:
    refused = record("publish refused stream=%s reason=%s", "?", "full", level=logging.WARNING)
    assert entries(JournalFields("ingest:0").datagram(refused)) == {
        "MESSAGE": "ingest:0: publish refused stream=? reason=full",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "tfarm",
        "TFARM_PROCESS": "ingest:0",
        "TFARM_EVENT": "publish refused",
        "TFARM_STREAM": "?",
        "TFARM_REASON": "full",
    }


@given(st.text(), st.text(max_size=30))
def test_no_peer_makes_a_line_a_field_or_an_event(value: str, other: str) -> None:
    made = record("publish refused stream=%s reason=%s", value, other)
    line = JsonFormatter("ingest:0").format(made)
    assert line.isascii()
    assert line.isprintable()
    read = json.loads(line)
    assert read["event"] == "publish refused"
    assert read["stream"] == value[:MAX_VALUE]
    assert list(read) == ["time", "level", "process", "event", "stream", "reason", "message"]
    entry = entries(JournalFields("ingest:0").datagram(made))
    assert len(entry) == 7
    assert entry["TFARM_EVENT"] == "publish refused"
    assert entry["PRIORITY"] == "6"


def test_a_value_and_a_message_are_bounded() -> None:
    made = record("odd what=%s", "x" * 1_000_000)
    assert len(JsonFormatter("ingest:0").format(made)) < 16_000
    assert len(JournalFields("ingest:0").datagram(made)) < 16_000


def test_what_comes_from_peers_neither_steers_the_terminal_nor_makes_lines_of_its_own() -> None:
    record = logging.LogRecord("tfarm.x", logging.INFO, "", 0, "key=%s", ("\x1b[2J\na",), None)
    for formatter in (LineFormatter("ingest:0"), PriorityFormatter("ingest:0")):
        assert formatter.format(record).endswith(r"INFO    ingest:0   key=\x1b[2J\na")


def test_the_journal_gets_a_priority_before_every_line() -> None:
    try:
        raise ValueError("why")
    except ValueError:
        record = logging.LogRecord(
            "tfarm.x", logging.ERROR, "", 0, "failed %d", (1,), sys.exc_info()
        )
    lines = PriorityFormatter("ingest:0").format(record).splitlines()
    assert lines[0] == "<3>ERROR   ingest:0   failed 1"
    assert len(lines) > 2
    assert all(line.startswith("<3>") for line in lines)
    record = logging.LogRecord("tfarm.x", logging.WARNING, "", 0, "odd", (), None)
    assert PriorityFormatter("ingest:0").format(record).startswith("<4>")


def test_only_the_very_file_that_systemd_names_is_the_journal(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        found = os.fstat(file.fileno())
        assert is_journal(file.fileno(), f"{found.st_dev}:{found.st_ino}")
        assert not is_journal(file.fileno(), f"{found.st_dev}:{found.st_ino + 1}")
        assert not is_journal(file.fileno(), "")
    assert not is_journal(-1, "1:2")
