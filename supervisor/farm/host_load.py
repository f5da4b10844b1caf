"""Which streams the host's cores encode: each worker is told how many others do there. Pure.

A worker goes another way where there is a stream for every core
(`worker/session/inline_encoding.py`), and knows its own alone.
"""

from common.config.ladder import Pipeline
from common.ipc.control_messages import HostLoad
from common.ipc.identity import ChildId
from supervisor.placement.fleet import Fleet

ON_CORES = (Pipeline.HYBRID, Pipeline.SOFTWARE)


class HostLoadTracker:
    """What each worker was told."""

    def __init__(self) -> None:
        self._told: dict[ChildId, int] = {}

    def heard(self, worker: ChildId, fleet: Fleet) -> HostLoad | None:
        """What a worker that has streams there has to be told, if that is new."""
        on_cores = [p.device for p in fleet.allocations.values() if p.path in ON_CORES]
        own = on_cores.count(worker)
        elsewhere = len(on_cores) - own
        if not own or elsewhere == self._told.get(worker, 0):
            return None
        self._told[worker] = elsewhere
        return HostLoad(elsewhere)

    def forget(self, worker: ChildId) -> None:
        """It is gone, or says hello: it knows nothing (any more)."""
        self._told.pop(worker, None)
