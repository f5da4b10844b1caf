"""Who a stream's tags go to: the egress that is its home, and every process that wants it. Pure.

Only egresses are homes: a home keeps the stream's last GOP and takes its players first. It is found
by everyone alike from the stream's name and the egresses that run, so that it needs nobody to
report it. One that retires is no home any more: its players stay, new ones go to another. Who else
wants the stream, or some renditions of it, the supervisor reports (`EgressRoutes`): egresses with
players of it, and children of any other kind.
"""

import zlib
from collections.abc import Iterable, Mapping

from common.ipc.control_messages import EgressRoutes, Endpoint
from common.ipc.identity import ChildId, StreamId
from common.ipc.media_messages import SHARED


def home(stream_id: str, children: Iterable[ChildId]) -> ChildId | None:
    """The egress among these children that is the stream's home (rendezvous hashing)."""
    egresses = (child for child in children if is_home(child))
    return max(egresses, key=lambda egress: weight(stream_id, egress), default=None)


def is_home(child: ChildId) -> bool:
    """Tell if a child is of the kind that streams come to without being asked for."""
    return child.kind == "egress"


def weight(stream_id: str, egress: ChildId) -> int:
    """Egresses in falling order of it are tried for a stream's players."""
    return zlib.crc32(f"{egress} {stream_id}".encode(errors="replace"))


class Routes:
    """Where tags go besides the homes."""

    def __init__(self) -> None:
        self._extra: Mapping[StreamId, tuple[ChildId, ...]] = {}
        self._subscribers: dict[StreamId, dict[ChildId, tuple[str, ...]]] = {}
        self._retiring: frozenset[ChildId] = frozenset()

    def follow(self, endpoints: Iterable[Endpoint]) -> None:
        """Note which children retire."""
        self._retiring = frozenset(end.child for end in endpoints if end.is_retiring)

    def update(self, message: EgressRoutes) -> None:
        self._extra = dict(message.extra)
        self._subscribers = {}
        for entry in message.subscriptions:
            self._subscribers.setdefault(entry.stream_id, {})[entry.child] = entry.renditions

    def subscribed(
        self, stream_id: StreamId, running: Iterable[ChildId], rendition: str = SHARED
    ) -> set[ChildId]:
        """Those of the running children that a rendition's tags go to.

        `SHARED`: all that want anything of the stream.
        """
        children = set(running)
        wanted = children.intersection(self._extra.get(stream_id, ()))
        for child, names in self._subscribers.get(stream_id, {}).items():
            if child in children and (rendition == SHARED or not names or rendition in names):
                wanted.add(child)
        first = home(stream_id, children - self._retiring)
        if first is not None:
            wanted.add(first)
        return wanted
