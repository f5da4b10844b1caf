"""Which egresses want which streams, besides the ones that keep their rings. Pure.

An egress wants a stream while it has players of it, and for a while after; and at once when a
player requests one that it has not.
"""

from collections.abc import Iterable, Sequence

from common.ipc.control_messages import EgressRoutes, ServedStatus
from common.ipc.egress_homes import home
from common.ipc.identity import ChildId, StreamId

KEEP_S = 10.0  # after the last player
MAX_WANTED = 4000  # names come from players: those of no stream count too


class Routing:
    """Call `update` after what may have changed something."""

    def __init__(self) -> None:
        self._until_s: dict[tuple[ChildId, StreamId], float] = {}
        self.reported = EgressRoutes(())

    def want(self, egress: ChildId, stream_id: StreamId, now: float) -> None:
        self._until_s.pop((egress, stream_id), None)
        while len(self._until_s) >= MAX_WANTED:
            del self._until_s[next(iter(self._until_s))]
        self._until_s[egress, stream_id] = now + KEEP_S

    def on_served(self, egress: ChildId, served: Sequence[ServedStatus], now: float) -> None:
        """Take over what an egress reports to serve."""
        for status in served:
            if status.waiting_players or any(r.players for r in status.renditions):
                self.want(egress, status.stream_id, now)

    def joined(
        self,
        streams: Iterable[StreamId],
        before: Iterable[ChildId],
        egresses: Iterable[ChildId],
        now: float,
    ) -> None:
        """There are other egresses than `before`: whose homes move, their old ones keep, too.

        For a while: players may have come to them that are not reported yet.
        """
        old, new = sorted(before), sorted(egresses)
        for stream_id in streams:
            was = home(stream_id, old)
            if was is not None and was in new and was != home(stream_id, new):
                self.want(was, stream_id, now)

    def remove(self, egress: ChildId) -> None:
        self._until_s = {key: until for key, until in self._until_s.items() if key[0] != egress}

    def update(self, egresses: Iterable[ChildId], now: float) -> EgressRoutes | None:
        """The routes, if they are others than those reported last."""
        running = sorted(egresses)
        self._until_s = {key: until for key, until in self._until_s.items() if until > now}
        extra: dict[StreamId, list[ChildId]] = {}
        for egress, stream_id in self._until_s:
            if egress in running and egress != home(stream_id, running):
                extra.setdefault(stream_id, []).append(egress)
        routes = EgressRoutes(tuple((key, tuple(sorted(extra[key]))) for key in sorted(extra)))
        if routes == self.reported:
            return None
        self.reported = routes
        return routes
