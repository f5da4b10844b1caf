"""What one player sends, from its socket (IO): a little at a time, in turn, and within its budget.

What came before its handover, and waits behind its play request, is handled in such a turn too.
"""

import errno
import socket
from collections.abc import Callable

from common.process.fair_reading import READ_BYTES, FairReading, Reading
from egress.sockets.input_budget import InputBudget

LEFT = "left"


class SocketReader:
    """Reads while the socket is watched."""

    __slots__ = ("_budget", "_fair", "_has_unread", "_on_data", "_on_end", "_peer", "_reading",
                 "is_ignoring")  # fmt: skip

    def __init__(self, peer: socket.socket, fair: FairReading) -> None:
        self.is_ignoring = False  # whatever comes; its end is still noticed
        self._peer = peer
        self._fair = fair
        self._budget = InputBudget(fair.clock())
        self._has_unread = False  # with the session
        self._on_data: Callable[[bytes], object] = _ignore
        self._on_end: Callable[[str], object] = _ignore
        self._reading: Reading | None = None

    def watch(
        self, host: str, on_data: Callable[[bytes], object], on_end: Callable[[str], object]
    ) -> None:
        """Give what comes to `on_data`; `on_end` has the reason why nothing more may come."""
        self._on_data, self._on_end = on_data, on_end
        self._reading = Reading(self._fair, self._peer.fileno(), host, self._read, on_end)

    def stop(self) -> None:
        """Read no more; before the socket is closed."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.close()
        self._on_data = self._on_end = _ignore  # no cycle with its owner

    def go_on(self) -> None:
        """Call `on_data` with nothing, in turn: there is more with the session."""
        self._has_unread = True
        if self._reading is not None:
            self._reading.wake()

    def _read(self) -> tuple[int, bool]:
        """Read once: how many bytes, and whether there may be more."""
        if self._has_unread:
            self._has_unread = False
            if not self.is_ignoring:
                self._on_data(b"")
            return 0, self._reading is not None
        try:
            data = self._peer.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return 0, False
        except OSError as error:
            self._on_end(lost(error))
            return 0, False
        if not data:
            self._on_end(LEFT)
        elif self.is_ignoring:
            pass
        elif not self._budget.allows(len(data), self._fair.clock()):
            self._on_end("sends more than a player has to say")
        else:
            self._on_data(data)
        return len(data), len(data) == READ_BYTES


def lost(error: OSError) -> str:
    """Why a connection ends whose socket has failed.

    A player that is closed with media unread resets its connection (RFC 9293, 3.10.4): it left.
    """
    if error.errno in (errno.ECONNRESET, errno.EPIPE):
        return LEFT
    return f"connection lost: {error.strerror or error}"


def _ignore(_: object) -> None:
    pass
