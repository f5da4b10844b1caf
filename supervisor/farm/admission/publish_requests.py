"""Publish requests: placed, queued for a moment, or refused with the reason. Pure.

A publisher is let in before its source is known, as a small camera, and its room put right when it
is (`source_formats.py`). A request for which there is no room while sources before it are not known
yet, or while workers start, is queued and looked at again whenever room comes, for a few seconds.
What can be done with a request is found by `candidates.py`, which changes nothing; exactly one
thing is then done.

When the farm is full, streams whose publisher is away give up their room first.

What an address may publish is for ingests to limit. One that finds the limit reached only by what
others are said to have leaves the last word to this: a takeover of one's own stream adds nothing.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from common.access.address_limits import too_many_publishes
from common.access.authorise import publish_entry_names
from common.access.credentials import may_succeed, not_its_own
from common.access.peer_address import host_of, subscriber
from common.access.refusal import Cause, Refusal, RefusalReason
from common.config.ladder import Pipeline, SourceFormat
from common.config.limits import too_many_publishers
from common.ipc.control_messages import (
    PublisherBack,
    PublishRequest,
    Refused,
    RequestQueued,
    StreamRevoke,
    StreamRevoked,
)
from common.ipc.identity import ChildId, StreamId, split_stream_id
from common.media.clock import ResumeTime
from supervisor.farm.actions import Action, Send
from supervisor.farm.admission.candidates import (
    Evict,
    Found,
    Place,
    Queue,
    Refuse,
    Rejoin,
    RequestedStream,
    full,
    look,
)
from supervisor.farm.admission.source_formats import RefusedSources, evict
from supervisor.farm.blame.isolation import Isolation, NotIsolated
from supervisor.farm.blame.quarantine import QuarantineState
from supervisor.farm.state import FarmState
from supervisor.farm.stream import NO_INGEST, Stream, WithoutIngest
from supervisor.placement.fleet import NoRoom, Room

# With what is known of the source.
GiveAway = Callable[[RequestedStream, SourceFormat | None, float], list[Action]]

_TAKEN = Refusal(RefusalReason.NAME_IN_USE, "the stream is already being published")

REVOKE_S = 1.0  # for the ingest that has a stream to say whether it gives it up


@dataclass(frozen=True, slots=True)
class Revoking:
    """A request for a stream that another ingest has, which was sent `StreamRevoke`."""

    requested: RequestedStream
    deadline_s: float


class Admission:
    """Decides on publish requests; the facts are the farm state's."""

    def __init__(
        self, state: FarmState, isolation: Isolation, refused_sources: RefusedSources
    ) -> None:
        self._state = state
        self._isolation = isolation
        self._refused_sources = refused_sources
        self._queued: list[RequestedStream] = []
        self._revoking: dict[int, Revoking] = {}
        self._last_revoke = 0
        self.closed = ""  # why no new stream is taken, if none is
        # Gives a request that there is no room for to another host; nothing: none takes it.
        self.give_away: GiveAway = lambda requested, source, now: []

    @property
    def queued(self) -> int:
        return len(self._queued)

    @property
    def asked_for(self) -> set[StreamId]:
        """The streams of requests that are not answered yet."""
        queued = {queued.request.stream_id for queued in self._queued}
        return queued | {one.requested.request.stream_id for one in self._revoking.values()}

    def next_deadline(self) -> float:
        deadlines = [q.deadline_s for q in self._queued if q.deadline_s is not None]
        deadlines += [revoking.deadline_s for revoking in self._revoking.values()]
        return min(deadlines, default=math.inf)

    def tick(self, now: float) -> list[Action]:
        """Refuse what was queued for too long, forget old refusals."""
        self._refused_sources.forget_old(now)
        actions: list[Action] = []
        for number, entry in list(self._revoking.items()):
            if now >= entry.deadline_s:
                del self._revoking[number]
                actions += self._unanswered(entry, now)
        return [*actions, *self.retry(now)] if now >= self.next_deadline() else actions

    # ---- publish requests -------------------------------------------------------------------

    def request(self, ingest: ChildId, request: PublishRequest, now: float) -> list[Action]:
        """Answer a `PublishRequest`, or queue it."""
        requested = RequestedStream(ingest, request)
        limit = self._state.settings.ingest.max_publishes_per_address
        if request.is_at_limit and self._publishes_beside(request) >= limit:
            words = too_many_publishes(limit)
            refusal = Refusal(RefusalReason.DENIED, words, cause=Cause.LIMIT)
            return [_refuse(requested, refusal)]
        kicked = self._state.kicks.refusal(request.stream_id, now, request.credentials)
        if kicked is not None:
            return [_refuse(requested, kicked)]
        stream = self._state.streams.get(request.stream_id)
        if stream is not None:
            if isinstance(stream.presence, WithoutIngest):
                if self._is_anothers(stream, request):
                    held_s = stream.presence.until_s - now
                    return [_refuse(requested, not_its_own(stream.owner, held_s))]
                return self._take_over(requested, stream, now)
            if stream.ingest != ingest:
                return self._revoke(requested, stream, now)
            if stream.is_live:
                return [_refuse(requested, _TAKEN)]
            # Its publisher is back; whether it may take over was for ingest to decide.
            stream.arrive(ingest, request.address, request.credentials)
            return [self._state.announce(stream, request.request_id)]
        if any(queued.request.stream_id == request.stream_id for queued in self._queued):
            return [_refuse(requested, _TAKEN)]
        return self._decide_if_open(requested, now)

    def retry(self, now: float) -> list[Action]:
        """Room may have come: look at all that are queued, the oldest first.

        Where one finds none, others of its app find none either.
        """
        actions: list[Action] = []
        queued, self._queued = self._queued, []
        without_room: set[str] = set()
        for requested in queued:
            app, _ = split_stream_id(requested.request.stream_id)
            is_due = requested.deadline_s is not None and now >= requested.deadline_s
            if app in without_room and not is_due:
                self._queued.append(requested)
                continue
            before = len(self._queued)
            actions += self._decide_if_open(requested, now)
            if len(self._queued) > before and not self._is_poison(requested, now):
                without_room.add(app)
        return actions

    def _is_poison(self, requested: RequestedStream, now: float) -> bool:
        """Whether it waits for a worker of its own, not for room among the others."""
        request = requested.request
        state = self._state.quarantine.state(request.stream_id, now, request.credentials)
        return state is not QuarantineState.CLEAR

    def withdraw(self, ingest: ChildId, stream_id: StreamId) -> None:
        """The publisher went away while its request was queued, or another ingest had to answer."""
        if stream_id not in self._state.streams:
            self._queued = [q for q in self._queued if q.request.stream_id != stream_id]
        self._revoking = {
            number: entry
            for number, entry in self._revoking.items()
            if (entry.requested.ingest, entry.requested.request.stream_id) != (ingest, stream_id)
        }

    def forget_ingest(self, ingest: ChildId) -> None:
        """An ingest is gone, and with it the requests that came through it."""
        self._queued = [queued for queued in self._queued if queued.ingest != ingest]
        self._revoking = {
            number: entry
            for number, entry in self._revoking.items()
            if entry.requested.ingest != ingest
        }

    def _decide_if_open(self, requested: RequestedStream, now: float) -> list[Action]:
        if self.closed:
            return self.give_away(requested, None, now) or [_refuse(requested, full(self.closed))]
        if why := self._beyond_template(requested.request.stream_id):
            return [_refuse(requested, full(why))]
        return self._decide(requested, now)

    def _beyond_template(self, stream_id: StreamId) -> str:
        """Why its app takes no further stream; "": it does."""
        app, _ = split_stream_id(stream_id)
        template = self._state.settings.template(app)
        if template is None or not template.limits.publishers:
            return ""
        streams = self._state.streams.values()
        is_full = sum(stream.app == app for stream in streams) >= template.limits.publishers
        return too_many_publishers(template.limits) if is_full else ""

    def _decide(self, requested: RequestedStream, now: float) -> list[Action]:
        """Look what can be done with a request, and do the best of it."""
        state, request = self._state, requested.request
        remembered = self._refused_sources.recall(request.stream_id, request.credentials)
        found = look(state, self._isolation, requested, remembered, len(self._queued), now)
        if isinstance(found, Refuse):
            is_full = found.refusal.reason is RefusalReason.FULL and remembered is not None
            source = remembered.format if is_full and remembered is not None else None
            given = self.give_away(requested, source, now) if source is not None else []
            return given or [_refuse(requested, found.refusal)]
        actions = self._isolate(requested, found, now)
        stream = found.stream
        match found.best:
            case Place(room):
                state.put(stream, room, now)
                return [*actions, state.announce(stream, request.request_id)]
            case Rejoin(room, why_not_alone):
                self._isolation.rejoin(stream, why_not_alone, now)
                state.put(stream, room, now)
                return [*actions, state.announce(stream, request.request_id)]
            case Evict(room, victims):
                actions += [evict(self._state, victim, now) for victim in victims]
                state.put(stream, room, now)
                return [*actions, state.announce(stream, request.request_id)]
            case Queue(deadline_s):
                if given := self._give_away_queued(requested, now):
                    return [*actions, *given]
                queued = RequestedStream(requested.ingest, request, deadline_s)
                self._queued.append(queued)
                if requested.deadline_s is None:
                    wait = RequestQueued(request.request_id, request.stream_id, deadline_s - now)
                    actions.append(Send(requested.ingest, wait))
                return actions
            case Refuse(refusal, why_full):
                if given := self.give_away(requested, None, now):
                    return [*actions, *given]
                return [*actions, self._refuse_full(requested, stream, refusal, why_full, now)]

    def _give_away_queued(self, requested: RequestedStream, now: float) -> list[Action]:
        """Nothing waits for room that another host has, but for devices that start."""
        is_up = any(device.is_up for device in self._state.fleet.devices.values())
        is_first = requested.deadline_s is None
        return self.give_away(requested, None, now) if is_up and is_first else []

    def _isolate(self, requested: RequestedStream, found: Found, now: float) -> list[Action]:
        is_again = requested.deadline_s is not None
        if is_again and isinstance(found.isolation, NotIsolated):
            return []  # that has been noted
        return self._isolation.begin(found.stream, found.isolation, now)

    def _refuse_full(
        self,
        requested: RequestedStream,
        stream: Stream,
        refusal: Refusal,
        why_full: str,
        now: float,
    ) -> Send:
        state = self._state
        own = state.fleet.devices.get(stream.dedicated_worker) if stream.dedicated_worker else None
        if own is None or own.is_up:  # one that still starts is for the next attempt
            state.quarantine.take_worker(stream.stream_id)
        state.note(stream.stream_id, f"refused: {why_full}", now)
        return _refuse(requested, refusal)

    def _publishes_beside(self, request: PublishRequest) -> int:
        """How many other streams are published from the address of a request."""
        peer = subscriber(host_of(request.address))
        return sum(
            stream.is_live
            and stream.stream_id != request.stream_id
            and subscriber(host_of(stream.address)) == peer
            for stream in self._state.streams.values()
        )

    # ---- a stream that another ingest has, or had -------------------------------------------

    def _revoke(self, requested: RequestedStream, stream: Stream, now: float) -> list[Action]:
        """Ask the ingest that has the stream: it alone knows whether its publisher is silent."""
        others = (entry.requested.request for entry in self._revoking.values())
        if any(request.stream_id == stream.stream_id for request in others):
            return [_refuse(requested, _TAKEN)]
        self._last_revoke += 1
        self._revoking[self._last_revoke] = Revoking(requested, now + REVOKE_S)
        revoke = StreamRevoke(self._last_revoke, stream.stream_id, requested.request.credentials)
        return [Send(stream.ingest, revoke)]

    def _is_anothers(self, stream: Stream, request: PublishRequest) -> bool:
        """Whether a stream that is held is not for this one to go on with."""
        settings = self._state.settings
        template = settings.template(stream.app)
        own = settings.stream_keys.get(stream.stream_id)
        entries = publish_entry_names(template, own) if template is not None else ()
        return not may_succeed(stream.owner, request.credentials, entries)

    def revoked(self, owner: ChildId, answer: StreamRevoked, now: float) -> list[Action]:
        """An ingest answers `StreamRevoke`."""
        entry = self._revoking.pop(answer.request_id, None)
        stream = self._state.streams.get(answer.stream_id)
        is_owner = stream is not None and stream.ingest == owner
        if entry is None:
            if stream is not None and is_owner and answer.refusal is None:
                stream.lose_ingest(now)  # the other publisher has gone: as if the ingest was lost
            return []
        if answer.refusal is not None:
            return [_refuse(entry.requested, answer.refusal)]
        if stream is None or not is_owner:
            return self.request(entry.requested.ingest, entry.requested.request, now)
        note = f"{owner} hands it over to {entry.requested.ingest}"
        self._state.note(answer.stream_id, note, now)
        return self._take_over(entry.requested, stream, now, answer.resume_time)

    def _unanswered(self, entry: Revoking, now: float) -> list[Action]:
        requested = entry.requested
        stream = self._state.streams.get(requested.request.stream_id)
        if stream is None or stream.ingest == NO_INGEST:  # its ingest was lost meanwhile
            return self.request(requested.ingest, requested.request, now)
        return [_refuse(requested, _TAKEN)]

    def _take_over(
        self,
        requested: RequestedStream,
        stream: Stream,
        now: float,
        resume: ResumeTime | None = None,
    ) -> list[Action]:
        """The publisher of a stream whose ingest is gone is back: its time and players go on.

        It keeps its room, whatever its device takes otherwise. `resume`: where its time is, if the
        ingest that had it could say.
        """
        state, request = self._state, requested.request
        result = self._room_to_go_on(stream)
        if isinstance(result, NoRoom) and Pipeline.REFUSE in stream.policy():
            state.close(stream)
            return self._decide(requested, now)
        if isinstance(result, NoRoom):
            state.wait_anew(stream, result.reason, now)
        elif result.allocation.device == state.device_of(stream):
            state.put(stream, result, now, stream.degradation, stream.overloaded_worker)
        else:
            state.put(stream, result, now)
        stream.arrive(requested.ingest, request.address, request.credentials)
        resume = resume or resume_time(stream)
        return [state.announce(stream, request.request_id, resume_time=resume)]

    def _room_to_go_on(self, stream: Stream) -> Room | NoRoom:
        """The stream's own room under a new generation; other room where its device is gone."""
        state = self._state
        allocation = state.fleet.allocations.get(stream.generation)
        if allocation is None or stream.is_between_workers:
            return state.find_room(stream)
        if allocation.device is None or state.device_serving(stream) is not None:
            return state.own_room(stream)
        return state.find_room(stream)  # never source only: its device may come back

    def back(self, ingest: ChildId, back: PublisherBack) -> None:
        """The publisher of a held stream is back where it was."""
        stream = self._state.streams.get(back.stream_id)
        if stream is not None and (stream.ingest, stream.generation) == (ingest, back.generation):
            stream.arrive(ingest, back.address, back.credentials)


def _refuse(requested: RequestedStream, refusal: Refusal) -> Send:
    request = requested.request
    return Send(requested.ingest, Refused(request.request_id, request.stream_id, refusal))


def resume_time(stream: Stream) -> ResumeTime | None:
    """Where a stream's time goes on, from the last reports of its ingest and the egresses."""
    publisher = stream.publisher
    if publisher is None:
        return None
    shown = [
        rendition.last_pts_ms
        for served in stream.served.values()
        for rendition in served.renditions
        if rendition.last_pts_ms is not None
    ]
    end_ms = max(shown, default=publisher.reference.stream_ms)
    return ResumeTime(publisher.reference, end_ms, publisher.epoch_ms)
