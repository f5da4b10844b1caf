"""One caller who watches: from its handshake to its end (IO by what it is given).

An egress judges it and sends the transport stream, by a Unix socket that it is handed over here;
what comes on that goes on to the caller, as often as its turn comes. Where the caller's line takes
no more, nothing is read: then the egress leaves out what is too late, up to a keyframe.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from typing import Final

from common.access.refusal import Refusal, RefusalReason
from common.errors import EnvelopeError
from common.ipc.api_messages import ViewRequest
from common.ipc.envelope import encode
from common.ipc.socket_handover import HandoverClient
from common.ipc.view_answer import read_answer
from common.ipc.viewer_doors import ViewerDoors
from common.process.log import key_hash
from common.srt.library import SEND_BYTES, CallState, SrtError, SrtLibrary
from ingest.srt.stream_name import PlayWish

NO_EGRESS: Final = Refusal(RefusalReason.UNAVAILABLE, "no egress is there; try again")
LOST: Final = Refusal(RefusalReason.UNAVAILABLE, "its egress has ended; try again")
SOCKET: Final = "ts"
TRIES: Final = 8  # egresses that may be full
HANDOVER_S: Final = 3.0
MIN_UNSENT: Final = 512 * 1024  # bytes on their way, however little the stream has a second
TURN_BYTES: Final = 512 * 1024  # of one viewer in one turn
END_S: Final = 1.0  # for what is on its way
_READ_BYTES: Final = 64 * 1024


class SrtViewer:
    """A caller with `m=request`."""

    def __init__(
        self,
        library: SrtLibrary,
        doors: ViewerDoors,
        peer: str,
        streamid: str,
        wish: PlayWish,
        on_answer: Callable[[Refusal | None], object],
        on_end: Callable[["SrtViewer", Refusal | None, str], object],
    ) -> None:
        """`on_answer` is called when the egress has judged, None: it may watch.

        `on_end` is called once, if it has a socket, when that is to be closed.
        """
        self.peer, self.streamid, self.wish = peer, streamid, wish
        self.sock: int | None = None  # the library's, from `start` on
        self.sent_bytes = 0
        self._library, self._doors = library, doors
        self._on_answer, self._on_end = on_answer, on_end
        self._link: socket.socket | None = None
        self._data = bytearray()  # came, and not sent yet
        self._is_answered = False
        self._has_ended = False  # the egress
        self._over: tuple[Refusal | None, str] | None = None
        self._end_s = 0.0
        self._before, self._allowed = 0, MIN_UNSENT  # `sent_bytes` of a second ago; on their way
        self._task = asyncio.get_running_loop().create_task(self._hand_over())

    @property
    def label(self) -> str:
        """Its stream, for the log."""
        return f"{self.wish.app}/{key_hash(self.wish.key)}"

    @property
    def is_over(self) -> bool:
        """Whether nothing follows."""
        return self._over is not None

    def start(self, sock: int) -> None:
        """Its handshake is done."""
        self.sock = sock
        if self._over is not None:
            self._on_end(self, *self._over)

    def turn(self) -> None:
        """Pass on what has come."""
        if self._link is None or self._over is not None:
            return
        try:
            if not self._is_answered:
                self._read_answer()
            if self._is_answered and self.sock is not None:
                self._pass_on(self.sock)
        except SrtError:
            self.leave("the caller is gone")
        except EnvelopeError as error:
            self._end(LOST, str(error))

    def look(self) -> None:
        """Notice that the caller is gone; once a second."""
        self._allowed = max(MIN_UNSENT, self.sent_bytes - self._before)
        self._before = self.sent_bytes
        sock = self.sock
        if sock is not None and self._library.call_state(sock) is CallState.ENDED:
            self.leave("the caller is gone")

    def leave(self, words: str) -> None:
        """Take nothing more; its egress sees that."""
        self._end(None, words)

    # ---- inside -------------------------------------------------------------------------------

    async def _hand_over(self) -> None:
        wish = self.wish
        asked = ViewRequest(wish.app, wish.key, wish.rendition, dict(wish.query), self.peer)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with theirs:
                refusal = await _offer(theirs, encode(asked), self._doors.addresses(wish.stream))
        except BaseException:
            ours.close()
            raise
        if refusal is not None or self._over is not None:
            ours.close()
            self._end(refusal, refusal.words if refusal is not None else "")
            return
        ours.setblocking(False)
        self._link = ours

    def _read_answer(self) -> None:
        self._receive()
        found = read_answer(bytes(self._data))
        if found is None:
            if self._has_ended:
                self._end(LOST, LOST.words)
            return
        answer, rest = found
        if answer.refusal is not None:
            self._end(answer.refusal, answer.refusal.words)
            return
        self._data[:] = rest
        self._is_answered = True
        self._on_answer(None)

    def _pass_on(self, sock: int) -> None:
        left = TURN_BYTES
        while left > 0 and self._library.unsent_bytes(sock) < self._allowed:
            count = self._receive()
            left -= count
            if not self._send(sock, is_all=count == 0) or not count:
                break
        if self._has_ended and not self._data:
            now = time.monotonic()
            self._end_s = self._end_s or now + END_S
            if now >= self._end_s or not self._library.unsent_bytes(sock):
                self._end(None, "its egress has ended it")

    def _receive(self) -> int:
        """Read once; how much."""
        assert self._link is not None
        try:
            data = self._link.recv(_READ_BYTES)
        except BlockingIOError:
            return 0
        except OSError:
            data = b""
        self._has_ended = not data
        self._data += data
        return len(data)

    def _send(self, sock: int, *, is_all: bool) -> bool:
        """Send in messages of whole packets; `is_all`: a last one that is not full, too."""
        data, at = self._data, 0
        end = len(data) if is_all else len(data) - len(data) % SEND_BYTES
        while at < end and self._library.send(sock, bytes(data[at : at + SEND_BYTES])):
            at = min(at + SEND_BYTES, end)
        del data[:at]
        self.sent_bytes += at
        return at == end

    def _end(self, refusal: Refusal | None, words: str) -> None:
        if self._over is not None:
            return
        self._over = refusal, words
        if self._link is not None:
            self._link.close()
        if not self._is_answered:
            self._is_answered = True
            self._on_answer(refusal or LOST)
        if self.sock is not None:
            self._on_end(self, refusal, words)


async def _offer(theirs: socket.socket, data: bytes, addresses: Sequence[str]) -> Refusal | None:
    """Hand a connection over to the first of these that takes it; a refusal: why none did."""
    refusal, deadline_s = NO_EGRESS, time.monotonic() + HANDOVER_S
    for address in addresses:
        ack = await HandoverClient(address).send(theirs.fileno(), data, deadline_s)
        if ack.adopted:
            return None
        refusal = Refusal(RefusalReason.UNAVAILABLE, ack.reason)
        if not ack.is_declined:
            break
    return refusal
