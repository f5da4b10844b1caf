"""The egress processes that tags go to (IO: one link an incarnation).

A link is closed as soon as the topology no longer names its egress. A send never waits: what a full
link does not take is dropped for that egress, and nothing more of that rendition goes there up to
the next keyframe.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from common.ipc.control_messages import EgressRoutes, Endpoint
from common.ipc.egress_homes import Routes
from common.ipc.identity import BootId, ChildId, Generation, StreamId
from common.ipc.kinds import is_relay, takes_last_gop
from common.ipc.media_messages import SHARED
from common.ipc.tag_link import TagLink

log = logging.getLogger("tfarm.common.ipc.egresses")

Frames = Sequence[bytes]
Rendition = tuple[StreamId, Generation, str]


class Replayable(Protocol):
    """A rendition's output: what an egress must have of it that knows nothing."""

    def catch_up(self, *, with_last: bool = False) -> Iterable[Frames]:
        """Its messages; `with_last`: those of the last whole GOPs too."""


CatchUp = Callable[[], Iterable[tuple[Rendition, Replayable]]]


class Connect(Protocol):
    """Makes the link to an egress; `is_plain`: by its plain socket, if it has one."""

    def __call__(self, address: str, *, is_plain: bool) -> TagLink: ...


class _Egress:
    def __init__(self, child: ChildId, link: TagLink) -> None:
        self.link = link
        self.takes_last_gop = takes_last_gop(child.kind)
        self.blocked: set[Rendition] = set()


class Egresses:
    """Sends to the egresses that want a stream; a new one first gets what `catch_up` gives."""

    def __init__(self, catch_up: CatchUp, connect: Connect) -> None:
        self.dropped = 0  # messages that a full link did not take, and those that followed
        self._connect = connect
        self._catch_up = catch_up
        self._egresses: dict[tuple[ChildId, BootId], _Egress] = {}
        self._routes = Routes()
        self._batch: set[_Egress] | None = None  # to whom tags are on their way, while gathering
        # as found last, by stream and rendition
        self._wanting: dict[tuple[StreamId, str], list[_Egress]] = {}

    def __len__(self) -> int:
        return len(self._egresses)

    @property
    def takes_last_gop(self) -> bool:
        """Whether one of them cuts segments."""
        return any(egress.takes_last_gop for egress in self._egresses.values())

    def update(self, endpoints: Sequence[Endpoint]) -> None:
        """The farm's children as they are now."""
        wanted = {(end.child, end.boot_id): end.tags for end in endpoints if end.tags}
        for name in [name for name in self._egresses if name not in wanted]:
            self._egresses.pop(name).link.close()
            log.info("egress gone child=%s", name[0])
        for name, address in wanted.items():
            if name not in self._egresses:
                self._egresses[name] = _Egress(
                    name[0], self._connect(address, is_plain=is_relay(name[0].kind))
                )
                log.info("egress found child=%s", name[0])
        self._routes.follow(endpoints)
        self._follow_routes()

    def route(self, message: EgressRoutes) -> None:
        """Which egresses streams go to besides their homes."""
        self._routes.update(message)
        self._follow_routes()

    def send(self, rendition: Rendition, frames: Frames) -> None:
        """Send what opens or ends the rendition, at once, or with what is gathered."""
        for egress in self._subscribed(rendition[0], rendition[2]):
            batched = self._batch is not None
            if self._batch is not None:
                self._batch.add(egress)
            self._send(egress, rendition, frames, is_start=True, batched=batched)

    def send_tags(self, rendition: Rendition, frames: Frames, *, is_start: bool) -> None:
        """Send tags, at once where somebody plays them; `is_start`: they begin with a keyframe."""
        for egress in self._subscribed(rendition[0], rendition[2]):
            batched = not egress.link.has_players(rendition[0], rendition[2])
            if not batched and self._batch is not None:
                self._batch.add(egress)
                batched = True
            self._send(egress, rendition, frames, is_start=is_start, batched=batched)

    def gather(self) -> None:
        """Have what follows go together, at the next `flush`: who takes it wakes once."""
        self._batch = set()

    def flush(self) -> None:
        """Send what waits since `gather`."""
        batch, self._batch = self._batch, None
        for egress in batch or ():
            egress.link.flush()

    def has_players(self, stream: StreamId) -> bool:
        """Whether somebody plays any of it; from any thread."""
        return any(
            egress.link.has_players(stream, SHARED) for egress in tuple(self._egresses.values())
        )

    def demanded(self, stream: StreamId) -> frozenset[str]:
        """Return the renditions of a stream that somebody plays, or waits for."""
        found = [egress.link.demanded(stream) for egress in self._egresses.values()]
        return frozenset().union(*found)

    def forget(self, stream: StreamId, generation: Generation) -> None:
        """The generation has ended: nothing more of it is sent."""
        self._wanting = {key: found for key, found in self._wanting.items() if key[0] != stream}
        for egress in self._egresses.values():
            egress.blocked = {
                rendition for rendition in egress.blocked if rendition[:2] != (stream, generation)
            }

    def close(self) -> None:
        for egress in self._egresses.values():
            egress.link.close()
        self._egresses.clear()

    def _subscribed(self, stream: StreamId, name: str) -> list[_Egress]:
        found = self._wanting.get((stream, name))
        if found is None:
            names = self._routes.subscribed(stream, [child for child, _ in self._egresses], name)
            found = [egress for (child, _), egress in self._egresses.items() if child in names]
            self._wanting[stream, name] = found
        return found

    def _follow_routes(self) -> None:
        """Give those who newly want a stream what they must have of it."""
        before, self._wanting = self._wanting, {}
        for rendition, output in self._catch_up():
            known = before.get((rendition[0], rendition[2]), ())
            for egress in self._subscribed(rendition[0], rendition[2]):
                if egress in known:
                    continue
                for frames in output.catch_up(with_last=egress.takes_last_gop):
                    egress.blocked.discard(rendition)
                    self._send(egress, rendition, frames, is_start=False)

    def _send(
        self,
        egress: _Egress,
        rendition: Rendition,
        frames: Frames,
        *,
        is_start: bool,
        batched: bool = False,
    ) -> None:
        if rendition in egress.blocked:
            if not is_start:
                self.dropped += 1
                return
            egress.blocked.discard(rendition)
        if not egress.link.send(frames, batched):
            self.dropped += 1
            egress.blocked.add(rendition)
