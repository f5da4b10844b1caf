"""How an event of the log is written: as a line for people, as JSON, as the journal's fields. Pure.

A call's format string is its event: fixed words, then a name for each value.

    log.info("player open address=%s stream=%s%s", address, label, more(held))

What peers send is in the values, so it makes no event and no field. A line of text costs what
`logging` costs; who wants fields takes a format string apart once.
"""

import json
import logging
import math
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from common.process.log import Counts, More
from common.words import printable


class LogFormat(StrEnum):
    """What `--log-format` takes."""

    AUTO = "auto"  # the journal's where stderr is systemd's journal, else text
    TEXT = "text"
    JSON = "json"
    JOURNAL = "journal"


LIBRARY: Final = "library"  # the event of a line that is none of ours
MAX_VALUE: Final = 4096  # characters of one value
MAX_MESSAGE: Final = 8192
MAX_TRACEBACK: Final = 32_768  # its end is kept

_FORMAT = "%(levelname)-7s {process:<10} %(message)s"
_PRIORITIES = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}
# `name=%s`, or a bare one: of `more`
_PLACEHOLDER = re.compile(r"(?:\b([a-z][a-z0-9_]*)=)?%(?:[-+ #0-9.]*[a-zA-Z]|%)")
_FIXED = re.compile(r" [a-z][a-z0-9_]*=")  # of a value that the format string has itself

Value = str | int | float | dict[str, int]


class Event(NamedTuple):
    """A format string, taken apart."""

    name: str  # "player open"
    fields: tuple[str, ...]  # by value; "" of one without a name


@lru_cache(maxsize=512)
def event_of(text: str) -> Event:
    """Read the event and the names of its values from a format string."""
    places = [place for place in _PLACEHOLDER.finditer(text) if place.group() != "%%"]
    end = places[0].start() if places else len(text)
    words = _FIXED.split(text[:end])[0].strip(" :,").replace("%%", "%")
    return Event(words, tuple(place[1] or "" for place in places))


def fields_of(record: logging.LogRecord) -> dict[str, Value]:
    """Return the event and its values by name; a value that has no name is in the message alone."""
    if record.name != "tfarm" and not record.name.startswith("tfarm."):
        return {"event": LIBRARY, "logger": record.name}
    event = event_of(str(record.msg))
    found: dict[str, Value] = {"event": event.name}
    # `logging` unpacks a mapping that is the only value
    values = record.args if isinstance(record.args, tuple) else (record.args,)
    for name, value in zip(event.fields, values, strict=False):
        if name:
            found[name] = _plain(value)
        elif isinstance(value, More) and value.held:
            found["more"] = value.held
    return found


def _plain(value: object) -> Value:
    """Return a value as JSON has it: a number, text, or numbers by name."""
    if isinstance(value, Counts):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return value
    return str(value)[:MAX_VALUE]


# ---- formats ------------------------------------------------------------------------------------


class LineFormatter(logging.Formatter):
    """Formats an event as one line, with the time; what would steer a terminal is written out."""

    def __init__(self, process: str) -> None:
        super().__init__(f"%(asctime)s {_FORMAT.format(process=process)}", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = _one_line(record.message)
        return super().formatMessage(record)


class PriorityFormatter(logging.Formatter):
    """Formats lines that systemd reads on stderr: each has its priority, a traceback's too."""

    def __init__(self, process: str) -> None:
        super().__init__(_FORMAT.format(process=process))

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = _one_line(record.message)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        mark = f"<{_PRIORITIES.get(record.levelno, 5)}>"
        return "\n".join(mark + line for line in super().format(record).splitlines())


class JsonFormatter(logging.Formatter):
    """Formats an event as an object of JSON on one line, in ASCII."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Value] = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "process": self._process,
            **fields_of(record),
            "message": _message(record),
        }
        if traceback := _traceback(self, record):
            line["traceback"] = traceback
        return json.dumps(line, separators=(", ", ": "))


class JournalFields:
    """Makes a datagram of systemd's native journal protocol of an event."""

    def __init__(self, process: str) -> None:
        self._process = process
        self._formatter = logging.Formatter()

    def datagram(self, record: logging.LogRecord) -> bytes:
        """Return the entry; a value with a line break has its length before it."""
        message = f"{self._process}: {_message(record)}"
        if traceback := _traceback(self._formatter, record):
            message += f"\n{printable(traceback)}"
        return b"".join(_entry(name, value) for name, value in self._fields(record, message))

    def _fields(self, record: logging.LogRecord, message: str) -> Iterator[tuple[str, Value]]:
        yield "MESSAGE", message
        yield "PRIORITY", _PRIORITIES.get(record.levelno, 5)
        yield "SYSLOG_IDENTIFIER", "tfarm"
        yield "TFARM_PROCESS", self._process
        for name, value in fields_of(record).items():
            yield f"TFARM_{name.upper()}", _one_line(str(value))


def _entry(name: str, value: Value) -> bytes:
    data = str(value).encode(errors="backslashreplace")  # lone surrogates
    if b"\n" not in data:
        return b"%s=%s\n" % (name.encode(), data)
    return b"%s\n%s%s\n" % (name.encode(), len(data).to_bytes(8, "little"), data)


def _message(record: logging.LogRecord) -> str:
    return _one_line(record.getMessage()[:MAX_MESSAGE])


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    if not record.exc_info or record.exc_info[0] is None:
        return ""
    return formatter.formatException(record.exc_info)[-MAX_TRACEBACK:]


def _one_line(message: str) -> str:
    return printable(message).replace("\n", "\\n")


def is_journal(descriptor: int, journal_stream: str) -> bool:
    """Tell if a descriptor is the one that $JOURNAL_STREAM names, as "device:inode"."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return journal_stream == f"{found.st_dev}:{found.st_ino}"
