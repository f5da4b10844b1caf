"""One stream and generation in a worker: decode once, scale and encode every rung (IO: threads).

Three kinds of threads meet here. The loop's thread puts units and orders in and is handed events;
the decode lane takes entries off the queue one at a time and plans each picture; each rung's lane
encodes it. A lock guards what they share: the queue, the state, the counts of pictures under way.
Opening and closing is done on the worker's one opener lane, so it is serialised.

The decode lane stops taking entries while a rung has `SURFACE_BACKLOG` pictures waiting, so what
waits is in the queue, which is bounded in ms and drops by keyframes. Before it comes to that: once
a picture is older than half the queue's bound, a rung that is behind leaves it out, unless it is a
keyframe or waited for the session's own opening. So a starved host shows fewer pictures instead of
none up to the source's next keyframe.

What goes wrong ends this session only, with `Ended(trouble=True)`, except for a lost device. What
hangs ends nothing here: `watch` finds it, and the status says so.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from functools import partial

from common.avc import AvcConfig, SpsInfo, parse_sps
from common.control_messages import RenditionStatus, TranscodeStatus
from common.errors import AvcError, DecodeFailed, DeviceLost, EncodeFailed
from common.identity import Generation, StreamId
from common.ladder import Ladder, LeftOut, Rung, SourceFormat, fit_ladder
from common.log import RateLimit, stream_label
from common.media_messages import AccessUnit, StreamStart
from common.stage_times import StageTimes
from worker.backend import SURFACE_BACKLOG, Backend, Decoder, Encoder, Picture, Scaler
from worker.captions import caption_data
from worker.damage import DamageGate
from worker.events import DeviceGone, Ended, Event
from worker.filler import Filler
from worker.lanes import Lane, Lanes
from worker.rung import RungAtWork, Work
from worker.stall import Stall
from worker.stream_queue import Cut, End, NewHeader, Pause, StreamQueue, Unit
from worker.throughput import Throughput
from worker.timing import FrameTimer, Plan, PtsWindow, Verdict, rung_rate

log = logging.getLogger("tfarm.worker.session")

_MAX_UNDER_WAY = 256  # units in the decoder whose facts are kept
# The shallowest backlog at which a rung leaves pictures out: one place is left for a keyframe.
_SKIP_BACKLOG = SURFACE_BACKLOG - 1
# Drivers take seconds to open and close sessions, and many may wait for their turn.
_OPENING_S = 10.0
# Units that a decoder takes without a picture or an error, and for how long, until it is given up:
# no reordering explains that.
_SILENT_UNITS = 64
_SILENT_S = 3.0


class SessionState(Enum):
    """OPENING → RUNNING → ENDING → CLOSED; from OPENING also straight to ENDING."""

    OPENING = "opening"
    RUNNING = "running"
    ENDING = "ending"  # nothing more is decoded; what the encoders hold is on its way out
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a session needs of its worker."""

    backend: Backend
    lanes: Lanes
    opener: Lane  # opens and closes, one thing at a time
    opening: threading.Lock  # for an encoder that is opened anew in its own lane
    post: Callable[["Session", Event], None]  # from any thread
    is_alone: Callable[[], bool]  # whether no other session could be slowed by a replay
    clock: Callable[[], float] = time.monotonic


@dataclass(frozen=True, slots=True)
class _UnitFacts:
    """What must be known of a unit when its picture comes out."""

    received_s: float
    is_replay: bool
    captions: bytes


_UNKNOWN = _UnitFacts(0.0, False, b"")


class Session:
    """Call `put`, `put_header`, `cut`, `end` and `status` from the loop's thread."""

    def __init__(
        self, start: StreamStart, record: bytes, around: Surroundings, queue_ms: int
    ) -> None:
        self.stream_id: StreamId = start.stream_id
        self.generation: Generation = start.generation
        self.label = stream_label(start.stream_id)
        self.ladder = Ladder(())
        self.output: list[Throughput] = []  # of the rungs; the loop's
        self.last_pts_ms: list[int | None] = []  # of the rungs; the loop's
        self.stages = StageTimes()
        self._start = start
        self._around = around
        self._clock = around.clock
        self._lock = threading.Lock()
        # a picture of this age is left out by rungs that are behind
        self._late_s = queue_ms / 2000
        self._nearly_full_ms = queue_ms * 3 // 4
        self._opened_s = 0.0
        self._stall = Stall()  # of the opening, of decoding, of the end; the loop's
        self._stalled_s = 0.0
        self._degraded = (1, 0)  # divisor of the top rung's rate, rungs dropped
        self._applied = self._degraded  # the decode lane's
        # guarded by the lock
        self._state = SessionState.OPENING
        self._queue = StreamQueue(queue_ms)
        self._steps = 0  # entries that the decode lane is done with
        self._is_scheduled = False
        self._winding_down = 0  # lanes that are not yet done
        self._end: Ended | None = None
        # the decode lane's, once open
        self._record = record
        self._config: AvcConfig
        self._decoder: Decoder | None = None
        self._scaler: Scaler | None = None
        self._timer: FrameTimer
        self._most_samples = 0  # that a picture of the source may have
        self._gate = DamageGate()
        self._last: Picture | None = None  # of the decoder's last call, if that gave one
        self._filler: Filler | None = None  # while the publisher is away
        self._filling_with: Picture | None = None
        self._facts: dict[int, _UnitFacts] = {}  # by PTS
        self._decode_lane: Lane | None = None
        self._lanes_taken: list[Lane] = []
        self._runs: list[RungAtWork] = []
        self._complaints = RateLimit(burst=3, interval_s=10.0)
        # counts; written by one thread each
        self._frames_in = 0
        self._frames_out = 0
        self._decode_errors = 0
        self._skipped_units = 0
        self._hidden = 0
        self._last_in_s = 0.0
        self._progress_s = 0.0
        self._skipped: list[int] = []  # pictures that rungs left out because they were behind
        self._silent_units = 0  # decoded since the last picture or error …
        self._heard_s = 0.0  # … and when that was
        around.opener.post(self._open)

    # ---- the loop's thread --------------------------------------------------------------------

    @property
    def state(self) -> SessionState:
        return self._state

    @property
    def last_in_s(self) -> float:
        return self._last_in_s

    def put(self, header: AccessUnit, data: bytes, now_s: float) -> None:
        """Queue an access unit, or drop it."""
        self._frames_in += 1
        self._last_in_s = now_s
        with self._lock:
            self._queue.put(header, data, now_s)
            self._schedule()

    def put_header(self, record: bytes) -> None:
        """New parameter sets from the next unit on."""
        with self._lock:
            self._queue.put_order(NewHeader(record))
            self._schedule()

    def cut(self, cut_ms: int) -> None:
        """Pictures from `cut_ms` on are another generation's; end when the first one comes."""
        with self._lock:
            self._queue.put_order(Cut(cut_ms))
            self._schedule()

    def pause(self, anchor_ms: int, anchor_s: float) -> None:
        """The publisher is away: repeat the last picture in stream time up to the next unit."""
        with self._lock:
            self._queue.put_order(Pause(anchor_ms, anchor_s))
            self._schedule()

    def end(self, reason: str) -> None:
        """Encode what is queued, then end."""
        with self._lock:
            self._queue.put_order(End(reason))
            self._schedule()

    def degrade(self, top_rate_divisor: int, dropped_rungs: int) -> None:
        """Make less of the next pictures, or all of them again."""
        self._degraded = (max(1, top_rate_divisor), max(0, dropped_rungs))

    def abandon(self, reason: str) -> None:
        """End at once, what is queued dropped."""
        self._wind_down(Ended(reason, trouble=False), flush=True)

    def status(self, now_s: float) -> TranscodeStatus:
        """What the supervisor is told."""
        renditions = []
        for index, rung in enumerate(self.ladder.rungs):
            output = self.output[index]
            fps, bitrate_bps = output.rates(now_s)
            renditions.append(
                RenditionStatus(
                    name=rung.name,
                    width=rung.width,
                    height=rung.height,
                    frames=output.frames,
                    bytes=output.bytes,
                    fps=round(fps, 2),
                    bitrate_bps=round(bitrate_bps),
                    dropped=self._skipped[index],
                    last_pts_ms=self.last_pts_ms[index],
                )
            )
        with self._lock:
            queue_ms, dropped = self._queue.span_ms, self._queue.dropped
        lost = [LeftOut(run.rung.name, run.lost) for run in self._runs if run.lost]
        return TranscodeStatus(
            stream_id=self.stream_id,
            generation=self.generation,
            frames_in=self._frames_in,
            frames_out=self._frames_out,
            queue_ms=float(queue_ms),
            decode_errors=self._decode_errors,
            renditions=tuple(renditions),
            left_out=(*self.ladder.left_out, *lost),
            dropped=dropped + self._skipped_units + self._hidden,
            last_in_s=self._last_in_s,
            last_out_s=self._progress_s,
            stages_ms=self.stages.told(now_s),
            stalled_s=round(self._stalled_s, 3),
            skipped=sum(self._skipped),
            top_rate_divisor=self._degraded[0],
            dropped_rungs=self._degraded[1],
        )

    def watch(self, awake_s: float) -> None:
        """Look whether anything gets done; `awake_s` is the time since the last look."""
        with self._lock:
            state, steps = self._state, self._steps
            lane = self._decode_lane
            is_decoding = self._is_scheduled or bool(len(self._queue) and not self._is_backed_up())
            encoding = [(run, run.waiting > 0, run.done) for run in self._runs]
            left = self._winding_down
        match state:
            case SessionState.RUNNING if lane is not None:
                stalled_s = self._stall.observe(is_decoding, steps, awake_s, lane.starved_s)
                for run, is_waiting, done in encoding:
                    seconds = run.stall.observe(is_waiting, done, awake_s, run.lane.starved_s)
                    stalled_s = max(stalled_s, seconds - _OPENING_S * run.is_opening)
            case SessionState.OPENING | SessionState.ENDING:
                opener = self._around.opener
                done = opener.done + 1_000_000 * left
                stalled_s = self._stall.observe(True, done, awake_s, opener.starved_s) - _OPENING_S
            case _:
                stalled_s = 0.0
        self._stalled_s = max(0.0, stalled_s)

    # ---- the opener lane ----------------------------------------------------------------------

    def _open(self) -> None:
        try:
            self._open_device()
        except (AvcError, DecodeFailed, EncodeFailed) as error:
            self._wind_down(Ended(str(error), trouble=True), flush=False)
        except (DeviceLost, MemoryError) as error:
            self._device_gone(error)
        except Exception as error:
            log.exception("opening failed stream=%s", self.label)
            self._wind_down(Ended(f"opening failed: {error}", trouble=True), flush=False)
        with self._lock:
            is_open = self._state is SessionState.OPENING
            if is_open:
                for run in self._runs:
                    self._around.post(self, run.began())
                self._state = SessionState.RUNNING
                self._opened_s = self._clock()
                self._schedule()
        if not is_open:
            # it failed, or `abandon` came meanwhile
            self._post_end()
            self._close()

    def _open_device(self) -> None:
        self._config, sps = _read_record(self._record)
        template = self._start.template
        ladder = fit_ladder(template, SourceFormat(sps.width, sps.height, sps.sar, sps.fps))
        if not ladder.rungs:
            raise EncodeFailed("the template has no rendition for this source")
        backend, lanes = self._around.backend, self._around.lanes
        with self._around.opening:
            self._decoder = backend.open_decoder(self._config, sps)
            self._scaler = backend.open_scaler(ladder, sps)
        self._decode_lane = lanes.for_decoding()
        self._lanes_taken.append(self._decode_lane)
        for index, rung in enumerate(ladder.rungs):
            lane = lanes.for_encoding(self._decode_lane)
            self._lanes_taken.append(lane)
            fps = rung_rate(sps.fps, rung.fps)
            opened = partial(self._open_encoder, rung, sps)
            self._runs.append(RungAtWork(index, rung, lane, fps, opened))
        window = PtsWindow(after_ms=self._start.resume_after_ms, from_ms=self._start.cut_ms)
        self._timer = FrameTimer(
            template.gop_ms, [rung.fps for rung in ladder.rungs], window, sps.fps
        )
        width, height, _ = template.max_source
        self._most_samples = max(width * height, sps.width * sps.height)
        self.output = [Throughput() for _ in ladder.rungs]
        self._skipped = [0] * len(ladder.rungs)
        self.last_pts_ms = [None for _ in ladder.rungs]
        self.ladder = ladder
        log.info(
            "session open stream=%s generation=%d source=%dx%d fps=%s rungs=%s",
            self.label,
            self.generation,
            sps.width,
            sps.height,
            sps.fps,
            ",".join(rung.name for rung in ladder.rungs),
        )

    def _open_encoder(self, rung: Rung, sps: SpsInfo, fps: Fraction) -> Encoder:
        with self._around.opening:
            return self._around.backend.open_encoder(rung, sps, fps)

    def _close(self) -> None:
        with self._around.opening:
            for part in (*self._runs, self._scaler, self._decoder):
                if part is not None:
                    self._close_part(part)
        for lane in self._lanes_taken:
            self._around.lanes.release(lane)
        self._lanes_taken = []
        self._runs = []
        self._decoder = self._scaler = self._decode_lane = None
        self._last = self._filler = self._filling_with = None
        self._facts.clear()
        with self._lock:
            self._state = SessionState.CLOSED

    def _close_part(self, part: Decoder | Scaler | RungAtWork) -> None:
        try:
            part.close()
        except Exception:
            log.exception("closing failed stream=%s", self.label)

    # ---- the decode lane ----------------------------------------------------------------------

    def _schedule(self) -> None:
        """With the lock held: have the next entry taken, if there is one and room for it."""
        if (
            self._state is SessionState.RUNNING
            and not self._is_scheduled
            and self._decode_lane is not None
            and len(self._queue)
            and not self._is_backed_up()
        ):
            self._is_scheduled = True
            self._decode_lane.post(self._step)

    def _is_backed_up(self) -> bool:
        return any(run.waiting >= SURFACE_BACKLOG for run in self._runs)

    def _step(self) -> None:
        with self._lock:
            entry = None
            if self._state is SessionState.RUNNING and not self._is_backed_up():
                entry = self._queue.take()
            if entry is None:
                self._is_scheduled = False
                return
        began_s = self._clock()
        pause_s = 0.0
        try:
            match entry:
                case Unit():
                    self._decode(entry)
                    if entry.header.replay and not self._around.is_alone():
                        # every other moment belongs to the streams that are already running
                        pause_s = self._clock() - began_s
                case NewHeader(record):
                    self._reconfigure(record)
                case Cut(cut_ms):
                    self._timer.window.until_ms = cut_ms
                case Pause(anchor_ms, anchor_s):
                    self._begin_filling(anchor_ms, anchor_s)
                case End(reason):
                    self._flush_decoder()
                    self._wind_down(Ended(reason, trouble=False), flush=True)
        except (DeviceLost, MemoryError) as error:
            self._device_gone(error)
        except Exception as error:
            log.exception("session failed stream=%s", self.label)
            self._wind_down(Ended(f"failed: {error}", trouble=True), flush=False)
        with self._lock:
            self._steps += 1
            self._is_scheduled = False
            if not pause_s:
                self._schedule()
            elif self._state is SessionState.RUNNING and self._decode_lane is not None:
                self._is_scheduled = True
                self._decode_lane.post_later(self._step, pause_s)

    def _decode(self, unit: Unit) -> None:
        if self._filler is not None:
            self._end_filling()
        header, now_s = unit.header, self._clock()
        pts_ms = header.dts_ms + header.composition_ms
        if not header.replay:
            self.stages.add("transit", unit.put_s - header.received_s)
            self.stages.add("queue", now_s - unit.put_s)
        if unit.follows_gap:
            self._gate.unit_lost(pts_ms)
        if not self._gate.wants(pts_ms, header.is_key):
            self._skipped_units += 1
            self._progress_s = now_s
            return
        if header.is_key:
            self._gate.keyframe_in(pts_ms)
        if len(self._facts) >= _MAX_UNDER_WAY:
            del self._facts[next(iter(self._facts))]
        self._facts[pts_ms] = _UnitFacts(
            header.received_s,
            header.replay,
            caption_data(unit.data, self._config.nal_length_size),
        )
        assert self._decoder is not None
        try:
            pictures = self._decoder.decode(unit.data, header.dts_ms, pts_ms)
        except DecodeFailed as error:
            self._decode_errors += 1
            self._gate.unit_lost(pts_ms)
            self._progress_s = self._heard_s = self._clock()
            self._silent_units = 0
            self._complain("unit not decoded", str(error))
            return
        self.stages.add("decode", self._clock() - now_s)
        if pictures or not self._silent_units:
            self._heard_s = now_s
        self._silent_units = 0 if pictures else self._silent_units + 1
        if self._silent_units >= _SILENT_UNITS and now_s - self._heard_s >= _SILENT_S:
            reason = f"{self._silent_units} units decoded without a picture"
            self._wind_down(Ended(reason, trouble=True), flush=True)
        self._last = None
        for picture in pictures:
            self._take(picture)

    def _take(self, picture: Picture) -> None:
        """Plan one picture and give it to its rungs."""
        with self._lock:
            if self._state is not SessionState.RUNNING:
                return
        pts_ms = picture.pts_ms
        self._last = picture
        facts = self._facts.pop(pts_ms, _UNKNOWN)
        self._frames_out += 1
        self._progress_s = self._clock()
        if picture.is_damaged:
            self._decode_errors += 1
            self._complain("picture damaged", "")
        if self._applied != self._degraded:
            self._apply_degraded()
        if self._gate.shows(pts_ms, picture.is_damaged):
            plan = self._timer.plan(pts_ms)
        else:
            self._hidden += 1
            plan = Plan(self._timer.window.judge(pts_ms))
        match plan.verdict:
            case Verdict.ENCODE:
                for run in self._runs:
                    if not run.is_paused:
                        run.captions.add(facts.captions)
                self._give(picture, plan, facts)
            case Verdict.PAST_END:
                self._wind_down(Ended("moved", trouble=False), flush=True)
            case Verdict.SKIP:
                pass

    def _give(self, picture: Picture, plan: Plan, facts: _UnitFacts) -> None:
        is_late = not plan.is_key and facts.received_s > 0 and self._is_late(facts.received_s)
        wanted = []
        for index in plan.rungs:
            run = self._runs[index]
            if run.lost or run.is_paused or (run.needs_key and not plan.is_key):
                continue
            run.needs_key = False
            if is_late and run.waiting >= _SKIP_BACKLOG:
                self._skipped[index] += 1
            else:
                wanted.append(index)
        if not wanted:
            return
        assert self._scaler is not None
        try:
            surfaces = self._scaler.scale(picture, wanted)
        except DecodeFailed as error:
            self._decode_errors += 1
            self._complain("picture not scaled", str(error))
            if plan.is_key:
                self._timer.grid.force_next()
            return
        given_s = self._clock()
        # Small rungs first: they are done while the large one is still at it.
        for index, surface in reversed(list(zip(wanted, surfaces, strict=True))):
            run = self._runs[index]
            fps = None
            if plan.is_key:
                fps = run.better_rate(self._timer.rate(index), picture.pts_ms)
            sei = run.captions.take()
            work = Work(surface, plan.is_key, sei, facts.received_s, facts.is_replay, given_s, fps)
            with self._lock:
                run.waiting += 1
            run.lane.post(partial(self._encode, run, work))

    def _is_late(self, received_s: float) -> bool:
        """Whether a rung that is behind leaves out a picture that was received then.

        What waited for the opening is caught up with, unless the queue would overflow.
        """
        now_s = self._clock()
        if now_s - received_s <= self._late_s:
            return False
        if now_s - self._opened_s > self._late_s:
            return True
        with self._lock:
            return self._queue.span_ms > self._nearly_full_ms

    # ---- the decode lane, while the publisher is away -----------------------------------------

    def _begin_filling(self, anchor_ms: int, anchor_s: float) -> None:
        """Stand in for the publisher with the last picture, if there is one."""
        picture = self._filling_with
        try:
            if self._last is not None:
                picture = self._last.kept()
            assert self._decoder is not None
            for late in self._decoder.flush():
                self._take(late)
                picture = late.kept()
        except DecodeFailed as error:
            self._complain("picture not kept", str(error))
        self._last = None
        if picture is None:
            return
        timer = self._timer
        self._filling_with = picture
        self._filler = Filler(anchor_ms, anchor_s, timer.last_ms, timer.source_fps)
        log.info("publisher away stream=%s: its last picture stands in", self.label)
        self._fill(self._filler)

    def _end_filling(self) -> None:
        """The publisher is back: its first picture does not look like the one that stood in."""
        self._filler = self._filling_with = None
        self._timer.grid.force_next()

    def _fill(self, filler: Filler) -> None:
        """Make the picture that is due, and come again for the next."""
        lane = self._decode_lane
        with self._lock:
            is_over = self._state is not SessionState.RUNNING
            is_backed_up = self._is_backed_up()
        picture = self._filling_with
        if is_over or filler is not self._filler or picture is None or lane is None:
            return
        try:
            now_s = self._clock()
            pts_ms = filler.take(now_s)
            if pts_ms is not None and not is_backed_up:
                plan = self._timer.stand_in(pts_ms)
                if plan.verdict is Verdict.ENCODE:
                    self._give(picture.at(pts_ms), plan, _UnitFacts(now_s, False, b""))
                elif plan.verdict is Verdict.PAST_END:
                    self._wind_down(Ended("moved", trouble=False), flush=True)
        except (DeviceLost, MemoryError) as error:
            self._device_gone(error)
            return
        except Exception as error:
            log.exception("filling failed stream=%s", self.label)
            self._wind_down(Ended(f"failed: {error}", trouble=True), flush=False)
            return
        now_s = self._clock()
        lane.post_later(partial(self._fill, filler), max(0.001, filler.due_at(now_s) - now_s))

    def _apply_degraded(self) -> None:
        divisor, dropped = self._applied = self._degraded
        self._timer.divide(0, divisor)
        for run in self._runs:
            is_paused = run.index < dropped
            if run.is_paused and not is_paused:
                # egress has forgotten it
                self._around.post(self, run.began())
                run.needs_key = True
            run.is_paused = is_paused
        log.warning(
            "stream degraded stream=%s top_rate_divisor=%d dropped_rungs=%d",
            self.label,
            divisor,
            dropped,
        )

    def _reconfigure(self, record: bytes) -> None:
        if record == self._record:
            return
        try:
            config, sps = _read_record(record)
        except (AvcError, DecodeFailed) as error:
            self._decode_errors += 1
            self._complain("parameter sets ignored", str(error))
            return
        if sps.width * sps.height > self._most_samples:
            # other streams live off the room that was reserved
            reason = f"source grew to {sps.width}x{sps.height}, beyond what was reserved for it"
            self._wind_down(Ended(reason, trouble=True), flush=True)
            return
        assert self._decoder is not None
        try:
            pictures = self._decoder.reconfigure(config, sps)
        except DecodeFailed as error:
            self._wind_down(Ended(str(error), trouble=True), flush=True)
            return
        for picture in pictures:
            self._take(picture)
        self._record, self._config = record, config
        self._timer.new_source(sps.fps)
        log.info("source changed stream=%s size=%dx%d", self.label, sps.width, sps.height)

    def _flush_decoder(self) -> None:
        assert self._decoder is not None
        for picture in self._decoder.flush():
            self._take(picture)

    def _complain(self, event: str, reason: str) -> None:
        held = self._complaints.allow(self._clock())
        if held is not None:
            log.warning("%s stream=%s reason=%s like=%d", event, self.label, reason, held)

    # ---- the rungs' lanes ---------------------------------------------------------------------

    def _encode(self, run: RungAtWork, work: Work) -> None:
        try:
            if not run.lost:
                for event in run.encode(work, self.stages, self._clock):
                    self._around.post(self, event)
        except EncodeFailed as error:
            self._rung_lost(run, str(error))
        except (DeviceLost, MemoryError) as error:
            self._device_gone(error)
        except Exception as error:
            log.exception("encoding failed stream=%s rendition=%s", self.label, run.rung.name)
            self._rung_lost(run, f"failed: {error}")
        with self._lock:
            run.waiting -= 1
            run.done += 1
            self._schedule()

    def _rung_lost(self, run: RungAtWork, reason: str) -> None:
        if run.lost:
            return
        run.lost = reason
        log.error("rendition lost stream=%s reason=%s", self.label, reason)
        if all(other.lost for other in self._runs):
            self._wind_down(Ended(reason, trouble=True), flush=False)

    # ---- the end, from any thread -------------------------------------------------------------

    def _wind_down(self, end: Ended, *, flush: bool) -> None:
        """Take nothing more; close when every lane has done what was posted to it."""
        with self._lock:
            if self._state in (SessionState.ENDING, SessionState.CLOSED):
                return
            was_open = self._state is SessionState.RUNNING
            self._state = SessionState.ENDING
            self._end = end
            self._queue.clear()
            # while opening there is nobody to wait for: `_open` closes what there is by then
            lanes: Sequence[tuple[Lane, RungAtWork | None]] = ()
            if was_open and self._decode_lane is not None:
                lanes = [(run.lane, run) for run in self._runs] + [(self._decode_lane, None)]
            self._winding_down = len(lanes)
        for lane, run in lanes:
            lane.post(partial(self._lane_done, run if flush else None))

    def _lane_done(self, run: RungAtWork | None) -> None:
        if run is not None and not run.lost:
            try:
                for event in run.flush():
                    self._around.post(self, event)
            except Exception as error:
                log.warning("flush failed stream=%s error=%s", self.label, error)
        with self._lock:
            self._winding_down -= 1
            is_last = self._winding_down == 0
        if is_last:
            self._post_end()
            self._around.opener.post(self._close)

    def _post_end(self) -> None:
        if self._end is not None:
            self._around.post(self, self._end)

    def _device_gone(self, error: BaseException) -> None:
        self._around.post(self, DeviceGone(str(error) or type(error).__name__))
        self._wind_down(Ended("device lost", trouble=True), flush=False)


def _read_record(record: bytes) -> tuple[AvcConfig, SpsInfo]:
    """Raises AvcError, DecodeFailed."""
    config = AvcConfig.parse(record)
    if not config.sps:
        raise DecodeFailed("the sequence header holds no SPS")
    return config, parse_sps(config.sps[0])
