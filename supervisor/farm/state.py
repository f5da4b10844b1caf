"""The streams of the farm, where each is, and all that heartbeats say of them. Pure state.

`FarmState` holds the facts and the few operations on them that must not be split: a stream is
opened, moved and closed together with its placement, so that load and streams never disagree. What
is decided about them stands in `admission.py` (publishers that ask) and `recovery.py` (losses);
`farm.py` ties all of it to messages.

Everything here can be made anew from the children's hellos.
"""

import logging
from collections import deque
from dataclasses import dataclass, replace

from common.config.ladder import Pipeline, Template
from common.config.settings import Calibration, Settings
from common.ipc.control_messages import (
    Placement,
    PublisherStatus,
    ServedStatus,
    TranscodeStatus,
)
from common.ipc.identity import ChildId, Generation, Role, StreamId, cpu_worker, split_stream_id
from supervisor.farm.actions import Action, Send, StartWorker
from supervisor.farm.overload import DegradationLevel
from supervisor.farm.quarantine import Quarantine, Standing
from supervisor.farm.stream import Stream, StreamState
from supervisor.hardware.device_ids import is_called, value_of
from supervisor.placement.cost import (
    CAPACITY_PER_CORE,
    ENGINES,
    GPU_CAPACITY,
    Resource,
    amounts,
)
from supervisor.placement.fleet import (
    Allocation,
    Device,
    Fleet,
    InFleet,
    Need,
    NoRoom,
    correct,
    move,
    place,
    release,
    stay,
)

log = logging.getLogger("tfarm.supervisor.farm.state")

COUNT_S = 0.5  # the shortest time that a rate is taken over
HISTORY = 200  # reasons kept for status
SESSION_CAP_S = 600.0  # a session cap that was met holds so long: other programs' sessions end


@dataclass(frozen=True, slots=True)
class Note:
    """A decision, for status."""

    at_s: float
    stream_id: StreamId
    text: str


@dataclass(frozen=True, slots=True)
class SessionCap:
    """Encoder sessions of the host as a driver's refusal showed them."""

    sessions: int
    until_s: float
    reason: str


class FarmState:
    """All streams and the fleet they are placed on."""

    def __init__(self, settings: Settings, cores: int) -> None:
        self.settings = settings
        self.streams: dict[StreamId, Stream] = {}
        self.egresses: set[ChildId] = set()  # those that are up
        self.history: deque[Note] = deque(maxlen=HISTORY)
        self.full_refusals = 0
        self.down_since: dict[ChildId, float] = {}  # devices that are, or are not up yet
        self.lost: dict[ChildId, str] = {}  # devices that went away under their worker, and why
        self.seen_lost: set[ChildId] = set()  # those that the GPU watch, too, says are lost
        self.drained: set[ChildId] = set()  # devices that take nothing more until told
        self.overloaded: set[ChildId] = set()  # devices that are behind
        self.quarantine = Quarantine()
        self.is_adopting = False  # what runs is not known yet: nothing may be placed
        self.session_cap: SessionCap | None = None  # met lately
        self._cores = cores
        self._last_generation = 0
        self.fleet = Fleet(host=self._host_limits())

    # ---- devices ----------------------------------------------------------------------------

    def configure(self, settings: Settings) -> None:
        """New settings: templates hold for new streams, capacities at once."""
        self.settings = settings
        self.fleet = replace(self.fleet, host=self._host_limits())

    def _host_limits(self) -> dict[Resource, float]:
        software = self.settings.software
        capacity = software.capacity
        limits = {Resource.CORES: CAPACITY_PER_CORE * self._cores if capacity is None else capacity}
        hybrid = self.settings.devices.hybrid_capacity
        if hybrid is not None:
            limits[Resource.HYBRID_CORES] = hybrid
        caps = [self.settings.devices.max_encoder_sessions]
        if self.session_cap is not None:
            caps.append(self.session_cap.sessions)
        known = [float(cap) for cap in caps if cap is not None]
        if known:
            limits[Resource.SESSIONS] = min(known)
        return limits

    def session_refused(self, worker: ChildId, open_there: int, reason: str, now: float) -> None:
        """A driver gave this worker no encoder session beyond those open there, and elsewhere."""
        elsewhere = self.fleet.used(Resource.SESSIONS) - self.fleet.used(Resource.SESSIONS, worker)
        sessions = open_there + round(elsewhere)
        is_known = self.session_cap is not None and self.session_cap.sessions == sessions
        self.session_cap = SessionCap(sessions, now + SESSION_CAP_S, reason)
        self.fleet = replace(self.fleet, host=self._host_limits())
        log.log(
            logging.DEBUG if is_known else logging.WARNING,
            "encoder sessions limited sessions=%d for_s=%d worker=%s reason=%s",
            sessions,
            SESSION_CAP_S,
            worker,
            reason,
        )

    def forget_session_cap(self) -> None:
        """Let the next stream try how many there are by now."""
        log.info("encoder sessions no longer limited by what a driver refused")
        self.session_cap = None
        self.fleet = replace(self.fleet, host=self._host_limits())

    def expect_device(self, name: ChildId, path: Pipeline, now: float) -> None:
        """A worker is being started; until it is up its device takes nothing."""
        if name not in self.fleet.devices:
            self.fleet = self.fleet.with_device(Device(name, path, is_up=False))
            self.down_since[name] = now

    def device_up(
        self,
        name: ChildId,
        path: Pipeline,
        aliases: tuple[str, ...] = (),
        memory_bytes: int = 0,
    ) -> None:
        """A worker said what its device is."""
        self.down_since.pop(name, None)
        self.lost.pop(name, None)
        self.seen_lost.discard(name)
        limits: dict[Resource, float] = {}
        if path is not Pipeline.SOFTWARE:
            by_hand = value_of(dict(self.settings.devices.capacity), aliases)
            limits[Resource.LOAD] = GPU_CAPACITY if by_hand is None else by_hand
            limits |= dict.fromkeys(ENGINES, 1.0)
            if memory_bytes:
                limits[Resource.MEMORY] = float(memory_bytes)
        known = self.fleet.devices.get(name)
        reserved_for = known.reserved_for if known is not None else None
        measured = self._measured(path, aliases)
        device = Device(name, path, limits, reserved_for=reserved_for, measured=measured)
        self.fleet = self.fleet.with_device(device)
        self.open_or_close(name)
        for placement in self.fleet.on_device(name):
            if placement.path is not path or (known is not None and known.measured != measured):
                # adopted before its worker said what it is, or calibrated since
                taken = device.amounts(self.streams[placement.stream_id].cost_here())
                self.fleet = self.fleet.with_allocation(
                    replace(placement, path=path, amounts=taken)
                )

    def _measured(self, path: Pipeline, aliases: tuple[str, ...]) -> dict[str, Calibration]:
        """What `tfarm calibrate` says of this device, by template."""
        names = ("cpu",) if path is Pipeline.SOFTWARE else aliases
        return {
            calibration.template: calibration
            for calibration in self.settings.calibration
            if calibration.path is path and is_called([calibration.device], names)
        }

    def device_lost(self, name: ChildId, reason: str, *, is_seen: bool = False) -> None:
        """The GPU itself is gone or broken; until its worker says hello again.

        `is_seen`: the GPU watch says so. A worker knows no more than that its context is dead,
        which a stream can bring about.
        """
        self.lost[name] = reason
        if is_seen:
            self.seen_lost.add(name)
        self.open_or_close(name)

    def open_or_close(self, name: ChildId) -> None:
        """Let a device take new streams, or not, by what is known of it."""
        device = self.fleet.devices.get(name)
        if device is not None:
            why = "it is behind" if name in self.overloaded else ""
            why = "it is drained" if name in self.drained else why
            why = "it is lost" if name in self.lost else why
            changed = replace(device, is_open=not why, why_closed=why)
            self.fleet = self.fleet.with_device(changed)

    def device_down(self, name: ChildId, now: float) -> None:
        device = self.fleet.devices.get(name)
        if device is not None:  # a stream's own worker is forgotten before it ends
            self.down_since[name] = now
            self.fleet = self.fleet.with_device(replace(device, is_up=False))
        for stream in self.streams.values():
            stream.unfit_devices.pop(str(name), None)  # what was wrong with it went with it

    # ---- streams ----------------------------------------------------------------------------

    def new_generation(self) -> Generation:
        self._last_generation += 1
        return Generation(self._last_generation)

    def see_generation(self, generation: Generation) -> None:
        """New ones grow beyond any that some child still holds."""
        self._last_generation = max(self._last_generation, generation)

    def need(self, stream: Stream) -> Need:
        """Room for a stream under a new generation."""
        return Need(
            self.new_generation(),
            stream.stream_id,
            stream.policy(),
            stream.cost(),
            is_reservation=stream.format is None,
        )

    def put(self, stream: Stream, fleet: Fleet, placement: Allocation, now: float) -> None:
        """The stream has this placement in this fleet from now on."""
        own = stream.dedicated_worker
        if own is not None and placement.device == own != self.device_of(stream):
            self.quarantine.begin(stream.stream_id, now)
        self.fleet = fleet
        if placement.device is not None:
            stream.admit(stream.cost())
        stream.generation = placement.generation
        stream.placed_s = now
        stream.reason = placement.reason
        stream.resume_after_ms = None
        stream.level = DegradationLevel.FULL
        stream.lost_renditions = frozenset()
        stream.overloaded = None
        if placement.device is None:
            stream.state = StreamState.SOURCE_ONLY
        elif stream.format is None:
            stream.state = StreamState.RESERVED
        else:
            stream.state = StreamState.LIVE
        self.streams[stream.stream_id] = stream
        self.note(
            stream.stream_id, f"placed on {placement.device or 'no device'}: {stream.reason}", now
        )

    def correct(self, stream: Stream) -> bool:
        """The reservation becomes what the source really costs; False when that does not fit."""
        cost = stream.cost_here()
        result = correct(self.fleet, stream.generation, cost)
        if not isinstance(result, tuple):
            return False
        self.fleet, placement = result
        if placement.device is not None:
            stream.admit(cost)
        if placement.device is not None and stream.state is StreamState.RESERVED:
            stream.state = StreamState.LIVE
        return True

    def stay(self, stream: Stream) -> None:
        """What the source costs by now, where the stream is, though there is no room for more."""
        need = replace(self.need(stream), generation=stream.generation, cost=stream.cost_here())
        self.fleet, _ = stay(self.fleet, stream.generation, need)

    def wait(self, stream: Stream, reason: str, now: float) -> None:
        """Under a new generation it waits for its device, or room elsewhere, with what it holds."""
        need = self.need(stream)
        if stream.generation in self.fleet.allocations:
            self.fleet, _ = stay(self.fleet, stream.generation, need)
        stream.generation = need.generation
        stream.placed_s = now
        stream.wait(reason)

    def close(self, stream: Stream) -> None:
        """The stream is over; its room is free."""
        if self.streams.get(stream.stream_id) is not stream:
            return
        del self.streams[stream.stream_id]
        self.quarantine.take_worker(stream.stream_id)
        self.drop_placement(stream)

    def drop_placement(self, stream: Stream) -> None:
        if stream.generation in self.fleet.allocations:
            self.fleet = release(self.fleet, stream.generation)

    def excluded(self, stream: Stream) -> dict[ChildId, str]:
        """The devices that this stream may not be placed on, and why."""
        if stream.dedicated_worker is not None:
            return {name: "" for name in self.fleet.devices if name != stream.dedicated_worker}
        return {name: why for name in self.fleet.devices if (why := stream.why_unfit(name))}

    def has_device_left(self, stream: Stream) -> bool:
        """Whether one may serve it, now or later: it has not refused to, whatever else keeps it."""
        return any(
            device.path in stream.policy()
            and device.reserved_for in (None, stream.stream_id)
            and stream.dedicated_worker in (None, device.name)
            and not stream.why_refused(device.name)
            for device in self.fleet.devices.values()
        )

    def isolate(self, stream: Stream, now: float, *, is_again: bool = False) -> list[Action]:
        """If the stream is suspect, give it a worker of its own, as long as there is room for one.

        Where there is none it stays by its policy: off the air it would pay for what is no more
        than a suspicion. `is_again`: that has been noted already.
        """
        if self.quarantine.standing(stream.stream_id, now) is not Standing.SUSPECT:
            return []
        name = self.quarantine.worker(stream.stream_id)
        why_not = self._why_not_alone(stream) if name is None else ""
        if not why_not:
            name = self.quarantine.give_worker(stream.stream_id, now)
        if name is None:
            why_not = why_not or "too many streams have their own worker"
            if not is_again:
                self.note(stream.stream_id, f"not alone: {why_not}", now)
            return []
        stream.dedicated_worker = name
        if name in self.fleet.devices:
            return []
        device = Device(name, Pipeline.SOFTWARE, is_up=False, reserved_for=stream.stream_id)
        self.fleet = self.fleet.with_device(device)
        self.down_since[name] = now
        self.note(stream.stream_id, f"quarantined: alone on {name} from now on", now)
        return [StartWorker(name)]

    def _why_not_alone(self, stream: Stream) -> str:
        """Why a worker of its own would have no room; "": it would, once it is up."""
        name = cpu_worker(0, Role.DEDICATED)
        measured = self._measured(Pipeline.SOFTWARE, ())
        own = Device(name, Pipeline.SOFTWARE, reserved_for=stream.stream_id, measured=measured)
        fleet = replace(self.fleet, devices={name: own})
        if stream.generation in fleet.allocations:
            fleet = release(fleet, stream.generation)
        result = place(fleet, replace(self.need(stream), policy=(Pipeline.SOFTWARE,)))
        return result.reason if isinstance(result, NoRoom) else ""

    def rejoin(self, stream: Stream, reason: str, now: float) -> bool:
        """Let a suspect back among the others if its own worker, there by now, has no room for it.

        Somebody else may have taken that meanwhile. Whether it is back.
        """
        own = self.fleet.devices.get(stream.dedicated_worker) if stream.dedicated_worker else None
        if own is None or not own.is_up:
            return False
        self.quarantine.take_worker(stream.stream_id)
        stream.dedicated_worker = None
        self.drained.add(own.name)  # it is about to end
        self.open_or_close(own.name)
        self.note(stream.stream_id, f"no longer alone: {reason}", now)
        return True

    def remove_device(self, name: ChildId) -> None:
        self.fleet = self.fleet.without_device(name)
        self.drained.discard(name)
        self.overloaded.discard(name)
        self.lost.pop(name, None)
        self.down_since.pop(name, None)

    def device_of(self, stream: Stream) -> ChildId | None:
        placement = self.fleet.allocations.get(stream.generation)
        return placement.device if placement else None

    def device_serving(self, stream: Stream) -> Device | None:
        """The device that it has room on, if that is up."""
        name = self.device_of(stream)
        device = self.fleet.devices.get(name) if name is not None else None
        return device if device is not None and device.is_up else None

    def find_room(self, stream: Stream) -> InFleet | NoRoom:
        """Room on a real device, what the stream holds now counted as free."""
        policy = tuple(path for path in stream.policy() if path is not Pipeline.PASSTHROUGH)
        need = replace(self.need(stream), policy=policy)
        if stream.generation in self.fleet.allocations:
            return move(self.fleet, stream.generation, need, self.excluded(stream))
        return place(self.fleet, need, self.excluded(stream))

    def on_device(self, name: ChildId) -> list[Stream]:
        return [s for s in self.streams.values() if self.device_of(s) == name]

    def of_ingest(self, name: ChildId) -> list[Stream]:
        return [s for s in self.streams.values() if s.ingest == name]

    def placed(self, stream: Stream, request_id: int) -> Send:
        """Where the stream is now, for its ingest, which announces its renditions."""
        worker = self.device_of(stream)
        if stream.state in (StreamState.SWITCHING, StreamState.WAITING):
            worker = None  # not any more; a `Placement` of its own follows
        stream.announced = stream.renditions() if worker is not None else ()
        return Send(
            stream.ingest,
            Placement(
                request_id,
                stream.stream_id,
                stream.generation,
                stream.template,
                worker,
                stream.announced,
                stream.reason,
            ),
        )

    def note(self, stream_id: StreamId, text: str, now: float) -> None:
        self.history.append(Note(now, stream_id, text))

    # ---- what children say of streams -------------------------------------------------------

    def adopt(self, ingest: ChildId, status: PublisherStatus, now: float) -> Stream:
        """A stream that runs already, from its ingest's hello; room for it is taken as it is."""
        app, _ = split_stream_id(status.stream_id)
        template = self.settings.template(app) or Template(app, ())
        self.see_generation(status.generation)
        stream = Stream(
            status.stream_id,
            template,
            status.generation,
            ingest,
            status.address,
            StreamState.LIVE if status.format else StreamState.RESERVED,
            now,
            "adopted",
            is_live=status.is_live,
            away_s=now,
            publisher=status,
        )
        if status.format is not None:
            stream.format_known(status.format, status.codec, now)
        path = Pipeline.PASSTHROUGH
        known = None
        if status.worker is not None:
            known = self.fleet.devices.get(status.worker)
            path = known.path if known else Pipeline.SOFTWARE
        elif stream.policy()[0] is Pipeline.PASSTHROUGH:
            stream.state = StreamState.SOURCE_ONLY
        else:
            stream.state = StreamState.WAITING
        placement = Allocation(
            status.generation,
            status.stream_id,
            status.worker,
            path,
            known.amounts(stream.cost()) if known else amounts(stream.cost(), path),
            "adopted",
            is_reservation=status.format is None,
        )
        self.fleet = self.fleet.with_allocation(placement)
        stream.admit(stream.cost())
        self.streams[stream.stream_id] = stream
        return stream

    def update_publisher(self, ingest: ChildId, status: PublisherStatus, now: float) -> None:
        stream = self.streams.get(status.stream_id)
        if stream is None or stream.ingest != ingest:
            return
        if stream.is_live and not status.is_live:
            stream.away_s = now
        stream.is_live = status.is_live
        stream.publisher = status
        stream.address = status.address

    def update_transcode(self, status: TranscodeStatus, now: float) -> None:
        stream = self.streams.get(status.stream_id)
        if stream is None or stream.generation != status.generation:
            return
        last = stream.last_transcode
        is_new = last is None or last.generation != status.generation
        stream.last_transcode = status
        elapsed_s = now - stream.counted_s
        if is_new or status.frames_in < stream.counted_in:
            stream.fps_in = 0.0
        elif elapsed_s < COUNT_S:
            return
        else:
            stream.fps_in = (status.frames_in - stream.counted_in) / elapsed_s
        stream.counted_s, stream.counted_in = now, status.frames_in

    def update_served(self, egress: ChildId, status: ServedStatus) -> None:
        stream = self.streams.get(status.stream_id)
        if stream is not None:
            stream.served[egress] = status
