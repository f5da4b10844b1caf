"""Who is told where tags go: each child that sends some, of the streams that are its own. Pure.

An ingest is told of all: any stream may come to it. A relay is told of those that are not here. A
worker is told of those that are placed on it, and of those that it still has a session of; an
encoder process of those on workers that have their pictures encoded. So a worker that a stranger's
bitstream has taken over learns no name of another stream, which is a credential.
"""

from collections.abc import Iterable, Set
from math import inf

from common.config.ladder import Pipeline
from common.ipc.control_messages import EgressRoutes, Hello, StreamWanted
from common.ipc.identity import ChildId, StreamId
from common.ipc.status_messages import ServedStatus
from supervisor.farm.actions import Action, Send
from supervisor.farm.forwarding.egress_routing import Routing, restricted
from supervisor.farm.forwarding.remote_plays import RELAY, RemotePlays
from supervisor.farm.retiring import homes, mark, retiring
from supervisor.farm.state import SENDERS, FarmState

NOTHING = EgressRoutes(())


class RouteReports:
    """A `Machine`: a stream that is placed anew is told to its worker at once."""

    def __init__(self, state: FarmState) -> None:
        self._state = state
        self._routing = Routing()
        self.remote = RemotePlays(state)
        self._reported: dict[ChildId, EgressRoutes] = {}
        self._fleet = state.fleet  # the one that was looked at last: a placement makes another

    # ---- what children want -------------------------------------------------------------------

    def egress_up(self, hello: Hello, before: Set[ChildId], now: float) -> None:
        """Note an egress that was no home `before`, and what it serves already."""
        self._routing.homes_changed(self._state.streams, before, homes(self._state), now)
        self._routing.on_served(hello.child, hello.served, now)

    def retire(self, child: ChildId, now: float) -> list[Action]:
        """A child takes nobody new from now on; tags go to its players as before."""
        if child not in self._state.children:
            return []
        before = homes(self._state)
        mark(self._state, child)
        self._routing.homes_changed(self._state.streams, before, homes(self._state), now)
        return self.update(now)

    def on_wanted(self, child: ChildId, wanted: StreamWanted, now: float) -> list[Action]:
        """Take a child's own word for what it wants."""
        self._routing.on_wanted(child, wanted, now)
        self.remote.on_wanted(child, wanted, now)
        return self.update(now)

    def on_served(
        self, egress: ChildId, served: Iterable[ServedStatus], now: float
    ) -> list[Action]:
        """Take over what an egress reports to serve."""
        statuses = tuple(served)
        self._routing.on_served(egress, statuses, now)
        self.remote.on_served(egress, statuses, now)
        return self.update(now)

    def on_moved(self, stream_id: StreamId, now: float) -> list[Action]:
        """A stream goes on at another host: who plays it here gets it from there, at once."""
        for name, child in self._state.children.items():
            beat = child.heartbeat
            if beat is not None and name.kind == "egress":
                self.remote.on_served(
                    name, [s for s in beat.served if s.stream_id == stream_id], now
                )
        return self.update(now)

    def remove(self, child: ChildId) -> None:
        """Forget a child that is gone; the others are told at the next `update`."""
        self._routing.remove(child)
        self._reported.pop(child, None)

    # ---- what children are told ---------------------------------------------------------------

    def child_up(self, child: ChildId) -> list[Action]:
        """Return what a child has to know that knows nothing."""
        self._reported.pop(child, None)
        return self._report([child])

    def update(self, now: float) -> list[Action]:
        """Tell who sends tags when streams go to other children than before."""
        self._routing.update(self._state.children, now, retiring(self._state))
        return [*self.remote.update(now), *self._report(self._state.children)]

    def next_deadline(self) -> float:
        """At once, when streams that are sent elsewhere too may have come to another worker."""
        return 0.0 if self._fleet is not self._state.fleet and self._is_any else inf

    def tick(self, now: float) -> list[Action]:
        """Tell workers of the streams that have come to them."""
        if self._fleet is self._state.fleet:
            return []
        self._fleet = self._state.fleet
        return self._report(self._state.children)

    @property
    def _is_any(self) -> bool:
        routes = self._routing.reported
        return bool(routes.extra or routes.subscriptions)

    def _report(self, children: Iterable[ChildId]) -> list[Action]:
        """Tell those of the children that send tags what is new to them."""
        if not self._is_any and not self._reported:
            return []
        actions: list[Action] = []
        for child in children:
            if child.kind in SENDERS:
                routes = self._routes_of(child)
                if routes != self._reported.get(child, NOTHING):
                    self._reported[child] = routes
                    actions.append(Send(child, routes))
        return actions

    def _routes_of(self, child: ChildId) -> EgressRoutes:
        routes = self._routing.reported
        if child.kind == "ingest" or not self._is_any:
            return routes
        if child.kind == RELAY:
            return restricted(routes, lambda name: name not in self._state.streams)
        if child.kind == "worker":
            sessions = self._sessions(child)
            return restricted(
                routes, lambda name: name in sessions or self._device_of(name) == child
            )
        return restricted(routes, lambda name: self._shares_pictures(self._device_of(name)))

    def _device_of(self, stream_id: StreamId) -> ChildId | None:
        stream = self._state.streams.get(stream_id)
        return self._state.device_of(stream) if stream is not None else None

    def _sessions(self, worker: ChildId) -> Set[StreamId]:
        known = self._state.children[worker]
        transcodes = (known.heartbeat or known.hello).transcodes
        return {transcode.stream_id for transcode in transcodes}

    def _shares_pictures(self, worker: ChildId | None) -> bool:
        device = self._state.fleet.devices.get(worker) if worker is not None else None
        if device is None:
            return False
        shares = self._state.settings.software.encoder_processes
        return device.pipeline is Pipeline.HYBRID or (
            shares and device.pipeline is Pipeline.SOFTWARE
        )
