"""What becomes of streams whose worker is lost, or cannot serve them. Pure.

A lost worker's streams are switched one by one: egress says how far the old generation came (or
has not said it within 200 ms), then the stream gets a new generation on a device with room, and
its ingest starts it there from its last GOP. Without room it waits, source only, keeping what it
held on the lost device; it is tried again whenever room comes: at the latest when its worker is
back, where it goes on whatever else is booked by then. A template whose policy has `refuse` ends
its streams instead.

A device that says that it cannot serve a stream is not asked again, and nothing is kept for the
stream there; where only its worker is broken, that worker is not asked, until it has been started
anew. A stream is given up when there is no other device: one that is full or down may serve it
later.
"""

import logging
import math
from dataclasses import dataclass, field, replace

from common.config.ladder import Pipeline
from common.ipc.control_messages import (
    Placement,
    Positions,
    StreamTrouble,
    SwitchGeneration,
)
from common.ipc.identity import ChildId, StreamId
from common.process.log import stream_label
from supervisor.farm.actions import Action, Send, end_stream
from supervisor.farm.quarantine import Standing
from supervisor.farm.state import FarmState
from supervisor.farm.stream import Stream, StreamState
from supervisor.placement.fleet import Allocation, Fleet, InFleet, NoRoom, move, stay

log = logging.getLogger("tfarm.supervisor.farm.recovery")

POSITIONS_TIMEOUT_S = 0.2


@dataclass(slots=True)
class Switch:
    """A stream between two generations."""

    stream: Stream
    request_id: int
    deadline_s: float
    pending: set[ChildId]
    positions: list[int] = field(default_factory=list)
    stays: bool = False  # where it is, if it can


class Recovery:
    """Re-places streams; the facts are the roster's."""

    def __init__(self, roster: FarmState) -> None:
        self._roster = roster
        self._switches: dict[StreamId, Switch] = {}
        self._last_request = 0
        self.has_freed = False  # room, for others that wait

    def next_deadline(self) -> float:
        return min((switch.deadline_s for switch in self._switches.values()), default=math.inf)

    def worker_lost(
        self,
        worker: ChildId,
        reason: str,
        now: float,
        *,
        crashed: bool,
        cause: StreamId | None = None,
    ) -> list[Action]:
        """Switch every stream that was on it; a known `cause` takes the blame alone."""
        actions: list[Action] = []
        for stream in self._roster.on_device(worker):
            if stream.state in (StreamState.SWITCHING, StreamState.WAITING):
                continue
            self._roster.note(stream.stream_id, f"lost {worker}: {reason}", now)
            if crashed and cause in (None, stream.stream_id):
                actions += self._blame(stream, reason, now)
            else:
                actions += self._begin(stream, now)
        return actions

    def _blame(self, stream: Stream, reason: str, now: float) -> list[Action]:
        """Its worker died, perhaps of it: go on by what is known of it by now."""
        stream.crashes += 1
        standing = self._roster.quarantine.crashed(stream.stream_id, reason, now)
        if standing is Standing.REFUSED:
            return self._refuse(stream, now)
        return [*self._roster.isolate(stream, now), *self._begin(stream, now)]

    def _refuse(self, stream: Stream, now: float) -> list[Action]:
        """It took its own worker down too: it ends here."""
        roster = self._roster
        reason = roster.quarantine.reason(stream.stream_id, now)
        log.error("stream refused stream=%s reason=%s", stream_label(stream.stream_id), reason)
        roster.note(stream.stream_id, f"refused: {reason}", now)
        roster.close(stream)
        return [end_stream(stream.ingest, stream.stream_id, reason)]

    def trouble(self, trouble: StreamTrouble, now: float) -> list[Action]:
        """One stream that its worker cannot serve: another device, or none is left to try."""
        stream = self._roster.streams.get(trouble.stream_id)
        if stream is None or stream.generation != trouble.generation:
            return []
        if stream.state not in (StreamState.LIVE, StreamState.RESERVED):
            return []
        # Another worker of that device would say the same.
        what = str(trouble.child) if trouble.is_workers_own else trouble.child.device_name
        stream.unfit_devices[what] = trouble.reason
        self._roster.note(stream.stream_id, f"{trouble.child}: {trouble.reason}", now)
        if trouble.is_workers_own:
            if trouble.is_bystander or trouble.child in self._roster.seen_lost:
                return self._begin(stream, now)
            # Of all aboard it met the fault that takes the worker down: it alone may be the cause.
            return self._blame(stream, trouble.reason, now)
        if self._roster.has_device_left(stream):
            return self._begin(stream, now)
        return self._give_up(stream, trouble.reason, now)

    def forgotten(self, stream: Stream, now: float) -> list[Action]:
        """Its worker runs without a session of it, for whatever reason: begin another.

        The room there is the stream's, whatever its device takes otherwise.
        """
        worker = self._roster.device_of(stream)
        log.error("session forgotten stream=%s worker=%s", stream_label(stream.stream_id), worker)
        self._roster.note(stream.stream_id, f"{worker} has no session of it any more", now)
        return self._begin(stream, now, stays=True)

    def positions(self, egress: ChildId, positions: Positions, now: float) -> list[Action]:
        """An egress says how far it came."""
        switch = self._switches.get(positions.stream_id)
        if switch is None or switch.request_id != positions.request_id:
            return []
        switch.pending.discard(egress)
        if positions.last_pts_ms is not None:
            switch.positions.append(positions.last_pts_ms)
        return [] if switch.pending else self._finish(switch, now)

    def egress_lost(self, egress: ChildId, now: float) -> list[Action]:
        """It will not answer any more."""
        actions: list[Action] = []
        for switch in list(self._switches.values()):
            switch.pending.discard(egress)
            if not switch.pending:
                actions += self._finish(switch, now)
        return actions

    def tick(self, now: float) -> list[Action]:
        actions: list[Action] = []
        for switch in list(self._switches.values()):
            if now >= switch.deadline_s:
                actions += self._finish(switch, now)
        return actions

    def retry(self, now: float) -> list[Action]:
        """Room may have come: try the streams that wait, the longest first."""
        waiting = [s for s in self._roster.streams.values() if s.state is StreamState.WAITING]
        actions: list[Action] = []
        for stream in sorted(waiting, key=lambda s: s.placed_s):
            actions += self._place_anew(stream, now)
        return actions

    def settle(self, now: float) -> list[Action]:
        """All children that still ran have said hello: switch what is on a worker that did not."""
        actions: list[Action] = []
        for stream in list(self._roster.streams.values()):
            has_room = self._roster.device_of(stream) is not None
            is_there = stream.state in (StreamState.LIVE, StreamState.RESERVED)
            if has_room and is_there and self._roster.device_serving(stream) is None:
                actions += self._begin(stream, now)
        return actions + self.retry(now)

    def _begin(self, stream: Stream, now: float, *, stays: bool = False) -> list[Action]:
        egresses = set(self._roster.egresses)
        stream.state = StreamState.SWITCHING
        self._last_request += 1
        deadline_s = now + POSITIONS_TIMEOUT_S
        switch = Switch(stream, self._last_request, deadline_s, egresses, stays=stays)
        self._switches[stream.stream_id] = switch
        if stream.format is None or not egresses:
            return self._finish(switch, now)  # nothing of it can have reached a player
        message = SwitchGeneration(switch.request_id, stream.stream_id, stream.generation)
        return [Send(egress, message) for egress in sorted(egresses)]

    def _finish(self, switch: Switch, now: float) -> list[Action]:
        if self._roster.is_adopting:
            return []  # a worker that died meanwhile: at the first tick
        stream = switch.stream
        self._switches.pop(stream.stream_id, None)
        if self._roster.streams.get(stream.stream_id) is not stream:
            return []  # it ended meanwhile
        if stream.state is not StreamState.SWITCHING:
            return []  # its publisher came back elsewhere, and it was placed with that
        # With several egresses the slowest one counts: the others drop what they have already.
        stream.resume_after_ms = min(switch.positions, default=None)
        stream.state = StreamState.WAITING
        if switch.stays and self._can_stay(stream):
            return self._put(stream, *self._kept(stream), now)
        return self._place_anew(stream, now)

    def _can_stay(self, stream: Stream) -> bool:
        """Whether the device that it has room on still serves what it has."""
        roster = self._roster
        device = roster.device_serving(stream)
        return (
            device is not None
            and device.name not in roster.lost
            and device.name not in roster.excluded(stream)
        )

    def _may_go_back(self, stream: Stream) -> bool:
        """Whether the device that it waited for is back, and it costs what it was let in with.

        Where more is booked than there is (rates rose again, a reload took capacity away) what
        each one keeps has no room beside what the others keep: all would wait for one another.
        """
        device = self._roster.device_serving(stream)
        is_back = device is not None and device.is_open and self._can_stay(stream)
        return is_back and stream.is_admitted(stream.cost())

    def _kept(self, stream: Stream) -> InFleet:
        """Its own room under a new generation."""
        return stay(self._roster.fleet, stream.generation, self._roster.need(stream))

    def _place_anew(self, stream: Stream, now: float) -> list[Action]:
        roster = self._roster
        result = roster.find_room(stream)
        if isinstance(result, NoRoom) and self._may_go_back(stream):
            result = self._kept(stream)
        if isinstance(result, NoRoom) and roster.rejoin(stream, result.reason, now):
            result = roster.find_room(stream)
        if isinstance(result, NoRoom):
            stream.wait(result.reason)
            if Pipeline.REFUSE in stream.policy():
                roster.close(stream)
                self.has_freed = True
                words = f"no device left: {result.reason}"
                return [end_stream(stream.ingest, stream.stream_id, words)]
            here = roster.device_of(stream)
            if here is not None and stream.why_refused(here):
                roster.drop_placement(stream)  # it can never go back
                self.has_freed = True
            return []
        return self._put(stream, *result, now)

    def _put(self, stream: Stream, fleet: Fleet, placement: Allocation, now: float) -> list[Action]:
        """Have its ingest start it there, from where players have come."""
        resume_after_ms = stream.resume_after_ms
        self._roster.put(stream, fleet, placement, now)
        placed = self._roster.placed(stream, 0)
        assert isinstance(placed.message, Placement)
        return [Send(stream.ingest, replace(placed.message, resume_after_ms=resume_after_ms))]

    def _give_up(self, stream: Stream, reason: str, now: float) -> list[Action]:
        """No device can serve it: source only, as long as it is coded like this."""
        roster = self._roster
        if Pipeline.REFUSE in stream.policy():
            roster.close(stream)
            return [end_stream(stream.ingest, stream.stream_id, reason)]
        need = replace(roster.need(stream), policy=(Pipeline.PASSTHROUGH,))
        result = move(roster.fleet, stream.generation, need)
        assert not isinstance(result, NoRoom)  # passthrough takes no room
        fleet, placement = result
        told = f"source only: {reason}"
        roster.put(stream, fleet, replace(placement, reason=told), now)
        return [roster.placed(stream, 0)]
