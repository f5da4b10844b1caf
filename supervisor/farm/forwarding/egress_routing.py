"""Which children want which streams, besides the streams' homes. Pure.

An egress wants a stream while it has players of it, and for a while after; and at once when a
player requests one that it has not. A child of another kind wants what it asked for, for a while
after it asked last.
"""

from collections.abc import Callable, Iterable, Sequence, Set

from common.ipc.control_messages import EgressRoutes, StreamWanted, Subscription
from common.ipc.egress_homes import home
from common.ipc.identity import ChildId, StreamId
from common.ipc.status_messages import ServedStatus

KEEP_S = 10.0  # after the last player
MAX_WANTED = 4000  # names come from players: those of no stream count too


def restricted(routes: EgressRoutes, is_own: Callable[[StreamId], bool]) -> EgressRoutes:
    """Return what the routes say of some streams."""
    return EgressRoutes(
        tuple(entry for entry in routes.extra if is_own(entry[0])),
        tuple(entry for entry in routes.subscriptions if is_own(entry.stream_id)),
    )


class Routing:
    """Call `update` after what may have changed something."""

    def __init__(self) -> None:
        self._until_s: dict[tuple[ChildId, StreamId], float] = {}
        self._renditions: dict[tuple[ChildId, StreamId], tuple[str, ...]] = {}  # of subscribers
        self.reported = EgressRoutes(())

    def want(self, egress: ChildId, stream_id: StreamId, now: float) -> None:
        self._until_s.pop((egress, stream_id), None)
        while len(self._until_s) >= MAX_WANTED:
            del self._until_s[next(iter(self._until_s))]
        self._until_s[egress, stream_id] = now + KEEP_S

    def on_wanted(self, child: ChildId, wanted: StreamWanted, now: float) -> None:
        """Take a child's own word for what it wants."""
        self.want(child, wanted.stream_id, now)
        if child.kind != "egress":
            self._renditions[child, wanted.stream_id] = wanted.renditions

    def on_served(self, egress: ChildId, served: Sequence[ServedStatus], now: float) -> None:
        """Take over what an egress reports to serve."""
        for status in served:
            if status.waiting_players or any(r.players for r in status.renditions):
                self.want(egress, status.stream_id, now)

    def homes_changed(
        self,
        streams: Iterable[StreamId],
        before: Iterable[ChildId],
        homes: Iterable[ChildId],
        now: float,
    ) -> None:
        """There are other homes than `before`: whose homes move, their old ones keep, too.

        For a while: players may have come to them that are not reported yet.
        """
        old, new = sorted(before), sorted(homes)
        for stream_id in streams:
            was = home(stream_id, old)
            if was is not None and was != home(stream_id, new):
                self.want(was, stream_id, now)

    def remove(self, child: ChildId) -> None:
        """Forget what a child wanted that is gone."""
        self._until_s = {key: until for key, until in self._until_s.items() if key[0] != child}

    def update(
        self, children: Iterable[ChildId], now: float, retiring: Set[ChildId] = frozenset()
    ) -> EgressRoutes | None:
        """The routes to these children that run, if they are others than those reported last.

        Those that retire are no stream's home.
        """
        running = sorted(children)
        homes = [child for child in running if child not in retiring]
        self._until_s = {key: until for key, until in self._until_s.items() if until > now}
        self._renditions = {
            key: names for key, names in self._renditions.items() if key in self._until_s
        }
        extra: dict[StreamId, list[ChildId]] = {}
        subscriptions: list[Subscription] = []
        for child, stream_id in self._until_s:
            if child not in running:
                continue
            names = self._renditions.get((child, stream_id))
            if names is not None:
                subscriptions.append(Subscription(child, stream_id, names))
            elif child != home(stream_id, homes):
                extra.setdefault(stream_id, []).append(child)
        routes = EgressRoutes(
            tuple((key, tuple(sorted(extra[key]))) for key in sorted(extra)),
            tuple(sorted(subscriptions, key=lambda entry: (entry.child, entry.stream_id))),
        )
        if routes == self.reported:
            return None
        self.reported = routes
        return routes
