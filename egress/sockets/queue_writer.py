"""From a viewer's queue into its socket (IO), and one timer of a connection."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Protocol


class SendQueue(Protocol):
    """What waits for one socket."""

    @property
    def has_queue(self) -> bool: ...

    def buffers(self) -> Sequence[bytes | bytearray | memoryview]:
        """The bytes to send next."""

    def sent(self, count: int, /) -> None:
        """The socket took so many of them."""


class QueueWriter:
    """Sends a queue as far as the socket takes it, and waits for the socket to take more."""

    __slots__ = ("_clock", "_loop", "_peer", "_queue", "is_waiting", "progress_s")

    def __init__(
        self,
        peer: socket.socket,
        queue: SendQueue,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
    ) -> None:
        self.is_waiting = False
        self.progress_s = clock()  # when the socket took something, or had to begin to
        self._peer = peer
        self._queue = queue
        self._loop = loop
        self._clock = clock

    def write(self, on_writable: Callable[[], object]) -> bool:
        """Send; returns whether all is sent, else `on_writable` is called when more can be.

        Raises OSError when the socket is lost.
        """
        queue = self._queue
        while queue.has_queue:
            buffers = queue.buffers()
            try:
                sent = self._peer.sendmsg(buffers)
            except (BlockingIOError, InterruptedError):
                if not self.is_waiting:
                    self.is_waiting = True
                    self._loop.add_writer(self._peer.fileno(), on_writable)
                return False
            del buffers
            queue.sent(sent)
            self.note_progress()
        self.stop_waiting()
        return True

    def note_progress(self) -> None:
        """Count a stall from now on."""
        self.progress_s = self._clock()

    def is_stalled(self, longest_s: float, offer: Callable[[], object]) -> bool:
        """Tell if the socket has taken nothing for so long, with something queued.

        It is offered what is queued once more, by `offer`: this process may have been away itself.
        """
        if not self._has_waited(longest_s):
            return False
        offer()
        return self._has_waited(longest_s)

    def _has_waited(self, longest_s: float) -> bool:
        return self._queue.has_queue and self._clock() - self.progress_s > longest_s

    def stop_waiting(self) -> None:
        """Ask no more whether the socket takes something."""
        if self.is_waiting:
            self.is_waiting = False
            self._loop.remove_writer(self._peer.fileno())


class Timer:
    """One call to come; the next one replaces it."""

    __slots__ = ("_handle", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None

    def set(self, seconds: float, call: Callable[..., None], *arguments: object) -> None:
        self.cancel()
        self._handle = self._loop.call_later(seconds, call, *arguments)

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
