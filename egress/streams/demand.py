"""Tells those who send a stream's tags here what of it is played. Pure but for the answers.

Tags that nobody waits for come lazily (`common.ipc.tag_link`), so whoever sends a stream is told as
soon as a rendition of it has its first player, and some time after it had its last.
"""

from collections.abc import Sequence, Set
from typing import Protocol

from common.ipc.envelope import encode
from common.ipc.identity import StreamId
from common.ipc.media_messages import Demand

_NOTHING: frozenset[str] = frozenset()


class Sender(Protocol):
    """One who sends tags here."""

    @property
    def closed(self) -> bool: ...

    def answer(self, frames: Sequence[bytes], /) -> bool:
        """Whether it took the message."""
        ...


class Watching:
    """What every sender of every stream was told."""

    def __init__(self) -> None:
        self._told: dict[StreamId, dict[Sender, frozenset[str]]] = {}
        self._unknown: Set[StreamId] = frozenset()  # at the last `prune`

    def sends(self, stream_id: StreamId, sender: Sender) -> None:
        """A sender has begun, or goes on."""
        self._told.setdefault(stream_id, {}).setdefault(sender, _NOTHING)

    def tell(self, stream_id: StreamId, watched: Set[str]) -> None:
        """Tell those who do not know it yet; who takes no answer is told at the next call."""
        told = self._told.get(stream_id)
        if told is None:
            return
        for sender, known in tuple(told.items()):
            if sender.closed:
                del told[sender]
            elif known != watched:
                message = Demand(stream_id, tuple(sorted(watched)))
                if sender.answer([encode(message)]):
                    told[sender] = frozenset(watched)

    def prune(self, known: Set[StreamId]) -> None:
        """Forget those that send what is no stream here, if that is so twice in a row.

        A worker may be ahead of the ingest that opens the stream.
        """
        unknown = self._told.keys() - known
        for stream_id in unknown & self._unknown:
            del self._told[stream_id]
        self._unknown = unknown

    def forget(self, stream_id: StreamId) -> None:
        """The stream has ended."""
        self.tell(stream_id, _NOTHING)
        self._told.pop(stream_id, None)
