"""What one peer is told (IO): sent at once, or when the peer takes it, and never much of it."""

import asyncio
import socket
from collections.abc import Callable
from typing import Protocol

MAX_UNSENT_BYTES = 64 * 1024
QUIET_S = 14.0  # nothing was sent for so long: a sign of life is due (docs/rtmp.md)


class OnBroken(Protocol):
    """Takes the end of a connection; `is_fault`: the peer broke the protocol."""

    def __call__(self, reason: str, is_fault: bool) -> None: ...


class BoundedOutput:
    """The bytes that a socket has not taken yet."""

    def __init__(
        self,
        sock: socket.socket,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        on_all_sent: Callable[[], None],
        on_broken: OnBroken,
    ) -> None:
        """`on_all_sent` is called once the socket has taken what it had refused before."""
        self._socket = sock
        self._fd = sock.fileno()
        self._loop = loop
        self._on_all_sent = on_all_sent
        self._on_broken = on_broken
        self._clock = clock
        self._sent_s = clock()
        self._unsent = b""

    @property
    def is_waiting(self) -> bool:
        """True while the socket has not taken everything."""
        return bool(self._unsent)

    def is_quiet(self, now: float) -> bool:
        """Whether nothing was sent for long, and nothing waits."""
        return now - self._sent_s >= QUIET_S and not self._unsent

    def send(self, data: bytes) -> None:
        """Send behind what waits already."""
        self._sent_s = self._clock()
        if self._unsent:
            self._unsent += data
        else:
            sent = self._send(data)
            if sent is None or sent == len(data):
                return
            self._unsent = data[sent:]
            self._loop.add_writer(self._fd, self._on_writable)
        if len(self._unsent) > MAX_UNSENT_BYTES:
            reason = f"the peer reads nothing: {len(self._unsent)} bytes wait for it"
            self._on_broken(reason, is_fault=True)

    def shut_down(self) -> None:
        """Say that nothing more comes."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            self._on_broken(error.strerror or str(error), is_fault=False)

    def close(self) -> None:
        """Forget what waits; to be called before the socket is closed."""
        self._loop.remove_writer(self._fd)
        self._unsent = b""
        self._on_all_sent = self._on_broken = _ignore  # no cycle with its owner

    def _on_writable(self) -> None:
        sent = self._send(self._unsent)
        if sent is None:
            return
        self._unsent = self._unsent[sent:]
        if not self._unsent:
            self._loop.remove_writer(self._fd)
            self._on_all_sent()

    def _send(self, data: bytes) -> int | None:
        """How many bytes the socket took; None: it is closed now."""
        try:
            return self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            self._on_broken(error.strerror or str(error), is_fault=False)
            return None


def _ignore(reason: str = "", is_fault: bool = False) -> None:
    pass
