"""Where the log goes (IO): stderr, which children inherit from the supervisor.

Where stderr is systemd's journal, each line has its priority in front, as sd-daemon(3) has it, and
no time, which the journal has. No line waits for whoever reads it (`unblocked.py`); how many were
lost stands before the next one that is taken.
"""

import logging
import os
import sys

from common.process.log import JournalFormatter, LineFormatter, is_journal
from common.process.unblocked import Unblocked, unblock


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


def _lost(count: int) -> logging.LogRecord:
    words = "log lines lost count=%d reason=nobody read them"
    return logging.LogRecord("tfarm", logging.WARNING, "", 0, words, (count,), None)


def set_up(process: str, level: str = "INFO") -> None:
    """Send the log of this process to stderr, each line with the process name.

    What libraries log as warnings goes there too, and tracebacks.
    """
    at_journal = is_journal(2, os.environ.get("JOURNAL_STREAM", ""))
    stream = unblock(2)
    sys.stderr = stream
    handler = LineHandler(stream)
    handler.setFormatter(JournalFormatter(process) if at_journal else LineFormatter(process))
    logging.getLogger().handlers[:] = [handler]
    root = logging.getLogger("tfarm")
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False
