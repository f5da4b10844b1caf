"""When one peer's socket is read, and how much at a time (IO).

Before it publishes, it is read little by little, in turn with all others that do not publish
(`common/process/fair_reading.py`). A publisher is read by the loop itself: as soon as something
comes, or in batches when its owner says so; not for a while, to hold it back. Nothing is read while
a request waits for its answer. TCP holds the peer back then.
"""

import asyncio
import fcntl
import socket
import termios
from array import array
from collections.abc import Callable

from common.process.fair_reading import READ_BYTES, FairReading, Reading

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
        newcomers: FairReading,
        host: str,
        on_data: Callable[[memoryview], None],
        on_end: Callable[[str], None],
    ) -> None:
        """`on_data` gets a part of `buffer`, for as long as the call takes.

        `on_end` gets the reason: "" when the peer has closed, else what broke. `host` is the peer's
        address.
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
        self._newcomers = newcomers
        self._host = host
        self._is_newcomer = True
        self._reading: Reading | None = None  # as a newcomer
        self._watch()

    def begin_publishing(self) -> None:
        """Read before those that do not publish, from now on."""
        is_unread = self._reading is None
        self._unwatch()
        self._is_newcomer = False
        if not is_unread:
            self._watch()

    def end_publishing(self) -> None:
        """Read as others that do not publish, from now on."""
        if not self._is_newcomer and not self._is_closed:
            self._cancel_hold()
            self._unwatch()
            self._is_newcomer = True
            self._watch()

    def hold_back(self, seconds: float, then: Callable[[], None]) -> None:
        """Read nothing for so long, `MAX_HOLD_S` at most; call `then` when it has caught up."""
        if not self.is_held:
            self.is_batched = False
            self.is_held = self._was_held = True
            self._unwatch()
            self._hold = self._loop.call_later(min(seconds, MAX_HOLD_S), self._go_on, then)

    def stop(self) -> None:
        """Read nothing before `resume`."""
        self._is_stopped = True
        self._unwatch()

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
            self._unwatch()
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
        is_read = not self._is_stopped and not self.is_held and not self._is_closed
        if is_read and not self._is_newcomer:
            self._read(up_to_end=True)

    def close(self) -> None:
        """Read no more; to be called before the socket is closed."""
        self._is_closed = True
        self._cancel_hold()
        self._unwatch()
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
            if self._is_closed or self._is_stopped or self.is_held or self._is_newcomer:
                return
            if count < len(buffer) and not up_to_end:
                return
        # Watched anew, a reset is reported again: see `look_again`. One that sends so much is read
        # immediately.
        self._unwatch()
        self._watch()

    def _read_little(self) -> tuple[int, bool]:
        """Read once, as a newcomer: how many bytes, and whether there may be more."""
        try:
            count = self._socket.recv_into(self._buffer, READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return 0, False
        except OSError as error:
            self._on_end(error.strerror or str(error))
            return 0, False
        if count == 0:
            self._on_end("")
            return 0, False
        self._on_data(self._buffer[:count])
        return count, count == READ_BYTES

    def _watch(self) -> None:
        self.is_batched = self._is_stopped = False
        if not self._is_newcomer:
            self._loop.add_reader(self._fd, self._read)
        elif self._reading is None:
            self._reading = Reading(
                self._newcomers, self._fd, self._host, self._read_little, self._on_refused
            )

    def _unwatch(self) -> None:
        if self._reading is not None:
            self._reading.close()
            self._reading = None
        elif not self._is_newcomer:
            self._loop.remove_reader(self._fd)

    def _on_refused(self, reason: str) -> None:
        self._on_end(reason)

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
