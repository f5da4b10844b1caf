"""The links of this ingest to the running workers and egresses (IO): one an incarnation.

Sockets follow the supervisor's `Topology`. An incarnation that is gone is closed at once, with
whatever had not left: it would be stale to its successor, which has an endpoint of its own. What a
refused send means is decided in `outbox.py`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from common.ipc.bus import Bus
from common.ipc.control_messages import EgressRoutes, Endpoint
from common.ipc.egress_homes import Routes
from common.ipc.envelope import encode
from common.ipc.identity import BootId, ChildId, StreamId
from common.ipc.kinds import is_relay
from common.ipc.media_link import MediaSender
from common.ipc.tag_link import TagLink
from common.media.units import Data


class PeerLink:
    """The link to one incarnation of a child."""

    def __init__(self, child: ChildId, boot_id: BootId, link: MediaSender) -> None:
        self._child = child
        self._boot_id = boot_id
        self._link = link
        self.gather, self.flush = link.gather, link.flush
        self.refused = 0  # sends that it did not take

    @property
    def child(self) -> ChildId:
        return self._child

    @property
    def boot_id(self) -> BootId:
        return self._boot_id

    def send(self, message: object, payloads: Sequence[Data] = ()) -> bool:
        """Send with all else of this turn of the loop; False: its queue is full, or it is gone."""
        return self._send(message, payloads, batched=False)

    def close(self) -> None:
        self._link.close()

    def _send(self, message: object, payloads: Sequence[Data], *, batched: bool) -> bool:
        if self._link.send((encode(message), *payloads), batched):
            return True
        self.refused += 1
        return False


class EgressLink(PeerLink):
    """The link to one incarnation of an egress."""

    def __init__(self, child: ChildId, boot_id: BootId, link: TagLink) -> None:
        super().__init__(child, boot_id, link)
        self.has_players = link.has_players
        self.demanded = link.demanded

    def send_batched(self, message: object, payloads: Sequence[Data] = ()) -> bool:
        """Send with what is sent next, or some time later; False as `send`."""
        return self._send(message, payloads, batched=True)


Known = TypeVar("Known", bound=PeerLink)


class Links:
    """All links out, as the last topology has them."""

    def __init__(
        self,
        bus: Bus,
        on_first_player: Callable[[StreamId], None] | None = None,
        on_demand: Callable[[StreamId], None] | None = None,
    ) -> None:
        """`on_first_player` is called when somebody begins to play a stream.

        `on_demand`: when others of its renditions are played at an egress than before.
        """
        self._bus = bus
        self._on_first_player = on_first_player
        self._on_demand = on_demand
        self._workers: dict[ChildId, PeerLink] = {}
        self._egresses: dict[ChildId, EgressLink] = {}
        self._routes = Routes()

    def follow(self, endpoints: Sequence[Endpoint]) -> None:
        """Connect to who is new, close who is gone."""
        self._routes.follow(endpoints)
        workers = {e.child: e for e in endpoints if e.media}
        self._workers = _follow(
            self._workers,
            workers,
            lambda e: PeerLink(e.child, e.boot_id, MediaSender(self._bus, e.media)),
        )
        egresses = {e.child: e for e in endpoints if e.tags}
        self._egresses = _follow(
            self._egresses,
            egresses,
            lambda e: EgressLink(
                e.child,
                e.boot_id,
                TagLink(
                    self._bus,
                    e.tags,
                    self._on_first_player,
                    on_demand=self._on_demand,
                    is_plain=is_relay(e.child.kind),
                ),
            ),
        )

    def close(self) -> None:
        self.follow(())

    def worker(self, child: ChildId) -> PeerLink | None:
        return self._workers.get(child)

    def egresses(self) -> Sequence[EgressLink]:
        return tuple(self._egresses.values())

    def route(self, message: EgressRoutes) -> None:
        """Note which egresses streams go to besides their homes."""
        self._routes.update(message)

    def subscribed(self, stream_id: StreamId) -> Sequence[EgressLink]:
        """Give the links to all who want anything of this stream."""
        return [self._egresses[name] for name in self._routes.subscribed(stream_id, self._egresses)]

    def takes(self, stream_id: StreamId, child: ChildId, rendition: str) -> bool:
        """Tell if a rendition is among what a process wants of this stream."""
        return child in self._routes.subscribed(stream_id, (child,), rendition)

    @contextmanager
    def one_write_each(self) -> Iterator[None]:
        """What is sent inside leaves at the end: who gets it wakes once for all of it."""
        links = (*self._workers.values(), *self._egresses.values())
        for link in links:
            link.gather()
        try:
            yield
        finally:
            for link in links:
                link.flush()

    @property
    def refused(self) -> int:
        """Sends that the present peers did not take."""
        links = (*self._workers.values(), *self._egresses.values())
        return sum(link.refused for link in links)


def _follow(
    known: Mapping[ChildId, Known],
    wanted: Mapping[ChildId, Endpoint],
    connect: Callable[[Endpoint], Known],
) -> dict[ChildId, Known]:
    """Give the links to those that are wanted; close the others."""
    for child, link in known.items():
        if child not in wanted or wanted[child].boot_id != link.boot_id:
            link.close()
    followed = {}
    for child, endpoint in wanted.items():
        present = known.get(child)
        if present is None or present.boot_id != endpoint.boot_id:
            present = connect(endpoint)
        followed[child] = present
    return followed
