"""Publishers that ask for room: placed, parked for a moment, or refused with the reason. Pure.

A publisher is placed before its source is known, with room for the largest it may be, and
corrected at its sequence header (`SourceFormatReport`). So a refusal for lack of room may be
premature while others' reservations are not corrected yet, or workers are still starting: such an
ask is parked and tried again whenever room comes, for a second (or three).

A refusal after Publish.Start reaches few clients (OBS reads nothing then), so it is remembered by
key: the next attempt within 30 s is refused before Start, unless there is room by then. When the
farm is full, streams whose publisher is away give up their room first.

What an address may publish is for ingests to limit. One that finds it reached by what others were
said to hold leaves the last word to the roster here: a takeover of one's own stream adds nothing.
"""

import math
from dataclasses import dataclass, replace

from common.access.address_limits import too_many_publishes
from common.access.peer_address import host_of, subscriber
from common.access.refusal import Refusal, RefusalReason
from common.config.ladder import Pipeline, SourceFormat
from common.ipc.control_messages import (
    EndStream,
    Placement,
    PublisherBack,
    PublishRequest,
    Refused,
    ResumeTime,
    SourceFormatReport,
    StreamRevoke,
    StreamRevoked,
)
from common.ipc.identity import ChildId, Generation, StreamId, split_stream_id
from supervisor.farm.actions import Action, Send
from supervisor.farm.quarantine import Standing
from supervisor.farm.state import FarmState
from supervisor.farm.stream import NO_INGEST, Stream, StreamState
from supervisor.placement.cost import stream_cost
from supervisor.placement.fleet import InFleet, Need, NoRoom, move, place, release, stay

_TAKEN = Refusal(RefusalReason.NAME_IN_USE, "the stream is already being published")

PARK_S = 1.0
PARK_STARTING_S = 3.0
STARTING_S = 10.0
MAX_PARKED = 256
REMEMBER_S = 30.0
MAX_REMEMBERED = 1000
REVOKE_S = 1.0  # for the ingest that has a stream to say whether it lets go


@dataclass(frozen=True, slots=True)
class QueuedRequest:
    """An ask that waits for room."""

    ingest: ChildId
    ask: PublishRequest
    deadline_s: float


@dataclass(frozen=True, slots=True)
class Revoking:
    """An ask for a stream that another ingest has, and is asked for."""

    ingest: ChildId  # that asks
    ask: PublishRequest
    deadline_s: float


@dataclass(frozen=True, slots=True)
class Remembered:
    """A refusal after Publish.Start."""

    until_s: float
    description: str
    format: SourceFormat


class Admission:
    """Decides on asks; the facts are the roster's."""

    def __init__(self, roster: FarmState) -> None:
        self._roster = roster
        self._queued: list[QueuedRequest] = []
        self._remembered: dict[StreamId, Remembered] = {}
        self._revoking: dict[int, Revoking] = {}
        self._last_revoke = 0
        self.closed = ""  # why no new stream is taken, if none is

    @property
    def queued(self) -> int:
        return len(self._queued)

    def next_deadline(self) -> float:
        deadlines = [queued.deadline_s for queued in self._queued]
        deadlines += [revoking.deadline_s for revoking in self._revoking.values()]
        return min(deadlines, default=math.inf)

    def ask(self, ingest: ChildId, ask: PublishRequest, now: float) -> list[Action]:
        """Answer a `PublishRequest`, or park it."""
        limit = self._roster.settings.ingest.max_publishes_per_address
        if ask.is_at_limit and self._publishes_beside(ask) >= limit:
            return [
                self._refuse(ingest, ask, Refusal(RefusalReason.DENIED, too_many_publishes(limit)))
            ]
        stream = self._roster.streams.get(ask.stream_id)
        if stream is not None:
            if stream.ingest == NO_INGEST:
                return self._take_over(ingest, stream, ask, now)
            if stream.ingest != ingest:
                return self._revoke(ingest, stream, ask, now)
            if stream.is_live:
                return [self._refuse(ingest, ask, _TAKEN)]
            # Its publisher is back; whether it may take over was for ingest to decide.
            stream.is_live = True
            stream.address = ask.address
            return [self._roster.placed(stream, ask.request_id)]
        if any(queued.ask.stream_id == ask.stream_id for queued in self._queued):
            return [self._refuse(ingest, ask, _TAKEN)]
        if self.closed:
            return [self._refuse(ingest, ask, _full(self.closed))]
        return self._try(ingest, ask, now, None)

    def _publishes_beside(self, ask: PublishRequest) -> int:
        """How many other streams are published from the address that asks."""
        peer = subscriber(host_of(ask.address))
        return sum(
            stream.is_live
            and stream.stream_id != ask.stream_id
            and subscriber(host_of(stream.address)) == peer
            for stream in self._roster.streams.values()
        )

    def _revoke(
        self, ingest: ChildId, stream: Stream, ask: PublishRequest, now: float
    ) -> list[Action]:
        """Ask the ingest that has the stream: it alone knows whether its publisher is silent."""
        if any(entry.ask.stream_id == ask.stream_id for entry in self._revoking.values()):
            return [self._refuse(ingest, ask, _TAKEN)]
        self._last_revoke += 1
        self._revoking[self._last_revoke] = Revoking(ingest, ask, now + REVOKE_S)
        return [Send(stream.ingest, StreamRevoke(self._last_revoke, ask.stream_id))]

    def revoked(self, owner: ChildId, answer: StreamRevoked, now: float) -> list[Action]:
        """What the ingest that had the stream says."""
        entry = self._revoking.pop(answer.request_id, None)
        stream = self._roster.streams.get(answer.stream_id)
        is_owner = stream is not None and stream.ingest == owner
        if entry is None:
            if stream is not None and is_owner and answer.refusal is None:
                # Who asked has gone: held, as if its ingest was lost.
                stream.ingest, stream.is_live, stream.away_s = NO_INGEST, False, now
                stream.ingest_lost_until_s = now + stream.template.hold_ms / 1000
            return []
        if answer.refusal is not None:
            return [self._refuse(entry.ingest, entry.ask, answer.refusal)]
        if stream is None or not is_owner:
            return self.ask(entry.ingest, entry.ask, now)
        note = f"{owner} hands it over to {entry.ingest}"
        self._roster.note(answer.stream_id, note, now)
        return self._take_over(entry.ingest, stream, entry.ask, now, answer.resume_time)

    def _take_over(
        self,
        ingest: ChildId,
        stream: Stream,
        ask: PublishRequest,
        now: float,
        resume: ResumeTime | None = None,
    ) -> list[Action]:
        """The publisher of a stream whose ingest is gone is back: its time and players go on.

        It keeps its room, whatever its device takes otherwise. `resume`: where its time is, if the
        ingest that had it could say.
        """
        roster = self._roster
        device, level, overloaded = roster.device_of(stream), stream.level, stream.overloaded
        result = self._kept_room(stream)
        if not isinstance(result, NoRoom):
            roster.put(stream, *result, now)
            if roster.device_of(stream) == device:
                stream.level, stream.overloaded = level, overloaded
        elif Pipeline.REFUSE in stream.policy():
            roster.close(stream)
            return self._try(ingest, ask, now, None)
        else:
            roster.wait(stream, result.reason, now)
        stream.ingest, stream.is_live, stream.address = ingest, True, ask.address
        stream.ingest_lost_until_s = math.inf
        placed = roster.placed(stream, ask.request_id).message
        assert isinstance(placed, Placement)
        return [Send(ingest, replace(placed, resume_time=resume or resume_time(stream)))]

    def _kept_room(self, stream: Stream) -> InFleet | NoRoom:
        """The stream's own room under a new generation; other room where its device is gone."""
        roster = self._roster
        placement = roster.fleet.allocations.get(stream.generation)
        is_lost = stream.state in (StreamState.SWITCHING, StreamState.WAITING)
        if placement is None or is_lost:
            return roster.find_room(stream)
        if placement.device is None or roster.device_serving(stream) is not None:
            return stay(roster.fleet, stream.generation, roster.need(stream))
        return roster.find_room(stream)  # never source only: its device may come back

    def back(self, ingest: ChildId, back: PublisherBack) -> None:
        """The publisher of a held stream is back where it was."""
        stream = self._roster.streams.get(back.stream_id)
        if stream is not None and (stream.ingest, stream.generation) == (ingest, back.generation):
            stream.is_live, stream.address = True, back.address

    def retry(self, now: float) -> list[Action]:
        """Room may have come: try all that are parked, the oldest first."""
        actions: list[Action] = []
        queued, self._queued = self._queued, []
        for item in queued:
            if self.closed:
                actions.append(self._refuse(item.ingest, item.ask, _full(self.closed)))
            else:
                actions += self._try(item.ingest, item.ask, now, item.deadline_s)
        return actions

    def forget_ingest(self, ingest: ChildId) -> None:
        """It is gone, and with it those who asked through it."""
        self._queued = [queued for queued in self._queued if queued.ingest != ingest]
        self._revoking = {k: r for k, r in self._revoking.items() if r.ingest != ingest}

    def forget_ask(self, ingest: ChildId, stream_id: StreamId) -> None:
        """The publisher went away while another ingest was asked for its stream."""
        self._revoking = {
            number: entry
            for number, entry in self._revoking.items()
            if (entry.ingest, entry.ask.stream_id) != (ingest, stream_id)
        }

    def withdraw(self, stream_id: StreamId) -> None:
        """The publisher went away while it was parked."""
        self._queued = [queued for queued in self._queued if queued.ask.stream_id != stream_id]

    def tick(self, now: float) -> list[Action]:
        """Refuse what was parked for too long, forget old refusals."""
        self._remembered = {k: r for k, r in self._remembered.items() if r.until_s > now}
        actions: list[Action] = []
        for number, entry in list(self._revoking.items()):
            if now >= entry.deadline_s:
                del self._revoking[number]
                actions += self._unanswered(entry, now)
        return [*actions, *self.retry(now)] if now >= self.next_deadline() else actions

    def _unanswered(self, entry: Revoking, now: float) -> list[Action]:
        stream = self._roster.streams.get(entry.ask.stream_id)
        if stream is None or stream.ingest == NO_INGEST:
            return self.ask(entry.ingest, entry.ask, now)  # its ingest was lost meanwhile
        return [self._refuse(entry.ingest, entry.ask, _TAKEN)]

    def format_known(self, ingest: ChildId, known: SourceFormatReport, now: float) -> list[Action]:
        """Correct a reservation; move the stream, or refuse it, when it does not fit."""
        roster = self._roster
        stream = roster.streams.get(known.stream_id)
        if stream is None or stream.ingest != ingest:
            text = "the stream is not known here any more; publish again"
            refused = Refused(
                known.request_id, known.stream_id, Refusal(RefusalReason.FAILED, text)
            )
            return [Send(ingest, refused)]
        is_freed = stream.format_known(known.format, known.codec, now)
        if stream.state in (StreamState.SWITCHING, StreamState.WAITING):
            return [roster.placed(stream, known.request_id)]
        is_given_up = stream.state is StreamState.SOURCE_ONLY and is_freed
        if not is_given_up and roster.correct(stream):
            return [roster.placed(stream, known.request_id)]
        # That its rate was lower for a while gave others no right to its room.
        is_let_in = not is_given_up and stream.is_admitted(stream.cost_here())
        if is_let_in:
            result = roster.find_room(stream)  # never source only: it stays
        else:
            need = roster.need(stream)
            result = move(roster.fleet, stream.generation, need, roster.excluded(stream))
        if not isinstance(result, NoRoom):
            roster.put(stream, *result, now)
            return [roster.placed(stream, known.request_id)]
        if is_given_up:
            stream.wait(result.reason)
            return [roster.placed(stream, known.request_id)]
        if is_let_in:
            roster.stay(stream)
            return [roster.placed(stream, known.request_id)]
        roster.close(stream)
        roster.full_refusals += 1
        text = f"no room for {known.format.width}x{known.format.height}: {result.reason}"
        self._remember(known.stream_id, Remembered(now + REMEMBER_S, text, known.format))
        roster.note(known.stream_id, f"refused: {text}", now)
        return [Send(ingest, Refused(known.request_id, known.stream_id, _full(text)))]

    def _try(
        self, ingest: ChildId, ask: PublishRequest, now: float, deadline_s: float | None
    ) -> list[Action]:
        roster = self._roster
        app, _ = split_stream_id(ask.stream_id)
        template = roster.settings.template(app)
        if template is None:
            return [
                self._refuse(
                    ingest, ask, Refusal(RefusalReason.NOT_FOUND, "there is no such app here")
                )
            ]
        stream = Stream(
            ask.stream_id,
            template,
            Generation(0),
            ingest,
            ask.address,
            StreamState.RESERVED,
            now,
            "",
        )
        if roster.quarantine.standing(ask.stream_id, now) is Standing.REFUSED:
            text = roster.quarantine.reason(ask.stream_id, now)
            return [self._refuse(ingest, ask, _full(text))]
        remembered = self._remembered.get(ask.stream_id)
        if remembered is not None and now < remembered.until_s:
            likely = replace(roster.need(stream), cost=stream_cost(template, remembered.format))
            if isinstance(place(roster.fleet, likely), NoRoom):
                return [self._refuse(ingest, ask, _full(remembered.description))]
        begun = roster.isolate(stream, now, is_again=deadline_s is not None)
        need = roster.need(stream)
        result = place(roster.fleet, need, roster.excluded(stream))
        if (
            isinstance(result, NoRoom)
            and self._has_room_among_others(stream)
            and roster.rejoin(stream, result.reason, now)
        ):
            need = roster.need(stream)
            result = place(roster.fleet, need, roster.excluded(stream))
        actions: list[Action] = []
        if isinstance(result, NoRoom) and stream.dedicated_worker is None:
            freed, actions = self._evict(need, now)
            if freed is not None:
                result = freed
        if not isinstance(result, NoRoom):
            roster.put(stream, *result, now)
            return [*actions, roster.placed(stream, ask.request_id)]
        if deadline_s is None:
            deadline_s = now + self._patience(now)
        if now < deadline_s and len(self._queued) < MAX_PARKED:
            self._queued.append(QueuedRequest(ingest, ask, deadline_s))
            return begun
        own = roster.fleet.devices.get(stream.dedicated_worker) if stream.dedicated_worker else None
        if own is None or own.is_up:  # one that still starts is for the next attempt
            roster.quarantine.take_worker(ask.stream_id)
        roster.full_refusals += 1
        roster.note(ask.stream_id, f"refused: {result.reason}", now)
        return [*begun, self._refuse(ingest, ask, _full(f"the farm is full: {result.reason}"))]

    def _has_room_among_others(self, stream: Stream) -> bool:
        """Whether one that is to be alone could be placed as if it were not."""
        if stream.dedicated_worker is None:
            return False
        need = self._roster.need(replace(stream, dedicated_worker=None))
        return not isinstance(
            place(self._roster.fleet, need, {stream.dedicated_worker: ""}), NoRoom
        )

    def _patience(self, now: float) -> float:
        """How long room may still come by itself."""
        # A device that has been down for long is broken, not starting.
        if any(now - since < STARTING_S for since in self._roster.down_since.values()):
            return PARK_STARTING_S
        return PARK_S if self._roster.fleet.has_reservations() else 0.0

    def _evict(self, need: Need, now: float) -> tuple[InFleet | None, list[Action]]:
        """Room from streams whose publisher is away, the longest away first; none if in vain."""
        roster = self._roster
        away = [s for s in roster.streams.values() if not s.is_live and roster.device_of(s)]
        away.sort(key=lambda s: s.away_s)
        fleet = roster.fleet
        result: InFleet | NoRoom = NoRoom("")
        victims: list[Stream] = []
        for stream in away:
            fleet = release(fleet, stream.generation)
            victims.append(stream)
            result = place(fleet, need)
            if not isinstance(result, NoRoom):
                break
        if isinstance(result, NoRoom):
            return None, []
        for stream in reversed(victims[:-1]):  # without whom the newcomer fits all the same
            spared = fleet.with_allocation(roster.fleet.allocations[stream.generation])
            again = place(spared, need)
            if not isinstance(again, NoRoom):
                fleet, result = spared, again
                victims.remove(stream)
        text = "gave its room to another publisher while its own was away"
        actions: list[Action] = []
        for victim in victims:
            roster.close(victim)
            roster.note(victim.stream_id, text, now)
            end = EndStream(victim.stream_id, _full(text))
            actions.append(Send(victim.ingest, end))
        return result, actions

    def _remember(self, stream_id: StreamId, refusal: Remembered) -> None:
        self._remembered.pop(stream_id, None)
        while len(self._remembered) >= MAX_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[stream_id] = refusal

    def _refuse(self, ingest: ChildId, ask: PublishRequest, refusal: Refusal) -> Send:
        return Send(ingest, Refused(ask.request_id, ask.stream_id, refusal))


def _full(words: str) -> Refusal:
    return Refusal(RefusalReason.FULL, words)


def resume_time(stream: Stream) -> ResumeTime | None:
    """Where a stream's time goes on, from what its ingest and the egresses said last."""
    publisher = stream.publisher
    if publisher is None:
        return None
    shown = [
        rendition.last_pts_ms
        for served in stream.served.values()
        for rendition in served.renditions
        if rendition.last_pts_ms is not None
    ]
    end_ms = max(shown, default=publisher.reference_ms)
    return ResumeTime(publisher.reference_ms, publisher.reference_s, end_ms)
