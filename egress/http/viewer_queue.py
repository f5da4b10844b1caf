"""What waits for one viewer's socket: references to shared pieces, bounded. Pure.

Over `queue_ms` of media, or `MAX_BYTES`, what has not begun to go out is dropped up to the last
keyframe that leaves less than that, or else up to the next one to come. Behind a gap the
initialisation segment comes again.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from egress.http.from_units import Piece
from egress.http.responses import LAST_CHUNK, chunk, content

MAX_BYTES: Final = 32 * 1024**2
MAX_BUFFERS: Final = 64  # a send
MAX_SEND_BYTES: Final = 256 * 1024


class _Item(NamedTuple):
    """Bytes that are queued; `piece`: what they belong to, None: never dropped."""

    data: bytes | memoryview
    piece: Piece | None


class ViewerQueue:
    """A `SendQueue`."""

    def __init__(self, queue_ms: int, *, is_chunked: bool = True) -> None:
        self.dropped = 0  # pictures
        self.bytes = 0  # queued
        self.sent_bytes = 0
        self.is_begun = False  # the answer has
        self._queue_ms = queue_ms
        self._is_chunked = is_chunked
        self._queue: deque[_Item] = deque()
        self._offset = 0  # bytes of the first item that are sent
        self._init = b""  # that this viewer has, or will have
        self._needs_key = True
        self._joined_ms: int | None = None  # what it was given at once is no lag

    @property
    def has_queue(self) -> bool:
        return bool(self._queue)

    def lag_ms(self) -> int:
        """Media that waits and has not begun to go out, beyond what it was given at its begin."""
        pieces = self._waiting()
        if not pieces:
            return 0
        begin_ms = pieces[0].begin_ms
        if self._joined_ms is not None:
            begin_ms = max(begin_ms, self._joined_ms)
        return pieces[-1].end_ms - begin_ms

    # ---- what it is given ---------------------------------------------------------------------

    def begin(self, head: bytes) -> None:
        """Queue the head of the answer."""
        self.is_begun = True
        self._put(head, None)

    def join(self, pieces: Sequence[Piece]) -> None:
        """Begin with these, the first of which is a keyframe."""
        for piece in pieces:
            self._take(piece)
        if pieces:
            self._joined_ms = pieces[-1].end_ms

    def offer(self, piece: Piece) -> None:
        """Take the next piece, if it follows what this viewer got."""
        self._take(piece)
        if self.bytes > MAX_BYTES or self._is_late():
            self._drop()

    def finish(self, data: bytes) -> None:
        """Queue the last bytes of the body, and its end."""
        self._put_chunk(chunk(data), None)
        if self._is_chunked:
            self._put(LAST_CHUNK, None)

    def answer(self, data: bytes) -> None:
        """Queue a whole answer of another kind; before all else."""
        self.is_begun = True
        self._put(data, None)

    # ---- what goes out ------------------------------------------------------------------------

    def buffers(self) -> list[bytes | bytearray | memoryview]:
        """The bytes to send next: some of the queue, from the first byte that is not sent."""
        found: list[bytes | bytearray | memoryview] = []
        left, offset = MAX_SEND_BYTES, self._offset
        for data, _ in self._queue:
            found.append(memoryview(data)[offset:] if offset else data)
            left -= len(data) - offset
            offset = 0
            if left <= 0 or len(found) == MAX_BUFFERS:
                break
        return found

    def sent(self, count: int, /) -> None:
        """The socket took `count` bytes of `buffers`."""
        self.sent_bytes += count
        count += self._offset
        queue = self._queue
        while queue and count >= len(queue[0].data):
            size = len(queue.popleft().data)
            count -= size
            self.bytes -= size
        self._offset = count

    # ---- inside -------------------------------------------------------------------------------

    def _is_late(self) -> bool:
        return len(self._queue) > 2 and self.lag_ms() > self._queue_ms

    def _waiting(self) -> list[Piece]:
        """The pieces that have not begun to go out, in order."""
        found: list[Piece] = []
        for place, (_, piece) in enumerate(self._queue):
            if piece is None or (place == 0 and self._offset):
                continue
            if not found or found[-1] is not piece:  # its initialisation segment belongs to it
                found.append(piece)
        return found

    def _take(self, piece: Piece) -> None:
        if self._needs_key and not piece.is_key:
            self.dropped += piece.pictures
            return
        self._needs_key = False
        if piece.init is not self._init:
            self._init = piece.init
            self._put_chunk(piece.init, piece)
        self._put_chunk(piece.wire, piece)

    def _put_chunk(self, wire: bytes, piece: Piece | None) -> None:
        self._put(wire if self._is_chunked else content(wire), piece)

    def _put(self, data: bytes | memoryview, piece: Piece | None) -> None:
        self._queue.append(_Item(data, piece))
        self.bytes += len(data)

    def _drop(self) -> None:
        """Drop what is too much; what has begun to go out stays."""
        begun = self._queue[0] if self._offset else None
        kept = [item for item in self._queue if item is begun or item.piece is None]
        pieces = self._waiting()
        last_ms = pieces[-1].end_ms if pieces else 0
        start = next(
            (
                at
                for at in range(len(pieces) - 1, 0, -1)
                if pieces[at].is_key and last_ms - pieces[at].begin_ms <= self._queue_ms
            ),
            len(pieces),
        )
        self.dropped += sum(piece.pictures for piece in pieces[:start])
        self._queue = deque(kept)
        self.bytes = sum(len(item.data) for item in kept)
        self._init, self._needs_key, self._joined_ms = b"", True, None
        for piece in pieces[start:]:
            self._take(piece)
