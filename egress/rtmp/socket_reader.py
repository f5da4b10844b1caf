"""What one player sends, from its socket (IO): little at a time, and within its budget."""

import asyncio
import errno
import socket
from collections.abc import Callable

from egress.rtmp.input_budget import InputBudget

READ_BYTES = 16 * 1024
MAX_READS = 8  # of one player, before the others get their turn
LEFT = "left"


class SocketReader:
    """Reads while the socket is watched."""

    __slots__ = ("_budget", "_clock", "_fd", "_is_stopped", "_loop", "_peer", "is_ignoring")

    def __init__(
        self, peer: socket.socket, loop: asyncio.AbstractEventLoop, clock: Callable[[], float]
    ) -> None:
        self.is_ignoring = False  # whatever comes; its end is still noticed
        self._peer = peer
        self._fd = peer.fileno()
        self._loop = loop
        self._clock = clock
        self._budget = InputBudget(clock())
        self._is_stopped = False

    def watch(self, on_readable: Callable[[], object]) -> None:
        """Have this called, which calls `read`, whenever something came."""
        self._loop.add_reader(self._fd, on_readable)

    def stop(self) -> None:
        """Read no more; before the socket is closed."""
        self._is_stopped = True
        self._loop.remove_reader(self._fd)

    def read(self, on_data: Callable[[bytes], object], on_end: Callable[[str], object]) -> None:
        """Give what came to `on_data`; `on_end` has the reason why nothing more may come."""
        # To the end: uvloop never calls again for a socket that was reset, even when its last bytes
        # and the reset come to light together.
        for _ in range(MAX_READS):
            try:
                data = self._peer.recv(READ_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                on_end(lost(error))
                return
            if not data:
                on_end(LEFT)
            elif self.is_ignoring:
                pass
            elif not self._budget.allows(len(data), self._clock()):
                on_end("sends more than a player has to say")
            else:
                on_data(data)
            if self._is_stopped:
                return


def lost(error: OSError) -> str:
    """Why a connection ends whose socket has failed.

    A player that is closed with media unread resets its connection (RFC 9293, 3.10.4): it left.
    """
    if error.errno in (errno.ECONNRESET, errno.EPIPE):
        return LEFT
    return f"connection lost: {error.strerror or error}"
