"""Where the log goes (IO): stderr, which children inherit from the supervisor, or the journal.

Where stderr is systemd's journal, each process sends its events to the journal's socket, with
fields (systemd's "native journal protocol"). Where that takes none, they go to stderr with their
priority in front, as sd-daemon(3) has it. No line waits for whoever reads it (`unblocked.py`); how
many were lost stands before the next one that is taken.
"""

import logging
import os
import socket
import sys
from typing import Final

from common.process.log_lines import (
    JournalFields,
    JsonFormatter,
    LineFormatter,
    LogFormat,
    PriorityFormatter,
    is_journal,
)
from common.process.unblocked import Unblocked, unblock

JOURNAL_SOCKET: Final = "/run/systemd/journal/socket"


class LineHandler(logging.Handler):
    """Writes lines, and how many before them nobody took."""

    def __init__(self, stream: Unblocked) -> None:
        super().__init__()
        self._stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        try:
            stream = self._stream
            lost = stream.lost
            if lost and stream.put(f"{self.format(_lost(lost))}\n"):
                stream.lost -= lost
            stream.write(f"{self.format(record)}\n")
        except Exception:
            self.handleError(record)


class JournalHandler(LineHandler):
    """Sends events to the journal's socket; to stderr what it does not take."""

    def __init__(self, stream: Unblocked, process: str, path: str = JOURNAL_SOCKET) -> None:
        super().__init__(stream)
        self.setFormatter(PriorityFormatter(process))
        self._fields = JournalFields(process)
        self._path = path
        self._lost = 0
        # Not connected: the journal may be started anew, and listens at the same path again.
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            lost = self._lost
            if lost and self._send(_lost(lost)):
                self._lost -= lost
            if not self._send(record):
                self._lost += 1
        except OSError:  # no journal there, or none that takes as much
            super().emit(record)
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        self._socket.close()
        super().close()

    def _send(self, record: logging.LogRecord) -> bool:
        """Send one event; False where the journal has no room. Raises OSError."""
        data = self._fields.datagram(record)
        try:
            self._socket.sendto(data, socket.MSG_DONTWAIT, self._path)
        except BlockingIOError:
            return False
        return True


def _lost(count: int) -> logging.LogRecord:
    words = "log lines lost count=%d reason=nobody read them"
    return logging.LogRecord("tfarm", logging.WARNING, "", 0, words, (count,), None)


def set_up(
    process: str,
    level: str = "INFO",
    log_format: LogFormat = LogFormat.AUTO,
    journal: str = JOURNAL_SOCKET,
) -> None:
    """Send the log of this process to stderr or the journal, each line with the process name.

    What libraries log as warnings goes there too, and tracebacks. `journal` is the path of its
    socket.
    """
    if log_format is LogFormat.AUTO:
        at_journal = is_journal(2, os.environ.get("JOURNAL_STREAM", ""))
        log_format = LogFormat.JOURNAL if at_journal else LogFormat.TEXT
    stream = unblock(2)
    sys.stderr = stream
    handler: logging.Handler
    if log_format is LogFormat.JOURNAL:
        handler = JournalHandler(stream, process, journal)
    else:
        handler = LineHandler(stream)
        is_json = log_format is LogFormat.JSON
        handler.setFormatter(JsonFormatter(process) if is_json else LineFormatter(process))
    logging.getLogger().handlers[:] = [handler]
    root = logging.getLogger("tfarm")
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False
