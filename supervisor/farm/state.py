"""The farm's facts: its streams, its workers, where each stream is. Pure state.

`FarmState` has the few operations on them that must not be split: a stream is placed, moved and
closed together with its allocation, so that load and streams never disagree. Workers and their
devices change in `devices.py`. What is decided stands in `admission/` (publish requests) and
`recovery/` (losses, moves, overload); `farm.py` ties it to messages.

Everything here can be made anew from the children's hellos.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from common.access.peer_address import Networks, host_of, subscriber
from common.access.refusals import MAX_KEPT, RefusalTable
from common.config.ladder import Pipeline, Template
from common.config.settings import Settings
from common.ipc.control_messages import Heartbeat, Hello, Placement
from common.ipc.identity import ChildId, Generation, StreamId, split_stream_id
from common.ipc.kinds import admits, has_viewers, takes_tags
from common.ipc.status_messages import PublisherStatus, ServedStatus, TranscodeStatus
from common.media.clock import ResumeTime
from common.process.stage_times import DelayCounts
from supervisor.farm.actions import Send
from supervisor.farm.blame.poison_addresses import PoisonAddresses
from supervisor.farm.blame.quarantine import Quarantine
from supervisor.farm.operators.ban_list import BanList
from supervisor.farm.operators.kicks import Kicks
from supervisor.farm.recovery.overload import DegradationLevel
from supervisor.farm.stream import Stream
from supervisor.farm.stream_states import StreamState
from supervisor.farm.stream_summary import StreamSummaries
from supervisor.farm.worker import Worker
from supervisor.placement.cost import amounts
from supervisor.placement.decoding import why_not_decoded
from supervisor.placement.encoding import codecs_of, why_not_encoded
from supervisor.placement.fleet import (
    Allocation,
    Device,
    Fleet,
    Need,
    NoRoom,
    Room,
    correct,
    move,
    place,
    release,
    stay,
)

HISTORY = 200  # reasons kept for status
SENDERS = ("ingest", "worker", "encoder", "relay")  # kinds of children that send tags
MAX_GENERATION = 1 << 53  # that a child may report: there are numbers left beyond it


@dataclass(slots=True)
class Child:
    """A child that is up, by its own reports."""

    hello: Hello  # the last one
    heartbeat: Heartbeat | None = None  # likewise
    delays: Mapping[str, DelayCounts] = field(default_factory=dict)  # the last that were reported

    @classmethod
    def of(cls, hello: Hello, known: "Child | None") -> "Child":
        """The child of a hello, which the same incarnation may say again."""
        is_again = known is not None and known.hello.boot_id == hello.boot_id
        return cls(hello, delays=known.delays if known is not None and is_again else {})


@dataclass(frozen=True, slots=True)
class Note:
    """A decision, for status."""

    at_s: float
    stream_id: StreamId
    text: str
    number: int  # from 1 on


@dataclass(frozen=True, slots=True)
class SessionLimit:
    """Encoder sessions of the host as a driver's refusal showed them."""

    sessions: int
    until_s: float
    reason: str


def why_undecoded(stream: Stream, device: Device | None) -> str:
    """Why a device cannot decode a stream's source, by what it announces; "": it can."""
    return why_not_decoded(device.decodes, stream.format, stream.codec) if device else ""


def why_unable(stream: Stream, device: Device) -> str:
    """Why a device cannot serve a stream, by what it announces; "": it can."""
    return why_undecoded(stream, device) or why_not_encoded(
        device.encodes, codecs_of(stream.template)
    )


def why_not_on(stream: Stream, device: Device) -> str:
    """Why a stream may not be placed on a device; "": it may."""
    return stream.unfit.why(device.name) or why_undecoded(stream, device)


class FarmState:
    """All streams, all workers, and the fleet that the ones are placed on."""

    def __init__(self, settings: Settings, cores: int) -> None:
        self.settings = settings
        self.cores = cores
        self.streams: dict[StreamId, Stream] = {}
        self.children: dict[ChildId, Child] = {}  # those that are up
        self.workers: dict[ChildId, Worker] = {}  # up or not, of all devices in `fleet`
        self.fleet = Fleet()
        self.history: deque[Note] = deque(maxlen=HISTORY)
        self.refusals = RefusalTable(MAX_KEPT)  # of publishers and players
        self.quarantine = Quarantine()
        self.peers = PoisonAddresses()
        self.to_move: set[StreamId] = set()  # from where they are by what is suspected, or was
        self.summaries = StreamSummaries()
        self.kicks = Kicks()
        self.bans = BanList()
        self.has_freed = False  # room, for all that waits: it has to be looked at again
        self.is_adopting = False  # what runs is not known yet: nothing may be placed
        self.session_limit: SessionLimit | None = None  # met lately
        self._last_generation = 0
        self._notes = 0

    def note(self, stream_id: StreamId, text: str, now: float) -> None:
        """Keep a decision and its reason, for status."""
        self._notes += 1
        self.history.append(Note(now, stream_id, text, self._notes))

    def see_generation(self, generation: Generation) -> None:
        """New ones grow beyond any that some child still has, but for one that cannot be."""
        if generation < MAX_GENERATION:
            self._last_generation = max(self._last_generation, generation)

    def peer_of(self, address: str) -> str:
        """The holder of a publisher's address; "" of one that is exempt, which stands for many."""
        host = host_of(address)
        exempt = Networks(self.settings.ingest.exempt_networks)
        return "" if not host or host in exempt else subscriber(host)

    def of_kind(self, kind: str) -> list[ChildId]:
        """The children of a kind that are up."""
        return [child for child in self.children if child.kind == kind]

    @property
    def egresses(self) -> set[ChildId]:
        """Those that are up, which are streams' homes."""
        return set(self.of_kind("egress"))

    @property
    def tag_receivers(self) -> list[ChildId]:
        """Every child that tags may be sent to, whatever its kind."""
        return [child for child in self.children if takes_tags(child.kind)]

    # ---- where streams are ------------------------------------------------------------------

    def device_of(self, stream: Stream) -> ChildId | None:
        allocation = self.fleet.allocations.get(stream.generation)
        return allocation.device if allocation else None

    def device_serving(self, stream: Stream) -> Device | None:
        """The device that it has room on, if that is up."""
        name = self.device_of(stream)
        device = self.fleet.devices.get(name) if name is not None else None
        return device if device is not None and device.is_up else None

    def on_device(self, name: ChildId) -> list[Stream]:
        return [s for s in self.streams.values() if self.device_of(s) == name]

    def served_by(self, device: ChildId) -> list[Stream]:
        """The streams that are there, without those that only wait with room there."""
        return [stream for stream in self.on_device(device) if stream.is_on_worker]

    def of_ingest(self, name: ChildId) -> list[Stream]:
        return [s for s in self.streams.values() if s.ingest == name]

    def sessions(self, worker: ChildId) -> int:
        """How many sessions a worker still has, those that have moved away included."""
        child = self.children.get(worker)
        beat = child.heartbeat if child is not None else None
        return len(beat.transcodes) if beat is not None else 0

    def is_idle(self, worker: ChildId) -> bool:
        """Whether a worker has no stream, and so beats more seldom."""
        has_streams = self.sessions(worker) or self.on_device(worker)
        return worker in self.workers and not has_streams

    def waiting(self) -> int:
        """How many streams wait for room."""
        return sum(one.state is StreamState.WAITING for one in self.streams.values())

    @property
    def drained(self) -> set[ChildId]:
        return {worker.name for worker in self.workers.values() if worker.is_drained}

    @property
    def overloaded(self) -> set[ChildId]:
        return {worker.name for worker in self.workers.values() if worker.is_overloaded}

    # ---- looking for room -------------------------------------------------------------------

    def need(self, stream: Stream) -> Need:
        """The room that a stream needs under a new generation."""
        return Need(
            Generation(self._last_generation + 1),
            stream.stream_id,
            stream.policy(),
            stream.cost(),
            is_reservation=stream.format is None,
            worker=stream.dedicated_worker,
            codecs=codecs_of(stream.template),
        )

    def excluded(self, stream: Stream) -> dict[ChildId, str]:
        """The devices that this stream may not be placed on, and why."""
        if stream.dedicated_worker is not None:
            return {name: "" for name in self.fleet.devices if name != stream.dedicated_worker}
        return {n: why for n, d in self.fleet.devices.items() if (why := why_not_on(stream, d))}

    def has_device_left(self, stream: Stream) -> bool:
        """Whether one may serve it, now or later: it has not refused to, whatever else keeps it."""
        return any(
            device.pipeline in stream.policy()
            and (
                device.reserved_for in (None, stream.stream_id)
                or device.name == stream.dedicated_worker
            )
            and stream.dedicated_worker in (None, device.name)
            and not (stream.unfit.why_device(device.name) or why_unable(stream, device))
            for device in self.fleet.devices.values()
        )

    def find_room(self, stream: Stream, fleet: Fleet | None = None) -> Room | NoRoom:
        """Room on a real device, what the stream has now counted as free."""
        fleet = fleet or self.fleet
        need = replace(self.need(stream), policy=stream.transcoding_policy())
        if stream.generation in fleet.allocations:
            return move(fleet, stream.generation, need, self.excluded(stream))
        return place(fleet, need, self.excluded(stream))

    def own_room(self, stream: Stream) -> Room:
        """What it has already, under a new generation, whatever its device takes otherwise."""
        return stay(self.fleet, stream.generation, self.need(stream))

    def no_device(self, stream: Stream, reason: str) -> Room:
        """Passed through, which takes no room."""
        need = replace(self.need(stream), policy=(Pipeline.PASSTHROUGH,))
        fleet, allocation = _found(move(self.fleet, stream.generation, need))
        return Room(fleet, replace(allocation, reason=reason))

    # ---- placing ----------------------------------------------------------------------------

    def put(
        self,
        stream: Stream,
        room: Room,
        now: float,
        degradation: DegradationLevel = DegradationLevel.FULL,
        overloaded_worker: ChildId | None = None,
    ) -> None:
        """Give a stream this room from now on."""
        allocation = room.allocation
        before = self.device_of(stream)
        if not stream.place(allocation, now, degradation, overloaded_worker):
            return
        own = stream.dedicated_worker
        if own is not None and allocation.device == own != before:
            self.quarantine.begin(stream.stream_id, now)
        self.fleet = room.fleet
        self.to_move.discard(stream.stream_id)
        self.see_generation(allocation.generation)
        self.streams[stream.stream_id] = stream
        self.summaries.place(allocation, now)
        where = allocation.device or "no device"
        self.note(stream.stream_id, f"placed on {where}: {stream.reason}", now)

    def estimate(self, stream: Stream) -> None:
        """Book what the source is likely to cost, if that fits; its real size is yet to come."""
        result = correct(self.fleet, stream.generation, stream.cost(), is_reservation=True)
        if not isinstance(result, NoRoom):
            self.fleet = result.fleet

    def correct(self, stream: Stream) -> bool:
        """Book what the source really costs; False when that does not fit.

        What is not known yet gives way to it.
        """
        cost = stream.cost_here()
        result = correct(self.fleet, stream.generation, cost)
        if isinstance(result, NoRoom):
            result = correct(self.fleet.without_reservations(), stream.generation, cost)
        if isinstance(result, NoRoom) or not stream.fit():
            return False
        self.fleet = result.fleet
        if result.allocation.device is not None:
            stream.admit(cost)
        return True

    def stay(self, stream: Stream) -> None:
        """Book what the source costs by now, where the stream is, though there is no room."""
        need = replace(self.need(stream), generation=stream.generation, cost=stream.cost_here())
        self.fleet, _ = stay(self.fleet, stream.generation, need)

    def wait_anew(self, stream: Stream, reason: str, now: float) -> None:
        """Let a stream wait, under a new generation, for its device or for room elsewhere."""
        need = self.need(stream)
        before = stream.generation
        if not stream.wait_anew(need.generation, reason, now):
            return
        self.see_generation(need.generation)
        if before in self.fleet.allocations:
            self.fleet, _ = stay(self.fleet, before, need)

    def close(self, stream: Stream, reason: str = "the farm ended it") -> None:
        """End a stream and free its room; `reason` is for where its ingest gives none."""
        if self.streams.get(stream.stream_id) is not stream:
            return
        stream.end()
        del self.streams[stream.stream_id]
        self.summaries.close(stream.stream_id, reason)
        self.quarantine.take_worker(stream.stream_id)
        self.to_move.discard(stream.stream_id)
        self.give_up_room(stream)

    def give_up_room(self, stream: Stream) -> None:
        """Free the room that a stream has."""
        if stream.generation in self.fleet.allocations:
            self.fleet = release(self.fleet, stream.generation)

    def announce(
        self,
        stream: Stream,
        request_id: int = 0,
        *,
        resume_after_ms: int | None = None,
        splice_ms: int | None = None,
        resume_time: ResumeTime | None = None,
    ) -> Send:
        """Tell its ingest where the stream is now, which announces its renditions."""
        worker = None if stream.is_between_workers else self.device_of(stream)
        renditions = stream.renditions() if worker is not None else ()
        stream.announce(renditions)
        message = Placement(
            request_id,
            stream.stream_id,
            stream.generation,
            stream.template,
            worker,
            renditions,
            stream.reason,
            resume_after_ms,
            splice_ms,
            resume_time,
        )
        return Send(stream.ingest, message)

    # ---- what runs already ------------------------------------------------------------------

    def adopt(self, ingest: ChildId, status: PublisherStatus, now: float) -> None:
        """A stream that runs already, from its ingest's hello; its room is taken as it is."""
        app, _ = split_stream_id(status.stream_id)
        template = self.settings.template_of(status.stream_id, status.overrides)
        template = template or Template(app, ())
        self.see_generation(status.generation)
        stream = Stream.adopted(status, template, ingest, now)
        known = self.fleet.devices.get(status.worker) if status.worker is not None else None
        pipeline = Pipeline.PASSTHROUGH if status.worker is None else Pipeline.SOFTWARE
        if known is not None:
            pipeline = known.pipeline
        allocation = Allocation(
            status.generation,
            status.stream_id,
            status.worker,
            pipeline,
            known.amounts(stream.cost()) if known else amounts(stream.cost(), pipeline),
            "adopted",
            is_reservation=status.format is None,
        )
        self.fleet = self.fleet.with_allocation(allocation)
        stream.admit(stream.cost())
        self.streams[stream.stream_id] = stream
        self.summaries.place(allocation, now)

    def update_publisher(self, ingest: ChildId, status: PublisherStatus, now: float) -> None:
        """Take over an ingest's report of a stream, if that is its."""
        stream = self.streams.get(status.stream_id)
        if stream is not None and stream.ingest == ingest:
            stream.report_publisher(status, now)

    def update_transcode(self, worker: ChildId, status: TranscodeStatus, now: float) -> None:
        """Take over a worker's report of a stream, if that is placed on it."""
        stream = self.streams.get(status.stream_id)
        if stream is not None and self.device_of(stream) == worker:
            stream.report_transcode(status, now)

    def update_served(self, egress: ChildId, status: ServedStatus) -> None:
        """Take over an egress's report of a stream."""
        stream = self.streams.get(status.stream_id)
        if stream is not None:
            stream.report_served(egress, status)


def next_generation(state: FarmState) -> Generation:
    """Return a new generation, for what is placed on no device here."""
    generation = Generation(state._last_generation + 1)
    state.see_generation(generation)
    return generation


def serving(state: FarmState) -> set[ChildId]:
    """Return the children that send renditions to viewers, whatever their kind."""
    return {child for child in state.children if has_viewers(child.kind)}


def admitting(state: FarmState) -> set[ChildId]:
    """Return the children that let publishers or viewers in."""
    return {child for child in state.children if admits(child.kind)}


def _found(result: Room | NoRoom) -> Room:
    assert not isinstance(result, NoRoom)
    return result
