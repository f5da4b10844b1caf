"""Logging set-up (IO): one line an event, with the process, and hashes in place of stream keys.

Lines go to stderr, which children inherit from the supervisor: never a pipe, so that a dead
supervisor blocks nobody. Where stderr is systemd's journal, each has its priority in front, as
sd-daemon(3) has it, and no time, which the journal has. Loggers are named
`tfarm.<package>.<module>`.
"""

import hashlib
import logging
import os
import sys

from common.words import printable

_FORMAT = "%(levelname)-7s {process:<10} %(message)s"
_PRIORITIES = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}


def key_hash(key: str) -> str:
    """A short stand-in for a stream key: keys are credentials and never stand in a log."""
    return hashlib.sha256(key.encode()).hexdigest()[:8]


def stream_label(stream_id: str) -> str:
    """`live/3fa2c1d0` for the stream `live/cam1`: what a log line calls a stream."""
    app, _, key = stream_id.partition("/")
    return f"{app}/{key_hash(key)}"


class RateLimit:
    """Lets `burst` lines through, then one each `interval_s`, and counts what it held back.

    Pure: the caller passes the time. `allow` gives the number of lines held back since the last
    one that passed, or None when this one must be held back too.
    """

    def __init__(self, burst: int = 20, interval_s: float = 1.0) -> None:
        self._burst = burst
        self._interval_s = interval_s
        self._tokens = float(burst)
        self._last: float | None = None
        self._held = 0

    def allow(self, now: float) -> int | None:
        if self._last is not None:
            refill = (now - self._last) / self._interval_s
            self._tokens = min(self._burst, self._tokens + refill)
        self._last = now
        if self._tokens < 1:
            self._held += 1
            return None
        self._tokens -= 1
        held, self._held = self._held, 0
        return held


def more(held_back: int) -> str:
    """What the end of a line says of the lines like it that a `RateLimit` held back before it."""
    return f" ({held_back} more like it)" if held_back else ""


class LineFormatter(logging.Formatter):
    """Formats an event as one line, with the time; what would steer a terminal is written out."""

    def __init__(self, process: str) -> None:
        super().__init__(f"%(asctime)s {_FORMAT.format(process=process)}", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = _one_line(record.message)
        return super().formatMessage(record)


class JournalFormatter(logging.Formatter):
    """Formats for systemd's journal: every line of a record has its priority, a traceback's too."""

    def __init__(self, process: str) -> None:
        super().__init__(_FORMAT.format(process=process))

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = _one_line(record.message)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        mark = f"<{_PRIORITIES.get(record.levelno, 5)}>"
        return "\n".join(mark + line for line in super().format(record).splitlines())


def _one_line(message: str) -> str:
    return printable(message).replace("\n", "\\n")


def is_journal(descriptor: int, journal_stream: str) -> bool:
    """Tell if a descriptor is the one that $JOURNAL_STREAM names, as "device:inode"."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return journal_stream == f"{found.st_dev}:{found.st_ino}"


def set_up(process: str, level: str = "INFO") -> None:
    """Send the log of this process to stderr, each line with the process name."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JournalFormatter(process)
        if is_journal(2, os.environ.get("JOURNAL_STREAM", ""))
        else LineFormatter(process)
    )
    root = logging.getLogger("tfarm")
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False
