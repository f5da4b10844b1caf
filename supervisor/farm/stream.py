"""One stream as the supervisor knows it: its state, its publisher, what is reported of it. Pure.

Only this module writes what a stream is; others call the methods below, each an event. Its state
goes on by the table of `stream_states.py`: what is not in that is logged with the state and the
event, and changes nothing. Whether its publisher is there is told apart, by its `presence`.
"""

import logging
import math
from dataclasses import dataclass, field, replace

from common.access.credentials import UNTOLD, Credentials
from common.config.ladder import Pipeline, SourceFormat, Template, fit_ladder
from common.ipc.identity import ChildId, Generation, StreamId, split_stream_id
from common.ipc.status_messages import PublisherStatus, ServedStatus, TranscodeStatus
from common.process.log import stream_label
from supervisor.farm.recovery.overload import DegradationLevel
from supervisor.farm.recovery.unfit_devices import UnfitDevices
from supervisor.farm.stream_states import (
    NEXT,
    Phase,
    Plain,
    SourceOnly,
    StreamEvent,
    StreamState,
    Switching,
    Waiting,
)
from supervisor.placement.cost import StreamCost, newcomer_cost, stream_cost
from supervisor.placement.fleet import Allocation

log = logging.getLogger("tfarm.supervisor.farm.stream")

NO_INGEST = ChildId("")  # of a stream whose ingest is gone
NO_GENERATION = Generation(0)  # of a stream that has no room yet
COUNT_S = 0.5  # the shortest time that a rate is taken over
_PASSTHROUGH = Pipeline.PASSTHROUGH
_TINY = 1e-6  # of a unit: sums of parts


@dataclass(frozen=True, slots=True)
class Present:
    """Its publisher is there."""

    ingest: ChildId


@dataclass(frozen=True, slots=True)
class Away:
    """Held: its ingest waits for its publisher."""

    ingest: ChildId
    since_s: float


@dataclass(frozen=True, slots=True)
class WithoutIngest:
    """Its ingest is gone; its room is kept for a while."""

    since_s: float  # that its publisher is away
    until_s: float  # it is forgotten then


Presence = Present | Away | WithoutIngest


@dataclass(slots=True)
class Stream:
    """One stream from its publish request to its end."""

    stream_id: StreamId
    template: Template
    presence: Presence
    address: str  # of its publisher
    placed_s: float
    generation: Generation = NO_GENERATION
    reason: str = ""  # why it is where it is
    phase: Phase = field(default=Plain(StreamState.REQUESTED))
    format: SourceFormat | None = None
    codec: str = ""  # RFC 6381; "": not known
    estimate: SourceFormat | None = None  # what its source is likely to be, until it is known
    admitted: StreamCost | None = None  # the most that room was found for
    crashes: int = 0  # of workers that had this stream
    dedicated_worker: ChildId | None = None  # where it is alone, and nowhere else
    degradation: DegradationLevel = DegradationLevel.FULL  # what an overload takes from it
    lost_renditions: frozenset[str] = frozenset()  # that its worker fails to make
    announced: tuple[str, ...] | None = None  # to it by its ingest; None: not by this supervisor
    settles_s: float = 0.0  # until then it cannot move (again)
    publisher: PublisherStatus | None = None
    last_transcode: TranscodeStatus | None = None  # of whatever placement
    served: dict[ChildId, ServedStatus] = field(default_factory=dict)
    fps_in: float = 0.0  # units that its worker took, over the last heartbeats
    _counted_s: float = 0.0  # when fps_in was last counted …
    _counted_in: int = 0  # … and at how many
    began_s: float = 0.0  # since when its source is what it is
    is_tried: bool = False  # its source was out of the usual, and did no harm
    unfit: UnfitDevices = field(default_factory=UnfitDevices)
    owner: Credentials = UNTOLD  # of its publisher, or of the last one

    @classmethod
    def adopted(
        cls, status: PublisherStatus, template: Template, ingest: ChildId, now: float
    ) -> "Stream":
        """A stream that an earlier supervisor placed, as its ingest's hello has it."""
        presence = Present(ingest) if status.is_live else Away(ingest, now)
        stream = cls(status.stream_id, template, presence, status.address, now)
        stream.generation, stream.reason = status.generation, "adopted"
        stream.publisher, stream.owner = status, status.owner
        if status.format is not None:
            stream.learn_format(status.format, status.codec, now)
            stream.began_s, stream.is_tried = -math.inf, True  # it ran before this supervisor
        stream.phase = _phase_of(status, is_passed_through=stream.policy()[0] is _PASSTHROUGH)
        return stream

    # ---- its state ------------------------------------------------------------------------------

    @property
    def state(self) -> StreamState:
        return self.phase.state

    @property
    def is_on_worker(self) -> bool:
        """True if a worker has it, or is about to."""
        return self.state in (StreamState.RESERVED, StreamState.LIVE)

    @property
    def is_between_workers(self) -> bool:
        return self.state in (StreamState.SWITCHING, StreamState.WAITING)

    @property
    def overloaded_worker(self) -> ChildId | None:
        """The worker that was behind, for which this one is passed through."""
        return self.phase.overloaded_worker if isinstance(self.phase, SourceOnly) else None

    def place(
        self,
        allocation: Allocation,
        now: float,
        degradation: DegradationLevel = DegradationLevel.FULL,
        overloaded_worker: ChildId | None = None,
    ) -> bool:
        """Give it this room from now on. False: not from its state, and nothing has changed."""
        if allocation.device is None:
            is_entered = self._enter(StreamEvent.PASSED_THROUGH, SourceOnly(overloaded_worker))
        elif self.format is None:
            is_entered = self._enter(StreamEvent.RESERVED, Plain(StreamState.RESERVED))
        else:
            is_entered = self._enter(StreamEvent.PLACED, Plain(StreamState.LIVE))
        if not is_entered:
            return False
        if allocation.device is not None:
            self.admit(self.cost())
        self.generation, self.placed_s = allocation.generation, now
        self.reason = allocation.reason
        self.degradation, self.lost_renditions = degradation, frozenset()
        return True

    def fit(self) -> bool:
        """Take its source as fitting where it is."""
        phase = self.phase if isinstance(self.phase, SourceOnly) else Plain(StreamState.LIVE)
        return self._enter(StreamEvent.FORMAT_FITS, phase)

    def lose_worker(self, switching: Switching) -> bool:
        """Begin to go on elsewhere, or anew where it is."""
        return self._enter(StreamEvent.WORKER_LOST, switching)

    def wait(self, reason: str = "", resume_after_ms: int | None = None) -> bool:
        """Wait for room; its source alone is served meanwhile."""
        phase = Waiting(resume_after_ms)
        if resume_after_ms is None and isinstance(self.phase, Waiting):
            phase = self.phase
        if not self._enter(StreamEvent.FOUND_NO_ROOM, phase):
            return False
        if reason:
            self.reason = f"source only, waits for room: {reason}"
        return True

    def wait_anew(self, generation: Generation, reason: str, now: float) -> bool:
        """Wait for room under a new generation."""
        if not self.wait(reason):
            return False
        self.generation, self.placed_s = generation, now
        return True

    def end(self) -> bool:
        return self._enter(StreamEvent.ENDED, Plain(StreamState.ENDED))

    def _enter(self, event: StreamEvent, phase: Phase) -> bool:
        """Go on to a phase, if the table says so."""
        if NEXT.get((self.state, event)) is not phase.state:
            log.error(
                "impossible event, ignored stream=%s state=%s what=%s",
                stream_label(self.stream_id),
                self.state.name,
                event.name,
            )
            return False
        self.phase = phase
        return True

    # ---- its publisher --------------------------------------------------------------------------

    @property
    def ingest(self) -> ChildId:
        """Where its publisher is, or is waited for; `NO_INGEST`: that is gone."""
        return NO_INGEST if isinstance(self.presence, WithoutIngest) else self.presence.ingest

    @property
    def is_live(self) -> bool:
        """False: held, its publisher is away."""
        return isinstance(self.presence, Present)

    @property
    def away_s(self) -> float:
        """Since when its publisher is away; 0: it is there."""
        return 0.0 if isinstance(self.presence, Present) else self.presence.since_s

    def arrive(self, ingest: ChildId, address: str, owner: Credentials) -> None:
        """Take its publisher as there (again)."""
        self.presence, self.address, self.owner = Present(ingest), address, owner

    def lose_ingest(self, now: float) -> None:
        """Hold it for as long as its template says: its ingest is gone, or has given it up."""
        since_s = now if self.is_live else self.away_s
        self.presence = WithoutIngest(since_s, now + self.template.hold_ms / 1000)

    def report_publisher(self, status: PublisherStatus, now: float) -> None:
        """Take over its ingest's report."""
        self.publisher, self.address, self.owner = status, status.address, status.owner
        if status.is_live:
            self.presence = Present(self.ingest)
        elif self.is_live:
            self.presence = Away(self.ingest, now)

    # ---- its source, and what it costs ----------------------------------------------------------

    @property
    def app(self) -> str:
        return split_stream_id(self.stream_id)[0]

    def learn_format(self, source: SourceFormat, codec: str, now: float) -> bool:
        """Take over how it is coded; True if that frees devices that could not serve it."""
        self.began_s = now if _is_other(self.format, source) else self.began_s
        self.format, self.codec = source, codec
        return self.unfit.on_coding(source, codec, now)

    def expect(self, likely: SourceFormat) -> None:
        """Note what its publisher, or its last attempt, says of its source."""
        self.estimate = likely

    def cost(self) -> StreamCost:
        """What a new session of it costs; before its source is known, what is booked for it."""
        likely = self.format or self.estimate
        return stream_cost(self.template, likely) if likely else newcomer_cost(self.template)

    def cost_here(self) -> StreamCost:
        """What its session costs, which keeps its renditions whatever the source becomes."""
        transcode = self.transcode
        if transcode is None or not transcode.renditions or self.format is None:
            return self.cost()
        made = {fitted.name: (fitted.width, fitted.height) for fitted in transcode.renditions}
        return stream_cost(self.template, self.format, made)

    def admit(self, cost: StreamCost) -> None:
        """Note that room was found for so much."""
        if self.format is not None and not self.is_admitted(cost):
            self.admitted = cost

    def is_admitted(self, cost: StreamCost) -> bool:
        """True if there was room for as much before."""
        most = self.admitted
        return most is not None and (
            cost.total <= most.total + _TINY
            and cost.source_bytes <= most.source_bytes
            and cost.decoder_bytes <= most.decoder_bytes
        )

    # ---- which workers may have it --------------------------------------------------------------

    def policy(self) -> tuple[Pipeline, ...]:
        if self.dedicated_worker is not None:
            return (Pipeline.SOFTWARE,)
        return self.template.policy if self.template.renditions else (Pipeline.PASSTHROUGH,)

    def transcoding_policy(self) -> tuple[Pipeline, ...]:
        """Its policy without passing it through."""
        return tuple(p for p in self.policy() if p is not Pipeline.PASSTHROUGH)

    def isolate_on(self, worker: ChildId) -> None:
        """Place it on this worker alone from now on."""
        self.dedicated_worker = worker

    def join_others(self) -> None:
        """Place it by its template's policy again."""
        self.dedicated_worker = None

    def count_crash(self) -> None:
        """Count a worker that died with it."""
        self.crashes += 1

    def clear_crashes(self, *, is_tried: bool = False) -> None:
        self.crashes, self.is_tried = 0, self.is_tried or is_tried

    def settle_until(self, until_s: float) -> None:
        """Keep it from moving before."""
        self.settles_s = until_s

    # ---- its renditions -------------------------------------------------------------------------

    @property
    def transcode(self) -> TranscodeStatus | None:
        """What its worker makes of it; None: none does, or has not reported yet."""
        last = self.last_transcode
        if last is None or last.generation != self.generation:
            return None
        # Without an ingest its session has ended: its last report holds no more.
        is_made = self.state is StreamState.LIVE and self.ingest != NO_INGEST
        return last if is_made else None

    def renditions(self) -> tuple[str, ...]:
        """The transcoded renditions to expect."""
        made = self._ladder()[self.degradation is DegradationLevel.NO_TOP_RENDITION :]
        return tuple(name for name in made if name not in self.lost_renditions)

    def _ladder(self) -> tuple[str, ...]:
        transcode = self.transcode
        if transcode is not None and transcode.renditions:
            # As its session was opened: that makes no others when the source changes its size.
            return tuple(rendition.name for rendition in transcode.renditions)
        if self.format is None:
            return tuple(rendition.name for rendition in self.template.renditions)
        return tuple(fitted.name for fitted in fit_ladder(self.template, self.format).renditions)

    def degrade(self, degradation: DegradationLevel, reason: str) -> None:
        """Take so much from it."""
        self.degradation, self.reason = degradation, reason

    def lose_renditions(self, lost: frozenset[str]) -> None:
        """Take these, and no others, as not made by its worker."""
        self.lost_renditions = lost

    def announce(self, renditions: tuple[str, ...]) -> None:
        """Note that its ingest is told of these."""
        self.announced = renditions

    def report_transcode(self, status: TranscodeStatus, now: float) -> None:
        """Take over its worker's report."""
        if self.generation != status.generation:
            return
        last = self.last_transcode
        is_new = last is None or last.generation != status.generation
        self.last_transcode = status
        elapsed_s = now - self._counted_s
        if is_new or status.frames_in < self._counted_in:
            self.fps_in = 0.0
        elif elapsed_s < COUNT_S:
            return
        else:
            self.fps_in = (status.frames_in - self._counted_in) / elapsed_s
        self._counted_s, self._counted_in = now, status.frames_in

    def report_served(self, egress: ChildId, status: ServedStatus) -> None:
        """Take over an egress's report."""
        self.served[egress] = status

    def forget_egress(self, egress: ChildId) -> None:
        self.served.pop(egress, None)


def _phase_of(status: PublisherStatus, *, is_passed_through: bool) -> Phase:
    """Where a stream that an earlier supervisor placed is in its life."""
    if status.worker is not None:
        is_known = status.format is not None
        return Plain(StreamState.LIVE if is_known else StreamState.RESERVED)
    return SourceOnly() if is_passed_through else Waiting()


def _is_other(before: SourceFormat | None, source: SourceFormat) -> bool:
    """Whether a source is coded in another way, whatever its rate."""
    if before is None:
        return True
    return replace(before, fps=None, passed=()) != replace(source, fps=None, passed=())
