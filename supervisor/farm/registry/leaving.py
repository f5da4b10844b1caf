"""Publishers of this host whose streams are at a host that is drained. Pure.

Rule: *they go on here where there is room, else at a third host; each is cut at a keyframe there,
and loses nothing.* The drained host gives them some seconds for it (`drain.py`). A stream that
there is no room for anywhere stays where it is.
"""

from collections.abc import Iterable
from typing import Final

from common.config.ladder import Pipeline
from common.ipc.cluster_messages import ClusterView
from common.ipc.identity import ChildId, StreamId
from supervisor.farm.registry.forwards import Forwarded, Forwards
from supervisor.farm.registry.host_choice import units_for
from supervisor.farm.registry.host_room import host_room
from supervisor.farm.state import FarmState

AGAIN_S: Final = 12.0  # after an attempt that came to nothing: a GOP may take 10 s


class LeavingForwards:
    """Those of one farm."""

    def __init__(self, state: FarmState, forwards: Forwards) -> None:
        self._state = state
        self._forwards = forwards
        self._again_s: dict[tuple[ChildId, StreamId], float] = {}

    def due(
        self, view: ClusterView | None, now: float
    ) -> Iterable[tuple[ChildId, StreamId, Forwarded]]:
        """Those that are to leave now; none is told again before `AGAIN_S`."""
        drained = {host.name for host in view.hosts if host.is_draining} if view else set()
        self._again_s = {key: s for key, s in self._again_s.items() if s > now}
        if not drained or view is None or not view.is_in_touch:
            return []
        found = [
            (*key, way)
            for key, way in self._forwards.all()
            if way.host in drained and key not in self._again_s
            if key[1] not in self._state.streams
        ]
        self._again_s.update({(ingest, name): now + AGAIN_S for ingest, name, _ in found})
        return found

    def has_room(self, stream_id: StreamId, way: Forwarded) -> bool:
        """Tell if this host has room for a stream whose source is not known here."""
        template = self._state.settings.template_of(stream_id, way.request.overrides)
        if template is None:
            return False
        free, capacity = host_room(self._state.fleet)
        expected, _ = units_for(template)
        for pipeline, amount in expected.items():
            if pipeline is Pipeline.PASSTHROUGH:
                return True
            if capacity.get(pipeline, 0.0) > 0 and free.get(pipeline, 0.0) >= amount:
                return True
        return False
