"""Which thread a process died in, by a file that it leaves behind (IO).

A decoder that dies takes the process along, and nobody is left to say of what. So Python's
faulthandler writes the stacks of all threads then, into a file that was opened before the sandbox
closed; the supervisor reads it, and knows by the thread which stream it was.
"""

import contextlib
import faulthandler
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

MAX_BYTES: Final = 256 * 1024  # that are read: whoever writes it may have been taken over
MAX_WHERE: Final = 200
_CURRENT: Final = re.compile(
    r"^Current thread 0x([0-9a-f]{1,16}) .*\n(?:  File \"([^\"\n]*)\", line (\d+) in ([^\n]*))?",
    re.MULTILINE,
)

_file: BinaryIO | None = None  # open as long as the process


@dataclass(frozen=True, slots=True)
class CrashReport:
    """What is known of a process that a signal ended."""

    thread: int  # as `threading.Thread.ident` has it
    where: str = ""  # the innermost Python function of that thread


def path_of(run_dir: Path, pid: int) -> Path:
    """The file of a process."""
    return run_dir / f"crash-{pid}"


def begin(run_dir: Path) -> None:
    """Have this process leave a report if it crashes; without a word where that cannot be."""
    global _file
    with contextlib.suppress(OSError):
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        _file = os.fdopen(os.open(path_of(run_dir, os.getpid()), flags, 0o600), "wb", 0)
        faulthandler.enable(_file, all_threads=True)


def take(run_dir: Path, pid: int) -> CrashReport | None:
    """Read what a dead process left, and remove it; None: it left nothing of a crash."""
    path = path_of(run_dir, pid)
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), "rb") as file:
            text = file.read(MAX_BYTES).decode(errors="replace")
    except OSError:
        return None
    path.unlink(missing_ok=True)
    return read(text)


def read(text: str) -> CrashReport | None:
    """Return what the output of faulthandler says of the thread that it happened in."""
    found = _CURRENT.search(text)
    if found is None:
        return None
    thread, file, line, function = found.groups()
    where = f"{'/'.join(file.split('/')[-3:])}:{line} {function}" if file else ""
    return CrashReport(int(thread, 16), where[:MAX_WHERE])
