"""A connection from its first byte until TLS stands (IO): a step at a time, in turn with others.

A handshake costs milliseconds, and whoever connects may ask for one. So it is made in
`FairReading`'s turns, behind the connections that stand, and counts for its address.
"""

import asyncio
import fcntl
import socket
import ssl
import termios
from array import array
from typing import Protocol

from common.process.fair_reading import FairReading, Reading
from ingest.rtmp.deadline import Deadline
from ingest.tls.refusals import OPENING_BYTES, why_failed, why_plain


class Host(Protocol):
    """Who made it."""

    @property
    def fair(self) -> FairReading: ...

    @property
    def timeout_s(self) -> float:
        """From accept to the end of the handshake."""

    def context(self) -> ssl.SSLContext:
        """That of new handshakes."""

    def established(self, handshake: "Handshake", client: ssl.SSLSocket) -> None:
        """TLS stands; the socket is the host's now."""

    def failed(self, handshake: "Handshake", reason: str) -> None:
        """It is closed; the reason is "" for one that left without a word."""


class Handshake:
    """Owns the socket until it calls its host."""

    def __init__(self, sock: socket.socket, host: str, peer: str, owner: Host) -> None:
        self.host, self.peer = host, peer
        self._plain: socket.socket | None = sock  # until the first byte is TLS's
        self._client: ssl.SSLSocket | None = None
        self._fd = sock.fileno()
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._awaits_write = False
        self._deadline = Deadline(self._loop)
        self._deadline.set(owner.timeout_s, self._on_late)
        self._reading = Reading(owner.fair, self._fd, host, self._step, self.fail)

    def fail(self, reason: str) -> None:
        """Close."""
        self._leave()
        sock = self._client or self._plain
        assert sock is not None
        sock.close()
        self._owner.failed(self, reason)

    def _on_late(self) -> None:
        self.fail(f"no TLS within {self._owner.timeout_s:g} s")

    def _step(self) -> tuple[int, bool]:
        """Go on with what has come: how many bytes were taken, and whether there may be more."""
        before = self._unread_bytes()
        client = self._client or self._begin()
        if client is None:
            return 0, False
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            return before - self._unread_bytes(), False
        except ssl.SSLWantWriteError:
            self._await_write()
            return before - self._unread_bytes(), False
        except ssl.SSLError as error:
            self.fail(why_failed(error.reason))
            return before, False
        except OSError:  # reset
            self.fail(why_failed(None))
            return before, False
        except ValueError as error:  # a version of TLS that the socket cannot name
            self.fail(str(error))
            return before, False
        taken = before - self._unread_bytes()
        self._leave()
        self._owner.established(self, client)
        return taken, False

    def _begin(self) -> ssl.SSLSocket | None:
        """Tell TLS from what is none; None: not yet, or it is closed now."""
        sock = self._plain
        assert sock is not None
        try:
            start = sock.recv(OPENING_BYTES, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            self.fail("")
            return None
        why = why_plain(start) if start else None
        if not start:
            self.fail("")
        elif why:
            self.fail(why)
        elif why == "":
            try:
                self._client = self._owner.context().wrap_socket(
                    sock, server_side=True, do_handshake_on_connect=False
                )
            except OSError:  # reset meanwhile
                self.fail("")
                return None
            self._plain = None
        return self._client

    def _await_write(self) -> None:
        if not self._awaits_write:
            self._awaits_write = True
            self._loop.add_writer(self._fd, self._on_writable)

    def _on_writable(self) -> None:
        self._stop_writing()
        self._reading.wake()

    def _stop_writing(self) -> None:
        if self._awaits_write:
            self._awaits_write = False
            self._loop.remove_writer(self._fd)

    def _leave(self) -> None:
        self._stop_writing()
        self._deadline.clear()
        self._reading.close()

    def _unread_bytes(self) -> int:
        count = array("i", [0])
        try:
            fcntl.ioctl(self._fd, termios.FIONREAD, count)
        except OSError:
            return 0
        return count[0]
