"""Gives poison streams a dedicated worker, and takes it back. Pure; the record is `quarantine.py`.

So do the streams of a poison address get one, and newcomers whose sources are out of the usual;
each of these groups shares it.

Where there is no room for a dedicated worker, a poison stream stays by its policy: off the air it
would pay for what is no more than a suspicion. A poison address's streams wait, or are refused,
when the worker that they have is full: else a large one sends the others among everybody's.
"""

from dataclasses import dataclass, replace

from common.config.ladder import Pipeline
from common.ipc.control_messages import Heartbeat
from common.ipc.identity import ChildId, Role, StreamId, cpu_worker
from supervisor.farm.actions import Action, StartWorker, StopWorker
from supervisor.farm.blame.quarantine import LARGE, NEWCOMERS, QuarantineState
from supervisor.farm.blame.unusual_sources import is_large, why_unusual
from supervisor.farm.devices import Devices, expected
from supervisor.farm.state import FarmState
from supervisor.farm.stream import Stream
from supervisor.farm.stream_states import StreamState
from supervisor.placement.fleet import Device, Fleet, NoRoom, place, release

_NO_WORKER = ChildId("")
_NOBODY = StreamId("")  # what only those get whose worker it is


@dataclass(frozen=True, slots=True)
class Isolate:
    """The stream is to be alone on this worker."""

    worker: ChildId
    group: str = ""  # shared with these


@dataclass(frozen=True, slots=True)
class NotIsolated:
    """It ought to be alone, and cannot, for this reason."""

    why_not: str


class Isolation:
    """Which streams are alone; the facts are the farm state's."""

    def __init__(self, state: FarmState, devices: Devices) -> None:
        self._state = state
        self._devices = devices

    def next_deadline(self) -> float:
        return self._state.quarantine.next_deadline()

    def tick(self, now: float) -> list[Action]:
        """Let streams that were alone for long and harmed nobody go among the others again."""
        for stream_id in self._state.quarantine.cleared(now):
            self._clear(stream_id, now)
            self._state.has_freed = True  # they move, or any device will do for them now
        return []

    # ---- alone ------------------------------------------------------------------------------

    def look(self, stream: Stream, now: float) -> Isolate | NotIsolated | None:
        """What is to be done with a stream; None: nothing. Changes nothing."""
        quarantine = self._state.quarantine
        group = self._group(stream, now)
        found = quarantine.state(stream.stream_id, now, stream.owner)
        is_poison = found is QuarantineState.POISON
        if not is_poison and not group:
            return None
        if is_poison and quarantine.worker(stream.stream_id) is None:
            group = ""
        name = quarantine.next_worker(stream.stream_id, group)
        if name is None:
            return NotIsolated("too many streams have their own worker")
        if quarantine.stream_on(name) is None:
            why_not = self._why_no_room(stream)
            if why_not:
                return NotIsolated(why_not)
        return Isolate(name, group)

    def _group(self, stream: Stream, now: float) -> str:
        """With whom it is to share a worker apart; "": with nobody."""
        peer = self._state.peer_of(stream.address)
        if peer and self._state.peers.is_poison(peer, now):
            return peer
        if not self.why_unusual(stream):
            return ""
        return LARGE if stream.format is not None and is_large(stream.format) else NEWCOMERS

    def why_unusual(self, stream: Stream) -> str:
        """What of a newcomer's source is out of the usual; "": nothing, or it has been tried.

        One that the host's cores do not serve is none of these.
        """
        here = self._state.device_of(stream)
        if (
            stream.is_tried
            or stream.format is None
            or (here is not None and not here.is_software)
            or not self._state.peer_of(stream.address)
        ):
            return ""
        return why_unusual(stream.format, stream.codec)

    def fleet_with(self, worker: ChildId, stream: Stream) -> Fleet:
        """The fleet as it is once the stream's dedicated worker is expected."""
        fleet = self._state.fleet
        if worker in fleet.devices:
            return fleet
        return fleet.with_device(expected(worker, Pipeline.SOFTWARE, _NOBODY))

    def begin(
        self, stream: Stream, found: Isolate | NotIsolated | None, now: float
    ) -> list[Action]:
        """Do what `look` found."""
        state = self._state
        match found:
            case NotIsolated(why_not):
                state.note(stream.stream_id, f"not alone: {why_not}", now)
                if stream.dedicated_worker is not None:
                    stream.join_others()  # that was its group's
            case Isolate(worker, group):
                state.quarantine.give_worker(stream.stream_id, now, group)
                is_new = stream.dedicated_worker != worker
                stream.isolate_on(worker)
                if is_new:
                    state.note(stream.stream_id, f"quarantined: {_how(worker, group)}", now)
                if worker not in state.fleet.devices:
                    reserved_for = _NOBODY if group else stream.stream_id
                    self._devices.expect(worker, Pipeline.SOFTWARE, now, reserved_for)
                    return [StartWorker(worker)]
        return []

    def gather(self, peer: str, now: float) -> list[Action]:
        """Have the streams of a poison address move to its worker."""
        actions: list[Action] = []
        for stream in list(self._state.streams.values()):
            here = self._state.device_of(stream)
            if (
                here is None
                or not here.is_software
                or stream.dedicated_worker is not None
                or self._state.peer_of(stream.address) != peer
            ):
                continue
            found = self.look(stream, now)
            actions += self.begin(stream, found, now)
            if isinstance(found, Isolate) and stream.is_on_worker:
                self._state.to_move.add(stream.stream_id)
        return actions

    def absolve(self, cause: StreamId, now: float) -> None:
        """One has been found to be the cause: let those go that only shared its crashes."""
        for stream_id in self._state.quarantine.absolve(cause, now):
            self._clear(stream_id, now)
            self._state.has_freed = True

    def _why_no_room(self, stream: Stream) -> str:
        """Why a dedicated worker would have no room; "": it would, once it is up."""
        state = self._state
        name = cpu_worker(0, Role.DEDICATED)
        measured = self._devices.measured(Pipeline.SOFTWARE, ())
        limits = self._devices.memory_limit(Pipeline.SOFTWARE)
        own = Device(
            name, Pipeline.SOFTWARE, limits, reserved_for=stream.stream_id, measured=measured
        )
        fleet = replace(state.fleet, devices={name: own})
        if stream.generation in fleet.allocations:
            fleet = release(fleet, stream.generation)
        result = place(fleet, replace(state.need(stream), policy=(Pipeline.SOFTWARE,)))
        return result.reason if isinstance(result, NoRoom) else ""

    # ---- among the others again -------------------------------------------------------------

    def fleet_without(self, stream: Stream) -> Fleet | None:
        """The fleet for a stream that gives up its dedicated worker; None: that is not there yet.

        Somebody else may have taken the room there while it came up.
        """
        fleet = self._state.fleet
        own = fleet.devices.get(stream.dedicated_worker) if stream.dedicated_worker else None
        if own is None or not own.is_up:
            return None
        if self._state.quarantine.group(stream.stream_id) not in ("", NEWCOMERS):
            return None  # of a poison address, or so large that it may hold the others up
        return fleet.with_device(replace(own, is_open=False, why_closed="it is drained"))

    def is_refused_for_size(self, stream: Stream) -> bool:
        """Whether it waits for the worker of large sources, which is up, and has no room for it."""
        own = self._state.fleet.devices.get(stream.dedicated_worker or _NO_WORKER)
        is_large_one = self._state.quarantine.group(stream.stream_id) == LARGE
        return is_large_one and own is not None and own.is_up

    def rejoin(self, stream: Stream, reason: str, now: float) -> None:
        """Let a stream go among the others again: its dedicated worker has no room for it."""
        own = stream.dedicated_worker
        assert own is not None
        self._state.quarantine.take_worker(stream.stream_id)
        stream.join_others()
        self._leave(stream, own)
        self._state.note(stream.stream_id, f"no longer alone: {reason}", now)

    def _clear(self, stream_id: StreamId, now: float) -> None:
        """Take a stream's dedicated worker away, and have it move off that."""
        state = self._state
        is_newcomer = state.quarantine.group(stream_id) == NEWCOMERS
        worker = state.quarantine.take_worker(stream_id)
        stream = state.streams.get(stream_id)
        if worker is None or stream is None:
            return
        stream.join_others()
        stream.clear_crashes(is_tried=is_newcomer)
        state.quarantine.clear_stream(stream_id)
        if not is_newcomer:
            state.peers.clear(state.peer_of(stream.address))
        state.note(stream_id, "no longer quarantined: no crash since", now)
        why_refused = stream.unfit.why_device(worker)
        is_given_up = stream.state is StreamState.SOURCE_ONLY and bool(why_refused)
        if is_given_up and state.has_device_left(stream):
            stream.wait(why_refused)  # only its own worker has refused it
        self._leave(stream, worker)

    def _leave(self, stream: Stream, worker: ChildId) -> None:
        """Have a stream move off a worker that is not its any more, which ends without others."""
        state = self._state
        if state.quarantine.stream_on(worker) is None:
            if worker in state.workers:
                self._devices.drain(worker)
        elif stream.is_on_worker and state.device_of(stream) == worker:
            state.to_move.add(stream.stream_id)

    # ---- dedicated workers ------------------------------------------------------------------

    def worker_up(self, worker: ChildId) -> None:
        """A dedicated worker is up; an earlier supervisor may have started it.

        Why is not known then: its stream may leave it.
        """
        self._state.quarantine.see_worker(worker)
        if self._state.quarantine.stream_on(worker) is None:
            self._devices.drain(worker)

    def remove_if_idle(self, worker: ChildId, beat: Heartbeat) -> list[Action]:
        """End a worker that was one stream's own and is nobody's any more."""
        if beat.transcodes or not self._is_nobodys(worker):
            return []
        return self._remove(worker)

    def remove_silent(self) -> list[Action]:
        """End those that are nobody's and not up: no heartbeat says that they are idle."""
        return [
            action
            for name, device in list(self._state.fleet.devices.items())
            if not device.is_up and self._is_nobodys(name)
            for action in self._remove(name)
        ]

    def _is_nobodys(self, worker: ChildId) -> bool:
        """Whether a worker was one stream's own and is so no more."""
        state = self._state
        is_given = state.quarantine.stream_on(worker) is not None
        return worker.is_dedicated and not is_given and not state.on_device(worker)

    def _remove(self, worker: ChildId) -> list[Action]:
        self._devices.remove(worker)
        return [StopWorker(worker)]


def _how(worker: ChildId, group: str) -> str:
    """Where a stream is from now on, for people."""
    if group == LARGE:
        return f"on {worker} with others whose pictures are as large"
    if group == NEWCOMERS:
        return f"on {worker} for its first seconds, its source is out of the usual"
    return f"on {worker} with its address's streams" if group else f"alone on {worker} from now on"
