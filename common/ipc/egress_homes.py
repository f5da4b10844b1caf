"""Which egresses a stream's tags go to: the one that keeps its ring, and those with players. Pure.

The first is found by everyone alike from the stream's name and the egresses that run, so that it
needs nobody to tell it; the others are told by the supervisor (`EgressRoutes`).
"""

import zlib
from collections.abc import Iterable, Mapping

from common.ipc.control_messages import EgressRoutes
from common.ipc.identity import ChildId, StreamId


def home(stream_id: str, egresses: Iterable[ChildId]) -> ChildId | None:
    """The egress that keeps the stream's ring, and takes its players first (rendezvous hashing)."""
    return max(egresses, key=lambda egress: weight(stream_id, egress), default=None)


def weight(stream_id: str, egress: ChildId) -> int:
    """Egresses in falling order of it are tried for a stream's players."""
    return zlib.crc32(f"{egress} {stream_id}".encode(errors="replace"))


class Routes:
    """What is known of the egresses besides the homes."""

    def __init__(self) -> None:
        self._extra: Mapping[StreamId, tuple[ChildId, ...]] = {}

    def update(self, message: EgressRoutes) -> None:
        self._extra = dict(message.extra)

    def extra(self, stream_id: StreamId) -> tuple[ChildId, ...]:
        return self._extra.get(stream_id, ())

    def wants(self, stream_id: StreamId, egresses: Iterable[ChildId]) -> set[ChildId]:
        """Those of the running egresses that the stream's tags go to."""
        running = set(egresses)
        first = home(stream_id, running)
        wanted = running.intersection(self.extra(stream_id))
        if first is not None:
            wanted.add(first)
        return wanted
