"""Which renditions are demanded here, and the reports of it. Pure but for sending these.

A rendition is demanded while it has subscribers, whatever these are, or somebody waits for it to
start. Tags that nobody demands come batched (`common.ipc.tag_link`), so whoever sends a stream gets
a report as soon as a rendition of it has its first subscriber, and some time after its last left.
"""

from collections.abc import Mapping, Sequence, Set
from math import inf
from typing import Protocol

from common.ipc.envelope import encode
from common.ipc.identity import StreamId
from common.ipc.media_messages import Demand
from egress.streams.rendition import Rendition

_NOTHING: frozenset[str] = frozenset()


def demanded(renditions: Mapping[str, Rendition], awaited: Set[str], now: float) -> set[str]:
    """The names of a stream's renditions that are demanded; each notes since when it is."""
    names = set(awaited)
    for name, rendition in renditions.items():
        if rendition.is_subscribed:
            names.add(name)
        if name not in names:
            rendition.demanded_since_s = inf
        elif rendition.demanded_since_s == inf:
            rendition.demanded_since_s = now
    return names


class Sender(Protocol):
    """One who sends tags here."""

    @property
    def closed(self) -> bool: ...

    def answer(self, frames: Sequence[bytes], /) -> bool:
        """Send a message back; False: it takes none now."""
        ...


class DemandReports:
    """Reports to every sender of every stream what is demanded of it."""

    def __init__(self) -> None:
        self._reported: dict[StreamId, dict[Sender, frozenset[str]]] = {}
        self._unknown: Set[StreamId] = frozenset()  # at the last `prune`

    def add_sender(self, stream_id: StreamId, sender: Sender) -> None:
        """Note one who sends the stream, perhaps again."""
        self._reported.setdefault(stream_id, {}).setdefault(sender, _NOTHING)

    def report(self, stream_id: StreamId, names: Set[str]) -> None:
        """Report to those who do not know it yet; who takes no answer gets it at the next call."""
        reported = self._reported.get(stream_id)
        if reported is None:
            return
        for sender, known in tuple(reported.items()):
            if sender.closed:
                del reported[sender]
            elif known != names:
                message = Demand(stream_id, tuple(sorted(names)))
                if sender.answer([encode(message)]):
                    reported[sender] = frozenset(names)

    def prune(self, known: Set[StreamId]) -> None:
        """Forget those that send what is no stream here, if that is so twice in a row.

        A worker may be ahead of the ingest that opens the stream.
        """
        unknown = self._reported.keys() - known
        for stream_id in unknown & self._unknown:
            del self._reported[stream_id]
        self._unknown = unknown

    def forget(self, stream_id: StreamId) -> None:
        """Report that nothing is demanded of a stream that has ended."""
        self.report(stream_id, _NOTHING)
        self._reported.pop(stream_id, None)
