"""What a session's decode thread does: units in, planned pictures out (IO: the device).

It decodes, hides what is damaged, asks the timer which renditions take a picture and as what,
scales, and hands over; and while the publisher is away it makes the pictures that stand in. It has
no thread and no lock: the session calls it in its decode thread, one call at a time, and is asked
through `PipelineCallbacks` for what other threads share.

Device trouble that ends one stream is told by `PipelineCallbacks.end`; DeviceLost and bugs are
raised.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from common.codecs.h264 import AvcConfig
from common.errors import AvcError, DecodeFailed
from common.process.log import RateLimit
from common.process.stage_times import StageTimes
from worker.devices.backend import SURFACE_BACKLOG, Decoder, Picture, Scaler
from worker.frames.captions import caption_data
from worker.frames.damage import DamageGate
from worker.frames.freeze_frame import FreezeFrames
from worker.frames.in_flight import UnitFacts, UnitsUnderWay
from worker.frames.late_frames import Lateness
from worker.frames.picture_silence import PictureSilence
from worker.frames.timing import FrameTimer, Plan, Verdict
from worker.session.events import Ended, RenditionBegan
from worker.session.inline_encoding import DEFAULT_INTERVAL_S, Cost, share_for, stay
from worker.session.input_queue import Pause, Unit
from worker.session.rendition_encoder import EncodeJob, RenditionEncoder
from worker.session.resources import SessionResources
from worker.session.source_record import read_record

log = logging.getLogger("tfarm.worker.session.decode_stage")

# Of a stream that nobody plays, whose units come in bundles (0.2 s of them).
_UNWATCHED_QUEUE_MS = 450
# The shallowest backlog at which a rendition leaves pictures out: one place is left for a keyframe.
_SKIP_BACKLOG = SURFACE_BACKLOG - 1


@dataclass(slots=True)
class DecodeCounts:
    """Written by the decode thread, read by the loop."""

    frames_out: int = 0
    decode_errors: int = 0
    skipped_units: int = 0  # not decoded: what they refer to was lost
    hidden: int = 0  # decoded, not shown
    skipped: list[int] = field(default_factory=list)  # by rendition: left out because it was behind
    progress_s: float = 0.0


@dataclass(frozen=True, slots=True)
class PipelineCallbacks:
    """What decoding asks of its session, from the decode thread."""

    is_running: Callable[[], bool]
    queued_ms: Callable[[], int]
    degraded: Callable[
        [], tuple[int, int]
    ]  # divisor of the top rendition's rate, renditions dropped
    hand_over: Callable[[RenditionEncoder, EncodeJob, bool], None]
    began: Callable[[RenditionBegan], None]
    end: Callable[[Ended], None]
    is_watched: Callable[[], bool]
    is_saturated: Callable[[], bool]
    clock: Callable[[], float]
    cpu_clock: Callable[[], float]


class DecodeStage:
    """One session's decoder and scaler at work, from the session's opening to its end."""

    def __init__(
        self,
        equipment: SessionResources,
        config: AvcConfig,
        timer: FrameTimer,
        links: PipelineCallbacks,
        counts: DecodeCounts,
        stages: StageTimes,
        *,
        most_samples: int,
        queue_ms: int,
        label: str,
    ) -> None:
        """For open equipment; `most_samples` is what a picture of the source may have."""
        assert equipment.decoder is not None
        assert equipment.scaler is not None
        self._decoder: Decoder = equipment.decoder
        self._scaler: Scaler = equipment.scaler
        self._runs = equipment.runs
        self._config = config
        self._timer = timer
        self._links = links
        self._clock = links.clock
        self._can_encode_inline = equipment.can_encode_inline
        self._groups_small_encoders = equipment.groups_small_encoders
        self._cost = Cost()  # of decoding a picture
        self._counts = counts
        self._stages = stages
        self._most_samples = most_samples
        self._label = label
        self.lateness = Lateness(queue_ms)
        self._gate = DamageGate()
        self._silence = PictureSilence()
        self._under_way = UnitsUnderWay()
        self._last: Picture | None = None  # of the decoder's last call, if that gave one
        self._freeze: FreezeFrames | None = None  # while the publisher is away
        self._frozen_picture: Picture | None = None
        self._may_go_on = False  # the publisher is only silent
        self._degraded = (1, 0)  # as applied
        self._complaints = RateLimit(burst=3, interval_s=10.0)
        self._changes = RateLimit(burst=3, interval_s=10.0)  # of the source

    def opened(self, now_s: float) -> None:
        """The session runs from now on."""
        self.lateness.opened_s = now_s

    def decode(self, unit: Unit) -> None:
        """Decode one access unit, unless it is not worth it, and give on what comes out."""
        if self._freeze is not None:
            self._freeze = self._frozen_picture = None
            if not self._may_go_on:
                # the publisher's first picture does not look like the one that stood in for it
                self._timer.grid.force_next()
        header, now_s = unit.header, self._clock()
        pts_ms = header.dts_ms + header.composition_ms
        if not header.replay:
            self._stages.add("transit", unit.put_s - header.received_s)
            self._stages.add("queue", now_s - unit.put_s)
        if unit.follows_gap:
            self._gate.unit_lost(pts_ms)
        if not self._gate.wants(pts_ms, header.is_key):
            self._counts.skipped_units += 1
            self._counts.progress_s = now_s
            return
        if header.is_key:
            self._gate.keyframe_in(pts_ms)
        captions = caption_data(unit.data, self._config.nal_length_size)
        self._under_way.put(pts_ms, UnitFacts(header.received_s, header.replay, captions))
        began_cpu_s = self._links.cpu_clock()
        try:
            pictures = self._decoder.decode(unit.data, header.dts_ms, pts_ms)
        except DecodeFailed as error:
            self._counts.decode_errors += 1
            self._gate.unit_lost(pts_ms)
            failed_s = self._counts.progress_s = self._clock()
            self._silence.error(failed_s)
            self._complain("unit not decoded", str(error))
            return
        self._stages.add("decode", self._clock() - now_s)
        self._cost.add(self._links.cpu_clock() - began_cpu_s)
        self._silence.decoded(len(pictures), now_s)
        if self._silence.is_too_long(now_s):
            reason = f"{self._silence.units} units decoded without a picture"
            self._links.end(Ended(reason, trouble=True))
        self._last = None
        for picture in pictures:
            self._take(picture)

    def flush(self) -> None:
        """Give on the pictures that are still in the decoder."""
        for picture in self._decoder.flush():
            self._take(picture)

    def splice(self, splice_ms: int) -> None:
        """Pictures from `splice_ms` on are another generation's."""
        self._timer.window.until_ms = splice_ms

    def reconfigure(self, record: bytes) -> bool:
        """New parameter sets from the next unit on, if they can be read; whether they hold."""
        try:
            config, sps = read_record(record)
        except (AvcError, DecodeFailed) as error:
            self._counts.decode_errors += 1
            self._complain("parameter sets ignored", str(error))
            return False
        if sps.width * sps.height > self._most_samples:
            # other streams live off the room that was reserved
            reason = f"source grew to {sps.width}x{sps.height}, beyond what was reserved for it"
            self._links.end(Ended(reason, trouble=True))
            return False
        try:
            pictures = self._decoder.reconfigure(config, sps)
        except DecodeFailed as error:
            self._links.end(Ended(str(error), trouble=True))
            return False
        for picture in pictures:
            self._take(picture)
        self._config = config
        self._timer.new_source(sps.fps)
        if (held := self._changes.allow(self._clock())) is not None:
            size = f"{sps.width}x{sps.height}"
            log.info("source changed stream=%s size=%s held_back=%d", self._label, size, held)
        return True

    # ---- one picture --------------------------------------------------------------------------

    def _take(self, picture: Picture) -> None:
        """Plan one picture and give it to its renditions."""
        if not self._links.is_running():
            return
        pts_ms = picture.pts_ms
        self._last = picture
        facts = self._under_way.take(pts_ms)
        self._counts.frames_out += 1
        self._counts.progress_s = self._clock()
        if picture.is_damaged:
            self._counts.decode_errors += 1
            self._complain("picture damaged", "")
        degraded = self._links.degraded()
        if self._degraded != degraded:
            self._apply_degraded(*degraded)
        if self._gate.shows(pts_ms, picture.is_damaged):
            plan = self._timer.plan(pts_ms)
        else:
            self._counts.hidden += 1
            plan = Plan(self._timer.window.judge(pts_ms))
        match plan.verdict:
            case Verdict.ENCODE:
                for run in self._runs:
                    if not run.is_paused:
                        run.captions.add(facts.captions)
                self._give(picture, plan, facts)
            case Verdict.PAST_END:
                self._links.end(Ended("moved", trouble=False))
            case Verdict.SKIP:
                pass

    def _give(self, picture: Picture, plan: Plan, facts: UnitFacts) -> None:
        """Scale a picture for the renditions of its plan that want it, and hand it over to them."""
        wanted = self._wanted(plan, facts, picture.pts_ms)
        if not wanted:
            return
        try:
            surfaces = self._scaler.scale(picture, wanted)
        except DecodeFailed as error:
            self._counts.decode_errors += 1
            self._complain("picture not scaled", str(error))
            if plan.is_key:
                self._timer.grid.force_next()
            return
        given_s = self._clock()
        inline = self._inline(wanted, facts)
        # First those with threads of their own, small renditions first: they are done while the
        # large one is still at it. Those that stay are encoded one after the other: the large one
        # first, so that all are done after about the same time.
        order = list(zip(wanted, surfaces, inline, strict=True))
        order.sort(key=lambda entry: entry[0] if entry[2] else -1 - entry[0])
        for index, surface, is_inline in order:
            run = self._runs[index]
            fps = None
            if plan.is_key:
                fps = run.better_rate(self._timer.rate(index), picture.pts_ms)
            sei = run.captions.take()
            work = EncodeJob(
                surface, plan.is_key, sei, facts.received_s, facts.is_replay, given_s, fps
            )
            self._links.hand_over(run, work, is_inline)

    def _inline(self, wanted: list[int], facts: UnitFacts) -> list[bool]:
        """Which of these renditions this thread encodes itself; none while it has to catch up."""
        if not self._can_encode_inline or facts.is_replay:
            return [False] * len(wanted)
        queued_ms = self._links.queued_ms()
        is_watched = self._links.is_watched()
        if queued_ms and (queued_ms > _UNWATCHED_QUEUE_MS or is_watched):
            return [False] * len(wanted)
        costs = [self._runs[index].cost.seconds for index in wanted]
        fps = self._timer.source_fps
        interval_s = 1 / fps if fps else DEFAULT_INTERVAL_S
        is_saturated = self._links.is_saturated()
        share = share_for(
            is_watched=is_watched,
            is_saturated=is_saturated,
            groups_small_encoders=self._groups_small_encoders,
        )
        return stay(costs, self._cost.seconds, interval_s, share)

    def _wanted(self, plan: Plan, facts: UnitFacts, pts_ms: int) -> list[int]:
        is_late = (
            not plan.is_key
            and facts.received_s > 0
            and self.lateness.is_late(facts.received_s, self._clock(), self._links.queued_ms)
        )
        wanted = []
        for index in plan.renditions:
            run = self._runs[index]
            is_out = run.is_out(pts_ms, is_key=plan.is_key)
            if is_out or run.is_paused or (run.needs_key and not plan.is_key):
                continue
            run.needs_key = False
            if is_late and run.waiting >= _SKIP_BACKLOG:
                self._counts.skipped[index] += 1
            else:
                wanted.append(index)
        return wanted

    def _apply_degraded(self, divisor: int, dropped: int) -> None:
        self._degraded = (divisor, dropped)
        self._timer.divide(0, divisor)
        for run in self._runs:
            is_paused = run.index < dropped
            if run.is_paused and not is_paused:
                # egress has forgotten it
                self._links.began(run.began())
                run.needs_key = True
            run.is_paused = is_paused
        log.warning(
            "stream degraded stream=%s top_rate_divisor=%d dropped_renditions=%d",
            self._label,
            divisor,
            dropped,
        )

    # ---- while the publisher is away ----------------------------------------------------------

    def pause(self, order: Pause) -> FreezeFrames | None:
        """The publisher is away: what to call `repeat_picture` with, if there is a picture.

        One that may go on finds the decoder as it left it; what it sends of the time that has been
        filled is decoded and not shown.
        """
        picture = self._frozen_picture
        # what stands in tells nothing of the source's rate
        fps = self._freeze.fps if self._freeze is not None else self._timer.source_fps
        self._may_go_on = order.may_go_on
        try:
            if self._last is not None:
                picture = self._last.kept()
            for late in () if order.may_go_on else self._decoder.flush():
                self._take(late)
                picture = late.kept()
        except DecodeFailed as error:
            self._complain("picture not kept", str(error))
        self._last = None
        if picture is None:
            return None
        self._frozen_picture = picture
        self._freeze = FreezeFrames(order.reference_ms, order.reference_s, self._timer.last_ms, fps)
        level = logging.DEBUG if order.may_go_on else logging.INFO
        log.log(level, "publisher away stream=%s: its last picture stands in", self._label)
        return self._freeze

    def repeat_picture(self, filler: FreezeFrames, *, is_backed_up: bool) -> float | None:
        """Make the picture that is due; in how many seconds to come again, None: not any more."""
        picture = self._frozen_picture
        if filler is not self._freeze or picture is None:
            return None
        now_s = self._clock()
        pts_ms = filler.take(now_s)
        if pts_ms is not None and not is_backed_up:
            plan = self._timer.repeat_picture(pts_ms)
            if plan.verdict is Verdict.ENCODE:
                self._give(picture.at(pts_ms), plan, UnitFacts(now_s, False, b""))
            elif plan.verdict is Verdict.PAST_END:
                self._links.end(Ended("moved", trouble=False))
        now_s = self._clock()
        return max(0.001, filler.due_at(now_s) - now_s)

    def _complain(self, event: str, reason: str) -> None:
        held = self._complaints.allow(self._clock())
        if held is not None:
            log.warning("%s stream=%s reason=%s like=%d", event, self._label, reason, held)
