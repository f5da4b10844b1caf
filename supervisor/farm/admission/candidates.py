"""What can be done with a publish request, best first, as values. Pure; nothing here changes.

`look` is asked first, and `publish_requests.py` then does exactly what it found. In this order:

1. place it: on its dedicated worker if it is a poison stream, else by its policy;
2. place a poison stream among the others, if somebody took the room of its dedicated worker;
3. place it on room of streams whose publishers are away, which end for it;
4. queue it, if room may still come by itself;
5. refuse it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from common.access.credentials import UNTOLD, Credentials
from common.access.refusal import Cause, Refusal, RefusalReason
from common.config.ladder import SourceFormat
from common.ipc.control_messages import PublishRequest
from common.ipc.identity import ChildId
from supervisor.farm.blame.isolation import Isolate, Isolation, NotIsolated
from supervisor.farm.blame.quarantine import QuarantineState
from supervisor.farm.state import FarmState
from supervisor.farm.stream import Present, Stream
from supervisor.placement.fleet import Fleet, NoRoom, Room, move, place, release

QUEUE_S = 8.0  # at most, while sources before it are not known yet; clients wait 10 s or more
QUEUE_STARTING_S = 3.0  # while workers start
STARTING_S = 10.0  # one that has been down for longer is broken, not starting
MAX_QUEUED = 256
NO_ROOM = "the farm is full: there is no room for another stream; try again later"


@dataclass(frozen=True, slots=True)
class RequestedStream:
    """A publish request, and where it comes from."""

    ingest: ChildId
    request: PublishRequest
    deadline_s: float | None = None  # of one that is queued


@dataclass(frozen=True, slots=True)
class Remembered:
    """A refusal after Publish.Start."""

    until_s: float
    words: str
    format: SourceFormat
    detail: str = ""  # for the operator
    owner: Credentials = UNTOLD  # who was refused


@dataclass(frozen=True, slots=True)
class Place:
    """There is room."""

    room: Room


@dataclass(frozen=True, slots=True)
class Rejoin:
    """There is room among the others, none where the stream is to be alone."""

    room: Room
    why_not_alone: str


@dataclass(frozen=True, slots=True)
class Evict:
    """There is room if these, whose publishers are away, end."""

    room: Room
    victims: tuple[Stream, ...]


@dataclass(frozen=True, slots=True)
class Queue:
    """Room may come."""

    deadline_s: float


@dataclass(frozen=True, slots=True)
class Refuse:
    """It is refused."""

    refusal: Refusal
    why_full: str = ""  # for the history, where the farm has no room


Candidate = Place | Rejoin | Evict | Queue | Refuse


@dataclass(frozen=True, slots=True)
class Found:
    """The best that can be done with a request."""

    stream: Stream  # as it was looked at: it is nobody's yet
    isolation: Isolate | NotIsolated | None
    best: Candidate


def look(
    state: FarmState,
    isolation: Isolation,
    requested: RequestedStream,
    remembered: Remembered | None,
    queued: int,
    now: float,
) -> Found | Refuse:
    """The best that can be done with a request, or why it is not looked at further.

    `remembered`: how the last attempt ended; `queued`: so many wait already.
    """
    request = requested.request
    template = state.settings.template_of(request.stream_id, request.overrides)
    if template is None:
        return Refuse(
            Refusal(RefusalReason.NOT_FOUND, "there is no such app here", cause=Cause.NO_APP)
        )
    presence = Present(requested.ingest)
    stream = Stream(
        request.stream_id, template, presence, request.address, now, owner=request.credentials
    )
    found_state = state.quarantine.state(request.stream_id, now, request.credentials)
    if found_state is QuarantineState.REFUSED:
        return Refuse(full(state.quarantine.reason(request.stream_id, now)))
    if words := state.peers.refusal(state.peer_of(request.address), now):
        return Refuse(full(words))
    if remembered is not None and now < remembered.until_s:
        stream.expect(remembered.format)
        result = place(state.fleet, state.need(stream))
        if isinstance(result, NoRoom) and evict_for(state, stream) is None:
            return Refuse(full(remembered.words, remembered.detail))
    found = isolation.look(stream, now)
    if isinstance(found, Isolate):
        stream.isolate_on(found.worker)
    best = next(_candidates(state, isolation, stream, requested.deadline_s, queued, now))
    return Found(stream, found, best)


def full(words: str, detail: str = "") -> Refusal:
    """The refusal where there is no room; `detail` is for the operator alone."""
    return Refusal(RefusalReason.FULL, words, detail=detail)


def _candidates(
    state: FarmState,
    isolation: Isolation,
    stream: Stream,
    deadline_s: float | None,
    queued: int,
    now: float,
) -> Iterator[Candidate]:
    own = stream.dedicated_worker
    fleet = state.fleet if own is None else isolation.fleet_with(own, stream)
    excluded = {name: "" for name in fleet.devices if own not in (None, name)}
    result = place(fleet, state.need(stream), excluded)
    if not isinstance(result, NoRoom):
        yield Place(result)
        return
    if own is None:
        evict = evict_for(state, stream)
        if evict is not None:
            yield evict
    else:
        without = isolation.fleet_without(stream)
        if without is not None:
            among_others = replace(stream, dedicated_worker=None)
            other = place(without, state.need(among_others))
            if not isinstance(other, NoRoom):
                yield Rejoin(other, result.reason)
    latest_s = now + _patience_s(state, stream, now)
    deadline_s = latest_s if deadline_s is None else min(deadline_s, latest_s)
    if now < deadline_s and queued < MAX_QUEUED:
        yield Queue(deadline_s)
    yield Refuse(full(NO_ROOM, result.reason), result.reason)


def _patience_s(state: FarmState, stream: Stream, now: float) -> float:
    """How long room may still come by itself."""
    own = stream.dedicated_worker
    is_starting = own is not None and own not in state.workers
    since_s = (worker.down_since_s for worker in state.workers.values())
    if is_starting or any(s is not None and now - s < STARTING_S for s in since_s):
        return QUEUE_STARTING_S
    return QUEUE_S if state.fleet.has_reservations() else 0.0


def evict_for(state: FarmState, stream: Stream) -> Evict | None:
    """Room from streams whose publisher is away, the longest away first; none if in vain.

    `stream` is a newcomer, or one that has just become known; what it has booked is its own.
    """
    need, excluded = state.need(stream), state.excluded(stream)

    def find(fleet: Fleet) -> Room | NoRoom:
        if stream.generation in fleet.allocations:
            return move(fleet, stream.generation, need, excluded)
        return place(fleet, need, excluded)

    away = [s for s in state.streams.values() if not s.is_live and state.device_of(s)]
    fleet = state.fleet.without_reservations() if stream.format is not None else state.fleet
    result: Room | NoRoom = NoRoom("")
    victims: list[Stream] = []
    for victim in sorted(away, key=lambda s: s.away_s):
        if victim is stream:
            continue
        fleet = release(fleet, victim.generation)
        victims.append(victim)
        result = find(fleet)
        if not isinstance(result, NoRoom):
            break
    if isinstance(result, NoRoom):
        return None
    for victim in reversed(victims[:-1]):  # without whom the newcomer fits all the same
        spared = fleet.with_allocation(state.fleet.allocations[victim.generation])
        again = find(spared)
        if not isinstance(again, NoRoom):
            fleet, result = spared, again
            victims.remove(victim)
    return Evict(result, tuple(victims))
