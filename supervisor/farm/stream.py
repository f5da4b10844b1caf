"""One stream as the supervisor knows it. Pure state; the roster has them all."""

import math
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction

from common.config.ladder import Pipeline, SourceFormat, Template, fit_ladder
from common.ipc.control_messages import PublisherStatus, ServedStatus, TranscodeStatus
from common.ipc.identity import ChildId, Generation, StreamId, split_stream_id
from common.process.log import RateLimit
from supervisor.farm.overload import DegradationLevel
from supervisor.placement.cost import StreamCost, stream_cost

NO_INGEST = ChildId("")  # of a stream whose ingest is gone


class StreamState(StrEnum):
    RESERVED = "reserved"  # has room; its source is not known yet
    LIVE = "live"
    SWITCHING = "switching"  # its worker is lost; asking egress how far it came
    WAITING = "waiting"  # its worker is lost and no other has room: source only
    SOURCE_ONLY = "source only"  # by policy, or because no device can serve it


_TINY = 1e-6  # of a unit: sums of parts
Coding = tuple[str, int, int, Fraction]  # codec, width, height, SAR: what devices may not take


@dataclass(slots=True)
class Stream:
    """One stream from its reservation to its end."""

    stream_id: StreamId
    template: Template
    generation: Generation
    ingest: ChildId
    address: str
    state: StreamState
    placed_s: float
    reason: str
    format: SourceFormat | None = None
    admitted: StreamCost | None = None  # the most that room was found for
    is_live: bool = True  # False: held, its publisher is away
    away_s: float = 0.0  # since when, if it is
    crashes: int = 0  # of workers with this stream aboard
    codec: str = ""  # RFC 6381; "": not told
    # What could not serve it as it is coded, and why: devices; workers, until they end.
    unfit_devices: dict[str, str] = field(default_factory=dict)
    _unfit_for: Coding | None = None
    # Opening and closing sessions holds up all streams of a device: a publisher that changes back
    # and forth must not have them try for ever.
    _forgotten: RateLimit = field(default_factory=lambda: RateLimit(burst=5, interval_s=60.0))
    dedicated_worker: ChildId | None = None  # where it is alone, and nowhere else
    level: DegradationLevel = DegradationLevel.FULL  # what an overload takes from it
    lost_renditions: frozenset[str] = frozenset()  # that its worker fails to make
    announced: tuple[str, ...] | None = (
        None  # renditions; None: an earlier supervisor did, or nobody
    )
    overloaded: ChildId | None = None  # the device that it was taken off by that
    ingest_lost_until_s: float = math.inf  # its ingest is gone; forgotten then
    resume_after_ms: int | None = None  # while WAITING
    moving_until_s: float = 0.0  # a move with a cut is under way up to then
    publisher: PublisherStatus | None = None
    last_transcode: TranscodeStatus | None = None  # of whatever placement
    served: dict[ChildId, ServedStatus] = field(default_factory=dict)
    fps_in: float = 0.0  # units that its worker took, over the last heartbeats
    counted_s: float = 0.0  # when fps_in was last counted …
    counted_in: int = 0  # … and at how many

    @property
    def app(self) -> str:
        return split_stream_id(self.stream_id)[0]

    @property
    def transcode(self) -> TranscodeStatus | None:
        """What its worker makes of it; None: none does, or has not said so yet."""
        last = self.last_transcode
        if last is None or last.generation != self.generation:
            return None
        # Without an ingest its session has ended: what that said last holds no more.
        is_made = self.state is StreamState.LIVE and self.ingest != NO_INGEST
        return last if is_made else None

    def cost(self) -> StreamCost:
        """What a new session of it costs."""
        return stream_cost(self.template, self.format)

    def cost_here(self) -> StreamCost:
        """What its session costs, which keeps its renditions whatever the source becomes."""
        transcode = self.transcode
        if transcode is None or not transcode.renditions:
            return self.cost()
        made = {fitted.name: (fitted.width, fitted.height) for fitted in transcode.renditions}
        return stream_cost(self.template, self.format, made)

    def admit(self, cost: StreamCost) -> None:
        """Room was found for so much."""
        if self.format is not None and not self.is_admitted(cost):
            self.admitted = cost

    def is_admitted(self, cost: StreamCost) -> bool:
        """Whether there was room for as much before."""
        most = self.admitted
        return most is not None and (
            cost.total <= most.total + _TINY and cost.source_bytes <= most.source_bytes
        )

    def wait(self, reason: str) -> None:
        """For room, as long as there is none; its source alone is served meanwhile."""
        self.state = StreamState.WAITING
        self.reason = f"source only, waits for room: {reason}"

    def why_unfit(self, worker: ChildId) -> str:
        """Why it may not be placed there; "": it may."""
        return self.unfit_devices.get(str(worker), "") or self.why_refused(worker)

    def why_refused(self, worker: ChildId) -> str:
        """Why its device, whatever worker it has, cannot serve the stream as it is coded."""
        return self.unfit_devices.get(worker.device_name, "")

    def format_known(self, source: SourceFormat, codec: str, now: float) -> bool:
        """How it is coded; whether that frees devices that could not serve what it was."""
        self.format, self.codec = source, codec
        coding = (codec, source.width, source.height, source.sar)
        is_other = coding != self._unfit_for
        if not is_other or (self.unfit_devices and self._forgotten.allow(now) is None):
            return False
        self._unfit_for = coding
        had_unfit = bool(self.unfit_devices)
        self.unfit_devices.clear()
        return had_unfit

    def renditions(self) -> tuple[str, ...]:
        """The transcoded renditions to expect."""
        made = self._ladder()[self.level is DegradationLevel.NO_TOP_RENDITION :]
        return tuple(name for name in made if name not in self.lost_renditions)

    def _ladder(self) -> tuple[str, ...]:
        transcode = self.transcode
        if transcode is not None and transcode.renditions:
            # As its session was opened: that makes no others when the source changes its size.
            return tuple(rendition.name for rendition in transcode.renditions)
        if self.format is None:
            return tuple(rendition.name for rendition in self.template.renditions)
        return tuple(fitted.name for fitted in fit_ladder(self.template, self.format).renditions)

    def policy(self) -> tuple[Pipeline, ...]:
        if self.dedicated_worker is not None:
            return (Pipeline.SOFTWARE,)
        return self.template.policy if self.template.renditions else (Pipeline.PASSTHROUGH,)
