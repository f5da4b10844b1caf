"""When one peer's socket is read, and how much at a time (IO).

It is read as soon as something comes, or in batches when its owner says so; not for a while, to
hold a publisher back; not at all while a request waits for its answer. TCP holds the peer back
then.
"""

import asyncio
import fcntl
import socket
import termios
from array import array
from collections.abc import Callable

MAX_READS = 16  # buffers taken before the others get their turn
MAX_HOLD_S = 2.0  # without reading: a publisher never looks silent by it
HELD_READ_BYTES = 16 * 1024  # one that was held back is read in pieces of little media
MAX_TURN_S = 0.005  # no further buffer is taken after this long


class SocketReader:
    """The reading of one socket, from now until `close`."""

    def __init__(
        self,
        sock: socket.socket,
        loop: asyncio.AbstractEventLoop,
        buffer: memoryview,
        clock: Callable[[], float],
        on_data: Callable[[memoryview], None],
        on_end: Callable[[str], None],
    ) -> None:
        """`on_data` gets a part of `buffer`, for as long as the call takes.

        `on_end` gets the reason: "" when the peer has closed, else what broke.
        """
        self.is_batched = False  # read by `read_batched` alone
        self.is_held = False  # nothing is read for a while
        self._is_stopped = False
        self._is_closed = False
        self._was_held = False
        self._hold: asyncio.TimerHandle | None = None
        self._socket = sock
        self._fd = sock.fileno()
        self._loop = loop
        self._buffer = buffer
        self._clock = clock
        self._on_data = on_data
        self._on_end = on_end
        loop.add_reader(self._fd, self._read)

    def hold_back(self, seconds: float, then: Callable[[], None]) -> None:
        """Read nothing for so long, `MAX_HOLD_S` at most; call `then` when it has caught up."""
        if not self.is_held:
            self.is_batched = False
            self.is_held = self._was_held = True
            self._loop.remove_reader(self._fd)
            self._hold = self._loop.call_later(min(seconds, MAX_HOLD_S), self._go_on, then)

    def stop(self) -> None:
        """Read nothing before `resume`."""
        self._is_stopped = True
        self._loop.remove_reader(self._fd)

    def resume(self) -> None:
        """Read again, in the way that it was read before."""
        self._is_stopped = False
        if not self.is_held and not self.is_batched:
            self._watch()

    def discard(self) -> None:
        """Read whatever comes from now on, and throw it away."""
        self._on_data = _ignore
        is_unread = self._is_stopped or self.is_held or self.is_batched
        self._cancel_hold()
        if is_unread:
            self._watch()

    def read_batched(self) -> None:
        """Read what has come; from now on nothing is read but by this."""
        if self.is_held:
            return
        if not self.is_batched:
            self.is_batched = True
            self._loop.remove_reader(self._fd)
        self._read()

    def read_immediately(self) -> None:
        """Read as soon as something comes."""
        if self.is_batched:
            self._watch()

    def unread_bytes(self) -> int:
        """How much has come and is not read."""
        if self._is_closed:
            return 0
        count = array("i", [0])
        fcntl.ioctl(self._fd, termios.FIONREAD, count)
        return count[0]

    def look_again(self) -> None:
        """Read all that has come, up to its end, reported or not; to be called once a second.

        uvloop never calls again for a socket that was reset, even when its last bytes and the
        reset come to light together. To read behind each short read would report it at once, and
        costs more than most messages do.
        """
        if not self._is_stopped and not self.is_held and not self._is_closed:
            self._read(up_to_end=True)

    def close(self) -> None:
        """Read no more; to be called before the socket is closed."""
        self._is_closed = True
        self._cancel_hold()
        self._loop.remove_reader(self._fd)
        self._on_data = self._on_end = _ignore  # no cycle with its owner

    def _read(self, *, up_to_end: bool = False) -> None:
        buffer = self._buffer
        if self._was_held:
            buffer = buffer[:HELD_READ_BYTES]
        turn_ends_s = self._clock() + MAX_TURN_S
        for _ in range(MAX_READS):
            if self._clock() > turn_ends_s:
                break
            try:
                count = self._socket.recv_into(buffer)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._on_end(error.strerror or str(error))
                return
            if count == 0:
                self._on_end("")
                return
            self._on_data(buffer[:count])
            if self._is_closed or self._is_stopped or self.is_held:
                return
            if count < len(buffer) and not up_to_end:
                return
        # Watched anew, a reset is reported again: see `look_again`. One that sends so much is read
        # immediately.
        self._loop.remove_reader(self._fd)
        self._watch()

    def _watch(self) -> None:
        self.is_batched = self._is_stopped = False
        self._loop.add_reader(self._fd, self._read)

    def _go_on(self, then: Callable[[], None]) -> None:
        self.is_held, self._hold = False, None
        if self._is_stopped:
            return  # it has ended, and asked for something else
        self._watch()
        self._read()
        if not self.is_held and not self._is_closed:
            then()

    def _cancel_hold(self) -> None:
        self.is_held = False
        if self._hold is not None:
            self._hold.cancel()
            self._hold = None


def _ignore(_: object) -> None:
    pass
