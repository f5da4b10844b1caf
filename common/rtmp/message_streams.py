"""The message streams of one connection: which there are, and what each is used for.

A table and its questions; what a command does to it, and what is answered, is the session's.
Flash applications use several on one connection, everything else stream 1.
"""

from dataclasses import dataclass
from enum import Enum, auto


class StreamUse(Enum):
    """What a message stream is used for."""

    IDLE = auto()
    PUBLISH_PENDING = auto()  # asked for, not answered
    PUBLISHING = auto()
    PLAY_PENDING = auto()
    PLAYING = auto()


@dataclass(slots=True)
class MessageStream:
    """One message stream."""

    use: StreamUse = StreamUse.IDLE
    audio: bool = True  # what a player wants to receive
    video: bool = True


class MessageStreams:
    """The streams of a connection by id, never more than `limit`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._streams: dict[int, MessageStream] = {}

    def create(self) -> int | None:
        """Opens the lowest free id from 1 on (GStreamer counts on 1); None: the table is full."""
        free = next(i for i in range(1, len(self._streams) + 2) if i not in self._streams)
        return free if self.open(free) else None

    def open(self, stream_id: int) -> MessageStream | None:
        """The stream of that id, made if need be; None: the table is full."""
        stream = self._streams.get(stream_id)
        if stream is None and len(self._streams) < self._limit:
            stream = self._streams[stream_id] = MessageStream()
        return stream

    def get(self, stream_id: int) -> MessageStream | None:
        """The stream of that id, if there is one."""
        return self._streams.get(stream_id)

    def known(self, stream_id: int) -> MessageStream:
        """The stream of that id, which is there: a request waits on it."""
        return self._streams[stream_id]

    def delete(self, stream_id: int) -> None:
        """Forgets the stream, if there is one of that id."""
        self._streams.pop(stream_id, None)

    def ids(self) -> tuple[int, ...]:
        """All ids, in the order of opening."""
        return tuple(self._streams)

    def publishing(self) -> int | None:
        """The stream that is published on, or asked to be."""
        return self._first(StreamUse.PUBLISHING, StreamUse.PUBLISH_PENDING)

    def playing(self) -> int | None:
        """A stream that is played on."""
        return self._first(StreamUse.PLAYING)

    def in_use(self) -> int | None:
        """A stream that is not idle."""
        return self._first(*(use for use in StreamUse if use is not StreamUse.IDLE))

    def _first(self, *uses: StreamUse) -> int | None:
        return next((i for i, stream in self._streams.items() if stream.use in uses), None)
