"""What becomes of streams whose worker is lost, or cannot serve them. Pure.

A lost worker's streams are switched one by one: egress reports how far the old generation came (or
has not done so within 200 ms), then the stream gets a new generation on a device with room, and
its ingest starts it there from its last GOP. Without room it waits, source only, keeping what it
had on the lost device; it is looked at again whenever room comes: at the latest when its worker is
back, where it goes on whatever else is booked by then. A template whose policy has `refuse` ends
its streams instead.

A device that says that it cannot serve a stream is not asked again, and nothing is kept for the
stream there. A stream is given up when there is no other device: one that is full or down may
serve it later.
"""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from common.config.ladder import Pipeline
from common.ipc.control_messages import Positions, StreamTrouble, SwitchGeneration
from common.ipc.identity import ChildId, StreamId
from common.process.log import stream_label
from supervisor.farm.actions import Action, Send, end_stream
from supervisor.farm.blame.crash_cause import Aboard, possible_causes
from supervisor.farm.blame.isolation import Isolation
from supervisor.farm.blame.quarantine import QuarantineState
from supervisor.farm.forwarding.captures import capture_by_itself
from supervisor.farm.state import FarmState, serving
from supervisor.farm.stream import Stream
from supervisor.farm.stream_states import StreamState, Switching, Waiting
from supervisor.placement.cost import Resource
from supervisor.placement.fleet import NoRoom, Room

log = logging.getLogger("tfarm.supervisor.farm.recovery.lost_workers")

POSITIONS_TIMEOUT_S = 0.2


@dataclass(frozen=True, slots=True)
class GoOn:
    """There is room for it, or its own room is good."""

    room: Room
    why_not_alone: str = ""  # why it has to give up its dedicated worker for it


@dataclass(frozen=True, slots=True)
class End:
    """Its policy refuses to serve it without a worker."""

    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """There is no room."""

    reason: str
    why_not_alone: str = ""  # why it has to give up its dedicated worker, besides


Candidate = GoOn | End | Wait


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for it that a worker died of a stream."""

    is_sole: bool = False  # no other is suspected
    is_known: bool = False  # no other can have been the cause
    is_known_address: bool = False  # nor a stream of another address


class Recovery:
    """Re-places streams; the facts are the farm state's."""

    def __init__(self, state: FarmState, isolation: Isolation) -> None:
        self._state = state
        self._isolation = isolation
        self._last_request = 0
        self._begun: dict[StreamId, Stream] = {}  # that switched when last looked at

    def next_deadline(self) -> float:
        return min((switching.deadline_s for _, switching in self._switching()), default=math.inf)

    def tick(self, now: float) -> list[Action]:
        actions: list[Action] = []
        for stream, switching in self._switching():
            if now >= switching.deadline_s:
                actions += self._finish(stream, now)
        return actions

    # ---- what happens to workers and streams ------------------------------------------------

    def worker_lost(
        self,
        worker: ChildId,
        reason: str,
        now: float,
        *,
        crashed: bool,
        cause: StreamId | None = None,
        crashed_in: StreamId | None = None,
    ) -> list[Action]:
        """Switch every stream that was on it; a known `cause` takes the blame alone.

        So does the `crashed_in` in whose thread it died, but that is no proof.
        """
        actions: list[Action] = []
        streams = self._state.served_by(worker)
        blamed: frozenset[StreamId] = frozenset()
        if crashed and cause is not None:
            blamed = frozenset({cause})
        elif crashed:
            aboard = [self._aboard(stream) for stream in streams]
            limit = self._state.settings.worker.max_memory_bytes
            had = self._state.workers[worker].memory_bytes if worker in self._state.workers else 0
            blamed = possible_causes(
                aboard, now, took_too_much_memory=had > limit, crashed_in=crashed_in
            )
        peers = {self._state.peer_of(stream.address) for stream in streams}
        evidence = Evidence(
            is_sole=len(blamed) == 1,
            is_known=cause is not None or len(streams) == 1,
            is_known_address=cause is not None or len(peers) == 1,
        )
        for stream in streams:
            self._state.note(stream.stream_id, f"lost {worker}: {reason}", now)
            if stream.stream_id in blamed:
                actions += self._blame(stream, reason, now, evidence)
            else:
                actions += self._begin(stream, now)
        return actions

    def _aboard(self, stream: Stream) -> Aboard:
        amounts = self._state.fleet.allocations[stream.generation].amounts
        memory_bytes = amounts.get(Resource.WORKER_MEMORY, 0.0)
        return Aboard(stream.stream_id, stream.began_s, memory_bytes)

    def trouble(self, child: ChildId, trouble: StreamTrouble, now: float) -> list[Action]:
        """One stream that its worker cannot serve: another device, or none is left to try."""
        stream = self._state.streams.get(trouble.stream_id)
        if stream is None or stream.generation != trouble.generation or not stream.is_on_worker:
            return []
        if not child == trouble.child == self._state.device_of(stream):
            return []
        # Another worker of that device would say the same.
        unfit = str(trouble.child) if trouble.is_workers_own else trouble.child.device_name
        stream.unfit.add(unfit, trouble.reason)
        self._state.note(stream.stream_id, f"{trouble.child}: {trouble.reason}", now)
        if trouble.is_workers_own:
            worker = self._state.workers.get(trouble.child)
            if trouble.is_bystander or (worker is not None and worker.is_lost_for_sure):
                return self._begin(stream, now)
            # It met the fault first that takes the worker down: it alone may be the cause.
            return self._blame(stream, trouble.reason, now, Evidence())
        if self._state.has_device_left(stream):
            return self._begin(stream, now)
        return self._give_up(stream, trouble.reason, now)

    def session_missing(self, stream: Stream, now: float) -> list[Action]:
        """Its worker runs without a session of it, for whatever reason: begin another.

        The room there is the stream's, whatever its device takes otherwise.
        """
        worker = self._state.device_of(stream)
        log.error("session missing stream=%s worker=%s", stream_label(stream.stream_id), worker)
        self._state.note(stream.stream_id, f"{worker} has no session of it any more", now)
        return self._begin(stream, now, keeps_worker=True)

    def positions(self, egress: ChildId, positions: Positions, now: float) -> list[Action]:
        """An egress answers `SwitchGeneration`: how far it came."""
        stream = self._state.streams.get(positions.stream_id)
        if stream is None or not isinstance(stream.phase, Switching):
            return []
        switching = stream.phase
        if switching.request_id != positions.request_id:
            return []
        switching.pending.discard(egress)
        if positions.last_pts_ms is not None:
            switching.positions.append(positions.last_pts_ms)
        return [] if switching.pending else self._finish(stream, now)

    def egress_lost(self, egress: ChildId, now: float) -> list[Action]:
        """It will not answer any more."""
        actions: list[Action] = []
        for stream, switching in self._switching():
            switching.pending.discard(egress)
            if not switching.pending:
                actions += self._finish(stream, now)
        return actions

    def retry(self, now: float) -> list[Action]:
        """Room may have come: look at the streams that wait, the longest first."""
        streams = self._state.streams.values()
        waiting = [stream for stream in streams if stream.state is StreamState.WAITING]
        actions: list[Action] = []
        for stream in sorted(waiting, key=lambda s: s.placed_s):
            actions += self._place_anew(stream, now)
        return actions

    def settle(self, now: float) -> list[Action]:
        """All children that still ran have said hello: switch what is on a worker that did not."""
        actions: list[Action] = []
        for stream in list(self._state.streams.values()):
            has_room = self._state.device_of(stream) is not None
            is_served = self._state.device_serving(stream) is not None
            if stream.is_on_worker and has_room and not is_served:
                actions += self._begin(stream, now)
        return actions + self.retry(now)

    # ---- whose fault it was -----------------------------------------------------------------

    def _blame(self, stream: Stream, reason: str, now: float, evidence: Evidence) -> list[Action]:
        """Its worker died, perhaps of it: go on by what is known of it by now."""
        stream.count_crash()
        state, stream_id = self._state, stream.stream_id
        was_apart = stream.dedicated_worker is not None
        peer = state.peer_of(stream.address) if evidence.is_sole else ""
        if evidence.is_sole:
            self._isolation.absolve(stream_id, now)
        found_state = state.quarantine.crashed(
            stream_id, reason, now, stream.owner, is_certain=evidence.is_known
        )
        is_certain = evidence.is_known_address
        if peer and state.peers.blame(
            peer, stream_id, reason, now, was_apart=was_apart, is_certain=is_certain
        ):
            log.warning("address refused peer=%s stream=%s", peer, stream_label(stream_id))
            state.note(stream_id, f"{peer}: {state.peers.refusal(peer, now)}", now)
        if found_state is QuarantineState.REFUSED:
            return self._refuse(stream, now)
        actions: list[Action] = []
        if found_state is QuarantineState.POISON:
            actions += capture_by_itself(stream, f"it is suspected to take workers down: {reason}")
        found = self._isolation.look(stream, now)
        actions += self._isolation.begin(stream, found, now)
        actions += self._begin(stream, now)
        return [*actions, *(self._isolation.gather(peer, now) if peer else [])]

    def _refuse(self, stream: Stream, now: float) -> list[Action]:
        """It took its dedicated worker down too: it ends here."""
        reason = self._state.quarantine.reason(stream.stream_id, now)
        log.error("stream refused stream=%s reason=%s", stream_label(stream.stream_id), reason)
        self._state.note(stream.stream_id, f"refused: {reason}", now)
        return self._end(stream, reason)

    def _end(self, stream: Stream, reason: str) -> list[Action]:
        ingest = stream.ingest
        self._state.close(stream)
        return [end_stream(ingest, stream.stream_id, reason)]

    # ---- from one generation to the next ----------------------------------------------------

    def _switching(self) -> list[tuple[Stream, Switching]]:
        begun = self._begun.values()
        found = [(s, s.phase) for s in begun if isinstance(s.phase, Switching)]
        self._begun = {stream.stream_id: stream for stream, _ in found}
        return found

    def _begin(self, stream: Stream, now: float, *, keeps_worker: bool = False) -> list[Action]:
        egresses = serving(self._state)
        self._last_request += 1
        deadline_s = now + POSITIONS_TIMEOUT_S
        switching = Switching(self._last_request, deadline_s, egresses, keeps_worker)
        if not stream.lose_worker(switching):
            return []
        self._begun[stream.stream_id] = stream
        if stream.format is None or not egresses:
            return self._finish(stream, now)  # nothing of it can have reached a player
        message = SwitchGeneration(switching.request_id, stream.stream_id, stream.generation)
        return [Send(egress, message) for egress in sorted(egresses)]

    def _finish(self, stream: Stream, now: float) -> list[Action]:
        """Go on: all that can be known of how far players came is known."""
        if self._state.is_adopting:
            return []  # a worker that died meanwhile: at the first tick
        switching = stream.phase
        assert isinstance(switching, Switching)
        # With several egresses the slowest one counts: the others drop what they have already.
        stream.wait(resume_after_ms=min(switching.positions, default=None))
        if switching.keeps_worker and self._can_stay(stream):
            return self._go_on(stream, self._state.own_room(stream), now)
        return self._place_anew(stream, now)

    def _place_anew(self, stream: Stream, now: float) -> list[Action]:
        """Do the best that can be done with a stream that waits."""
        best = next(self._candidates(stream))
        if isinstance(best, GoOn | Wait) and best.why_not_alone:
            self._isolation.rejoin(stream, best.why_not_alone, now)
        match best:
            case GoOn(room):
                return self._go_on(stream, room, now)
            case End(reason):
                self._state.has_freed = True
                return self._end(stream, f"no device left: {reason}")
            case Wait(reason):
                stream.wait(reason)
                here = self._state.device_of(stream)
                if here is not None and stream.unfit.why_device(here):
                    self._state.give_up_room(stream)  # it can never go back
                    self._state.has_freed = True
                return []

    def _candidates(self, stream: Stream) -> Iterator[Candidate]:
        """What can be done with a stream that waits, best first. Changes nothing."""
        state = self._state
        result = state.find_room(stream)
        if not isinstance(result, NoRoom):
            yield GoOn(result)
            return
        if self._may_go_back(stream):
            yield GoOn(state.own_room(stream))
        why_not_alone, policy = "", stream.policy()
        without = self._isolation.fleet_without(stream)
        if without is not None:
            among_others = replace(stream, dedicated_worker=None)
            why_not_alone, policy = result.reason, among_others.policy()
            result = state.find_room(among_others, without)
            if not isinstance(result, NoRoom):
                yield GoOn(result, why_not_alone)
                return
        if Pipeline.REFUSE in policy:
            yield End(result.reason)
        elif self._isolation.is_refused_for_size(stream):
            yield End("the worker for sources of this size is full: publish a smaller one")
        yield Wait(result.reason, why_not_alone)

    def _can_stay(self, stream: Stream) -> bool:
        """Whether the device that it has room on still serves what it has."""
        device = self._state.device_serving(stream)
        return (
            device is not None
            and not self._state.workers[device.name].lost
            and device.name not in self._state.excluded(stream)
        )

    def _may_go_back(self, stream: Stream) -> bool:
        """Whether the device that it waited for is back, and it costs what it was admitted with.

        Where more is booked than there is (rates rose again, a reload took capacity away) what
        each one keeps has no room beside what the others keep: all would wait for one another.
        """
        device = self._state.device_serving(stream)
        is_back = device is not None and device.is_open and self._can_stay(stream)
        return is_back and stream.is_admitted(stream.cost())

    def _go_on(self, stream: Stream, room: Room, now: float) -> list[Action]:
        """Have its ingest start it there, from where players have come."""
        waiting = stream.phase
        resume_after_ms = waiting.resume_after_ms if isinstance(waiting, Waiting) else None
        self._state.put(stream, room, now)
        return [self._state.announce(stream, resume_after_ms=resume_after_ms)]

    def _give_up(self, stream: Stream, reason: str, now: float) -> list[Action]:
        """No device can serve it: source only, as long as it is coded like this."""
        if Pipeline.REFUSE in stream.policy():
            return self._end(stream, reason)
        room = self._state.no_device(stream, f"source only: {reason}")
        self._state.put(stream, room, now)
        return [self._state.announce(stream)]
