"""An encoder process's links to the egresses: some of its own for each worker that it serves (IO).

What comes by a link counts at egress as that worker's (`egress/streams/senders.py`). So no worker
has something sent for another one's stream.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from common.ipc.control_messages import EgressRoutes, Endpoint
from common.ipc.egresses import Connect, Egresses, Rendition, Replayable
from common.ipc.identity import ChildId

CatchUp = Callable[[ChildId | None], Iterable[tuple[Rendition, Replayable]]]


class EgressLinks:
    """Links are made when a worker's first stream comes, and closed when the worker is gone."""

    def __init__(self, connect: Connect, catch_up: CatchUp) -> None:
        """`catch_up` gives what of a worker's streams an egress that knows nothing must be sent."""
        self._connect = connect
        self._catch_up = catch_up
        self._endpoints: Sequence[Endpoint] = ()
        self._routes = EgressRoutes(())
        self._by_worker: dict[ChildId | None, Egresses] = {}
        self._dropped = 0  # by links of workers that are gone

    def __len__(self) -> int:
        return len(self._by_worker)

    @property
    def dropped(self) -> int:
        """Count of messages that a full link did not take."""
        return self._dropped + sum(egresses.dropped for egresses in self._by_worker.values())

    def of(self, worker: ChildId | None) -> Egresses:
        """Return the links for a worker's streams; None: it is not known which worker it is."""
        found = self._by_worker.get(worker)
        if found is None:
            found = Egresses(partial(self._catch_up, worker), self._connect)
            self._by_worker[worker] = found
            found.route(self._routes)
            found.update(self._endpoints)
        return found

    def update(self, endpoints: Sequence[Endpoint]) -> None:
        """The farm's children as they are now."""
        self._endpoints = endpoints
        running = {endpoint.child for endpoint in endpoints}
        for worker, egresses in tuple(self._by_worker.items()):
            if worker is None or worker in running:
                egresses.update(endpoints)
            else:
                self._dropped += egresses.dropped
                egresses.close()
                del self._by_worker[worker]

    def route(self, message: EgressRoutes) -> None:
        """Which egresses streams go to besides their homes."""
        self._routes = message
        for egresses in self._by_worker.values():
            egresses.route(message)

    def close(self) -> None:
        for egresses in self._by_worker.values():
            egresses.close()
        self._by_worker.clear()
