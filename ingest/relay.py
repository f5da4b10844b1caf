"""The ways from this ingest to the running workers and egresses (IO): one outlet an incarnation.

Sockets follow the supervisor's `Topology`. An incarnation that is gone is closed at once, with
whatever had not left: it would be stale to its successor, which has an endpoint of its own. What a
refused send means is decided in `feed.py`.
"""

from collections.abc import Sequence

from common.control_messages import Endpoint, StreamRoutes
from common.egress_routes import Routes
from common.envelope import encode
from common.identity import BootId, ChildName, StreamId
from common.media_link import Outlet


class PeerPort:
    """The way to one incarnation of a child."""

    def __init__(self, child: ChildName, boot_id: BootId, outlet: Outlet) -> None:
        self._child = child
        self._boot_id = boot_id
        self._outlet = outlet
        self.refused = 0  # sends that it did not take

    @property
    def child(self) -> ChildName:
        return self._child

    @property
    def boot_id(self) -> BootId:
        return self._boot_id

    def send(self, message: object, payloads: Sequence[bytes] = ()) -> bool:
        """Send with all else of this turn of the loop; False: its queue is full, or it is gone."""
        if self._outlet.send((encode(message), *payloads)):
            return True
        self.refused += 1
        return False

    def close(self) -> None:
        self._outlet.close()


class Relay:
    """All ways out, as the last topology has them."""

    def __init__(self) -> None:
        self._workers: dict[ChildName, PeerPort] = {}
        self._egresses: dict[ChildName, PeerPort] = {}
        self._handovers: dict[ChildName, str] = {}
        self._routes = Routes()

    def follow(self, endpoints: Sequence[Endpoint]) -> None:
        """Connect to who is new, close who is gone."""
        self._workers = self._follow(self._workers, endpoints, "media")
        self._egresses = self._follow(self._egresses, endpoints, "tags")
        self._handovers = {e.child: e.handover for e in endpoints if e.handover}

    def close(self) -> None:
        self.follow(())

    def worker(self, child: ChildName) -> PeerPort | None:
        return self._workers.get(child)

    def egresses(self) -> Sequence[PeerPort]:
        return tuple(self._egresses.values())

    def route(self, message: StreamRoutes) -> None:
        """Which egresses streams go to besides their homes."""
        self._routes.update(message)

    def wants(self, stream_id: StreamId) -> Sequence[PeerPort]:
        """The egresses that this stream's tags go to."""
        if len(self._egresses) == 1:
            return self.egresses()
        return [self._egresses[name] for name in self._routes.wants(stream_id, self._egresses)]

    def handovers(self) -> Sequence[tuple[ChildName, str]]:
        """Who takes players, and at which Unix socket."""
        return tuple(self._handovers.items())

    @property
    def refused(self) -> int:
        """Sends that the present peers did not take."""
        ports = (*self._workers.values(), *self._egresses.values())
        return sum(port.refused for port in ports)

    def _follow(
        self, known: dict[ChildName, PeerPort], endpoints: Sequence[Endpoint], socket: str
    ) -> dict[ChildName, PeerPort]:
        wanted = {e.child: e for e in endpoints if getattr(e, socket)}
        for child, port in known.items():
            if child not in wanted or wanted[child].boot_id != port.boot_id:
                port.close()
        followed = {}
        for child, endpoint in wanted.items():
            present = known.get(child)
            if present is None or present.boot_id != endpoint.boot_id:
                outlet = Outlet(getattr(endpoint, socket))
                present = PeerPort(child, endpoint.boot_id, outlet)
            followed[child] = present
        return followed
