"""A text stream that never waits for its reader (IO): the log's, and what else goes to stderr.

Stderr may be a pipe that nobody reads, a terminal after Ctrl-S, a journal that hangs. All processes
of a farm have it, and none may stand still for it. So what is not taken is lost, and counted. The
descriptor itself is not made non-blocking: that flag belongs to everybody who shares it, the
operator's shell too. A pipe or terminal is opened a second time, a socket has a flag for each send,
and where neither goes (a pipe of another user) the kernel is asked before each write.
"""

import contextlib
import errno
import io
import os
import select
import socket
import stat
import threading
import time
from collections.abc import Callable
from typing import Final

GRACE_S: Final = 0.01  # for a reader that is only slow: once a second, and not while it stands
GRACE_EVERY_S: Final = 1.0
# A pipe that is writable has room for so many (pipe(7): PIPE_BUF), and takes all of them or none.
PIECE_BYTES: Final = 4096
MAX_TEXT_BYTES: Final = 64 * 1024  # of one text; the rest of it is cut off
# From a kernel or file that cannot write without waiting at all.
_UNSUPPORTED: Final = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.ESPIPE)

Write = Callable[[bytes], int]


class Unblocked(io.TextIOBase):
    """Writes to a descriptor what it takes at once. `lost` counts the lines that it did not."""

    def __init__(self, descriptor: int) -> None:
        self.lost = 0
        self._descriptor = descriptor
        self._sender = _sender(descriptor)
        self._write = self._sender or _writer(descriptor)
        self._rest = b""  # of a text whose beginning was taken
        self._is_stuck = False
        self._next_grace_s = 0.0
        self._lock = threading.RLock()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a property in the class, too
        return "utf-8"

    def fileno(self) -> int:
        return self._descriptor

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, text: str, /) -> int:
        if not self.put(text):
            self.lost += text.count("\n")
        return len(text)

    def put(self, text: str) -> bool:
        """Write a text, unless nobody takes it."""
        data = text.encode(errors="backslashreplace")
        if len(data) > MAX_TEXT_BYTES:
            data = data[: MAX_TEXT_BYTES - 1] + b"\n"
        with self._lock:
            if not data or (self._rest and not self._drain()):
                return not data
            self._rest = data
            if self._drain() or 0 < len(self._rest) < len(data):
                return True
            self._rest = b""
            return False

    def close(self) -> None:
        """Take nothing more; the descriptor stays open."""
        if self._sender is not None:
            self._sender.socket.close()
        super().close()

    def _drain(self) -> bool:
        """Write what is left; False when it is not all taken."""
        while self._rest:
            try:
                taken = self._write(self._rest[:PIECE_BYTES])
            except BlockingIOError:
                if not self._wait():
                    self._is_stuck = True
                    return False
            except OSError:  # no reader, a full disk
                self._rest = b""
                return False
            else:
                self._is_stuck = False
                self._rest = self._rest[taken:]
        return True

    def _wait(self) -> bool:
        now = time.monotonic()
        if self._is_stuck or now < self._next_grace_s:
            return False
        self._next_grace_s = now + GRACE_EVERY_S
        return _takes_more(self._descriptor, GRACE_S)


def unblock(descriptor: int) -> Unblocked:
    """Return a stream to a descriptor, which itself does not wait any more, where that can be had.

    So what libraries in C write does not wait either: the descriptor of a pipe or a terminal stands
    for a second opening of it from now on, also in the processes that are started.
    """
    if (opened := _open_again(descriptor)) is not None:
        os.dup2(opened, descriptor)
        os.close(opened)
    return Unblocked(descriptor)


def _open_again(descriptor: int) -> int | None:
    try:
        mode = os.fstat(descriptor).st_mode
        if not (stat.S_ISFIFO(mode) or (stat.S_ISCHR(mode) and os.isatty(descriptor))):
            return None
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        return os.open(f"/proc/self/fd/{descriptor}", flags)
    except OSError:  # another user's, nobody reads it any more, or it is closed
        return None


class _Sender:
    """Sends on a socket that others use."""

    def __init__(self, descriptor: int) -> None:
        self.socket = socket.socket(fileno=os.dup(descriptor))

    def __call__(self, data: bytes) -> int:
        return self.socket.send(data, socket.MSG_DONTWAIT)


def _sender(descriptor: int) -> _Sender | None:
    try:
        is_socket = stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError:
        return None
    return _Sender(descriptor) if is_socket else None


def _writer(descriptor: int) -> Write:
    try:
        mode = os.fstat(descriptor).st_mode
        is_blocking = os.get_blocking(descriptor)
    except OSError:
        mode, is_blocking = 0, False
    if stat.S_ISREG(mode) or not is_blocking:
        return lambda data: os.write(descriptor, data)
    return lambda data: _write_at_once(descriptor, data)


def _write_at_once(descriptor: int, data: bytes) -> int:
    """Write without the flag that others would share. Raises BlockingIOError."""
    with contextlib.suppress(OSError):  # known before: a kernel before 6.4 writes to pipes below
        if not _takes_more(descriptor, 0):
            raise BlockingIOError
    try:
        return os.pwritev(descriptor, [data], -1, os.RWF_NOWAIT)
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    return os.write(descriptor, data)


def _takes_more(descriptor: int, timeout_s: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(timeout_s * 1000))
