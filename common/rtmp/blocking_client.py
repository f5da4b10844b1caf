"""IO: a blocking RTMP publisher and player over `common.rtmp.client`.

For `tfarm demo`, tests and benches: one socket each, no threads, every wait limited by the
timeout given. Not for the farm's own processes, which never block.
"""

import select
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, Literal, Self

from common.errors import TfarmError
from common.rtmp.client import ClientEvent, ClientSession, Ended, Playing, Published, Refused

_READ_SIZE: Final = 1 << 16
_CLOSE_TIMEOUT_S: Final = 1.0


class RtmpRefused(TfarmError):
    """The server refused, or closed before it agreed. `code` is empty if it said nothing."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(f"{code or 'connection closed'}: {description}")
        self.code = code
        self.description = description


# What is done to a connection before RTMP begins on it, such as TLS.
Prepare = Callable[[socket.socket], socket.socket]


class _Peer:
    """One connection: what publisher and player have in common."""

    def __init__(
        self,
        url: str,
        mode: Literal["publish", "play"],
        timeout: float,
        chunk_size: int,
        source: str,
        prepare: Prepare | None,
    ) -> None:
        """`source` is the address to come from; "": any."""
        self._prepare = prepare
        self.session = ClientSession(url, mode, chunk_size)
        self._source = (source, 0) if source else None
        self._timeout = timeout
        self._socket: socket.socket | None = None
        self._events: deque[ClientEvent] = deque()
        self._ended: Ended | None = None

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def connect(self) -> None:
        """Opens the connection and returns once the server has agreed to publish or play.

        Raises:
            RtmpRefused: the server said no, or closed.
            TimeoutError: it did not answer within the timeout.
            OSError: no connection.
            ProtocolError: it does not speak RTMP.
        """
        address = self.session.address
        deadline = time.monotonic() + self._timeout
        to = (address.host, address.port)
        self._socket = socket.create_connection(to, self._timeout, self._source)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._prepare is not None:
                self._socket = self._prepare(self._socket)
            self.session.start()
            self._flush()
            while True:
                match self._next_event(deadline):
                    case None:
                        raise RtmpRefused("", "the server closed the connection")
                    case Refused(code, description):
                        raise RtmpRefused(code, description)
                    case Published() | Playing():
                        return
                    case _:
                        pass  # nothing else comes before the answer, and nothing is lost by it
        except BaseException:
            self._drop()
            raise

    def close(self) -> None:
        """Says goodbye and closes; waits a second at most for the server to close too.

        Does nothing if the connection is closed already.
        """
        if self._socket is None:
            return
        try:
            self.session.close()
            self._flush()
            self._socket.shutdown(socket.SHUT_WR)
            # Read to the end: closing with input unread resets the connection, and what the
            # server has not read yet may be lost with it.
            self._socket.settimeout(min(self._timeout, _CLOSE_TIMEOUT_S))
            while self._socket.recv(_READ_SIZE):
                pass
        except OSError:
            pass  # the server was faster, or is slow
        finally:
            self._drop()

    def abort(self) -> None:
        """Closes without a goodbye, as a client that crashed."""
        self._drop()

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    @property
    def peer(self) -> socket.socket:
        """The socket, for what this client does not say. Raises ConnectionError when closed."""
        return self._open_socket()

    def _open_socket(self) -> socket.socket:
        if self._socket is None:
            raise ConnectionError("the RTMP connection is closed")
        return self._socket

    def _flush(self) -> None:
        data = self.session.data_to_send()
        if data:
            peer = self._open_socket()
            peer.settimeout(self._timeout)
            peer.sendall(data)

    def _receive(self, deadline: float) -> bool:
        """Reads once, waiting until the deadline; False at the end of the connection."""
        peer = self._open_socket()
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the RTMP server did not answer in time")
        peer.settimeout(left)
        data = peer.recv(_READ_SIZE)
        if not data:
            return False
        self.session.receive_data(data, time.monotonic())
        self._events.extend(self.session.events_received())
        self._flush()
        return True

    def _next_event(self, deadline: float) -> ClientEvent | None:
        """The next event; None at the end of the connection."""
        while not self._events:
            if not self._receive(deadline):
                return None
        event = self._events.popleft()
        if isinstance(event, Ended):
            self._ended = event
        return event

    def next_event(self, timeout: float | None = None) -> ClientEvent | None:
        """The next event within the timeout; None at the end of the connection.

        Raises:
            TimeoutError: nothing came in time; one may go on.
            ConnectionError: the connection was reset.
        """
        wait = self._timeout if timeout is None else timeout
        return self._next_event(time.monotonic() + wait)


class RtmpPublisher(_Peer):
    """Publishes one stream.

    The `send_…` methods write at once, block while the server does not read, and raise
    ConnectionError when it has gone or ended the stream.
    """

    def __init__(
        self,
        url: str,
        timeout: float = 10.0,
        chunk_size: int = 4096,
        source: str = "",
        prepare: Prepare | None = None,
    ) -> None:
        super().__init__(url, "publish", timeout, chunk_size, source, prepare)

    def send_metadata(self, payload: bytes, timestamp: int = 0) -> None:
        """Sends onMetaData; AMF0 from the string "onMetaData" on."""
        self.take_input()
        self.session.send_metadata(payload, timestamp)
        self._flush()

    def send_data(self, payload: bytes, timestamp: int = 0) -> None:
        """Sends any other data message."""
        self.take_input()
        self.session.send_data(payload, timestamp)
        self._flush()

    def send_audio(self, timestamp_ms: int, payload: bytes) -> None:
        """Sends an FLV audio tag body."""
        self.take_input()
        self.session.send_audio(timestamp_ms, payload)
        self._flush()

    def send_video(self, timestamp_ms: int, payload: bytes) -> None:
        """Sends an FLV video tag body."""
        self.take_input()
        self.session.send_video(timestamp_ms, payload)
        self._flush()

    def take_input(self) -> None:
        """Reads what has come, so that the server's acknowledgements never fill the socket."""
        ready = select.poll()
        ready.register(self._open_socket(), select.POLLIN)
        while ready.poll(0):
            if not self._receive(time.monotonic() + self._timeout):
                raise ConnectionError("the RTMP server closed the connection")
        while self._events:
            self.next_event()
        if self._ended is not None:
            raise ConnectionError(f"the RTMP server ended the stream: {self._ended.code}")


class RtmpPlayer(_Peer):
    """Plays one stream: iterate over it for the events, until the server ends it or closes."""

    def __init__(
        self,
        url: str,
        timeout: float = 10.0,
        chunk_size: int = 4096,
        source: str = "",
        prepare: Prepare | None = None,
    ) -> None:
        super().__init__(url, "play", timeout, chunk_size, source, prepare)

    def __iter__(self) -> Iterator[ClientEvent]:
        """Events as they come; `Ended` is the last, if the server says it.

        Raises:
            TimeoutError: nothing came for the timeout.
            ConnectionError: the connection was reset.
        """
        while True:
            event = self.next_event()
            if event is None:
                return
            yield event
            if isinstance(event, Ended):
                return
