"""Publishers of this farm whose streams other hosts have, or are to have. Pure.

Who forwards a publisher is its ingest; here is known of each where to, for its next way when that
one is lost. A way has a number, as a placement has; what is said of an earlier one means nothing.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from common.ipc.control_messages import PublishRequest
from common.ipc.forward_messages import ForwardLost, ForwardTo
from common.ipc.identity import ChildId, Generation, StreamId
from common.ipc.status_messages import PublisherStatus
from supervisor.farm.actions import Action, Send
from supervisor.farm.state import FarmState, next_generation

MAX_TRIES: Final = 4  # ways of one request, before it is refused


@dataclass(frozen=True, slots=True)
class Forwarded:
    """One publisher's way."""

    request: PublishRequest
    generation: Generation
    host: str
    relay: str = ""  # HOST:PORT of its relay
    epoch: int = 0  # of the host's claim; 0: it is to make one
    tried: tuple[str, ...] = ()  # the hosts that were asked for this request, in order
    before: "Forwarded | None" = None  # that is in force until this one is

    @property
    def tries(self) -> int:
        """How many ways were taken for this request."""
        return len(self.tried)


class Forwards:
    """All of one farm."""

    def __init__(self, state: FarmState) -> None:
        self._state = state
        self._ways: dict[tuple[ChildId, StreamId], Forwarded] = {}

    def __len__(self) -> int:
        return len(self._ways)

    def to(
        self,
        ingest: ChildId,
        request: PublishRequest,
        host: tuple[str, str],
        *,
        epoch: int = 0,
        replaces: int = 0,
        is_cut: bool = False,
        now: float,
    ) -> list[Action]:
        """Have an ingest forward a publisher to a host: its name, and the address of its relay.

        `epoch` is of the host's claim; `replaces`: of a claim that is to be the host's. `is_cut`:
        from a keyframe on; until then the stream is here, or where it is forwarded to.
        """
        template = self._state.settings.template_of(request.stream_id, request.overrides)
        if template is None:
            return []
        name, relay = host
        generation = next_generation(self._state)
        before = self._ways.get((ingest, request.stream_id)) if is_cut else None
        tried = (*(self.tried(ingest, request.stream_id) if before is None else ()), name)
        way = Forwarded(request, generation, name, relay, epoch, tried, before)
        self._ways[ingest, request.stream_id] = way
        self._state.note(request.stream_id, f"forwarded to host {name}", now)
        place = template, name, relay, replaces, is_cut
        message = ForwardTo(request.request_id, request.stream_id, generation, *place)
        return [Send(ingest, message)]

    def all(self) -> Iterable[tuple[tuple[ChildId, StreamId], Forwarded]]:
        """Each way, by its ingest and stream."""
        return self._ways.items()

    def stay(self, ingest: ChildId, stream_id: StreamId, way: Forwarded) -> None:
        """What was to take this one's place did not come to be; or more is known of it."""
        self._ways[ingest, stream_id] = way

    def tried(self, ingest: ChildId, stream_id: StreamId) -> tuple[str, ...]:
        """The hosts that were asked for a request."""
        known = self._ways.get((ingest, stream_id))
        return known.tried if known is not None else ()

    def lost(self, ingest: ChildId, lost: ForwardLost) -> Forwarded | None:
        """A way is gone; returns what it was, for the next one. None: it was not in force."""
        way = self._ways.get((ingest, lost.stream_id))
        if way is None or lost.generation < way.generation:
            return None
        return replace(way, request=replace(way.request, request_id=lost.request_id))

    def adopt(self, ingest: ChildId, publishers: Iterable[PublisherStatus]) -> None:
        """What an ingest says that it forwards; of who is let in, tries begin to count anew."""
        for status in publishers:
            if not status.forwarded_to:
                continue
            self._state.see_generation(status.generation)
            key = ingest, status.stream_id
            known = self._ways.get(key)
            if known is not None and known.generation == status.generation:
                self._ways[key] = replace(known, tried=(), before=None)
            elif known is None or known.generation < status.generation:
                request = PublishRequest(
                    0,
                    status.stream_id,
                    status.address,
                    credentials=status.owner,
                    overrides=status.overrides,
                )
                self._ways[key] = Forwarded(request, status.generation, status.forwarded_to)

    def forget(self, ingest: ChildId, stream_id: StreamId) -> None:
        """A publisher is gone, or is forwarded no more."""
        self._ways.pop((ingest, stream_id), None)

    def forget_ingest(self, ingest: ChildId) -> None:
        """All that an ingest had are gone."""
        self._forget(lambda key: key[0] == ingest)

    def _forget(self, which: Callable[[tuple[ChildId, StreamId]], bool]) -> None:
        self._ways = {key: way for key, way in self._ways.items() if not which(key)}
