"""The life of one stream and generation in a worker: opened, run, ended, and what goes wrong.

Opening and closing is done on the worker's one opener thread, so it is serialised. Between the two
the pipeline (`pipeline.py`) decodes and encodes in threads of its own; it reports here what ends
the stream. That ends this session only, with `Ended(trouble=True)`, except for a lost device. What
hangs ends nothing here: `watch` finds it, and the status reports it. (IO: threads.)
"""

import logging
import math
import threading
import time
from collections.abc import Sequence
from enum import Enum

from common.config.ladder import Ladder, OmittedRendition, fit_ladder
from common.errors import DecodeFailed, DeviceLost, EncodeFailed, ProtocolError
from common.ipc.encoder_messages import EncodedPicture
from common.ipc.media_messages import AccessUnit, StreamStart
from common.ipc.status_messages import RenditionStatus, TranscodeStatus
from common.media.clock import ClockReference
from common.media.units import VideoCodec
from common.notices.doctor import Change
from common.process.log import stream_label
from common.process.stage_times import StageTimes
from worker.devices.source import Source, read_source
from worker.frames.timing import FrameTimer, PtsWindow
from worker.session.context import SessionContext
from worker.session.decode_stage import DecodeStage
from worker.session.events import DeviceGone, EncodingWanted, Ended, Event
from worker.session.input_queue import End, Freeze, NewHeader, Splice, Want
from worker.session.measured_quality import MeasuredQuality
from worker.session.picture_doctor import PictureDoctor
from worker.session.pipeline import Pipeline
from worker.session.progress import OPENING_S, Degradation, SessionCounts, Stall
from worker.session.resources import SessionResources

log = logging.getLogger("tfarm.worker.session.session")


class SessionState(Enum):
    """The states of a session's life."""

    OPENING = "opening"
    RUNNING = "running"
    ENDING = "ending"  # nothing more is decoded; what the encoders have is on its way out
    CLOSED = "closed"


class LifeEvent(Enum):
    """An event that moves a session on."""

    OPENED = "opened"  # decoder, scaler and encoders are there
    ENDED = "ended"  # by the publisher, the worker, or trouble
    CLOSED = "closed"  # all of the device's is given back


TRANSITIONS = {
    (SessionState.OPENING, LifeEvent.OPENED): SessionState.RUNNING,
    (SessionState.OPENING, LifeEvent.ENDED): SessionState.ENDING,
    (SessionState.RUNNING, LifeEvent.ENDED): SessionState.ENDING,
    # abandoned while it opened
    (SessionState.ENDING, LifeEvent.OPENED): SessionState.ENDING,
    # the first reason to end counts
    (SessionState.ENDING, LifeEvent.ENDED): SessionState.ENDING,
    (SessionState.ENDING, LifeEvent.CLOSED): SessionState.CLOSED,
    (SessionState.CLOSED, LifeEvent.ENDED): SessionState.CLOSED,
}


class Session:
    """One stream and generation: decoded once, encoded for every rendition.

    Call `put`, the calls that queue something behind it, `degrade`, `abandon`, `watch` and `status`
    from the loop's thread.
    """

    def __init__(
        self, start: StreamStart, record: bytes, context: SessionContext, queue_ms: int
    ) -> None:
        self.key = (start.stream_id, start.generation)
        self.label = stream_label(start.stream_id)
        self.ladder = Ladder(())
        self.counts = SessionCounts(StageTimes(context.delays))
        self._start = start
        self._record = record
        self._context = context
        self._resources = SessionResources(context, self.label, self.post)
        self.quality = MeasuredQuality(self.counts, self._resources.is_made, context.unix_time)
        self._pipeline = Pipeline(
            context, self.key, self.label, self, self._resources, self.counts, queue_ms
        )
        self._queue_ms = queue_ms
        self._wanted: EncodingWanted | None = None  # of an encoder process; the opener's
        self._stall = Stall()  # of the opening and of the end; the loop's
        self._stalled_s = 0.0
        self._doctor = PictureDoctor()  # the loop's
        self._lock = threading.Lock()  # taken before the pipeline's, never after it
        # guarded by the lock
        self._state = SessionState.OPENING
        self._end: Ended | None = None
        self._is_device_gone = False
        if start.wanted is not None:
            self.want(start.wanted)
        context.opener.post(self._open)

    # ---- the loop's thread --------------------------------------------------------------------

    @property
    def state(self) -> SessionState:
        return self._state

    def put(self, header: AccessUnit, data: bytes, now_s: float) -> None:
        """Queue an access unit, or drop it."""
        self._pipeline.put(header, data, now_s)

    def put_header(self, record: bytes, codec: VideoCodec) -> None:
        """Decode with new parameter sets from the next unit on."""
        self._pipeline.put_marker(NewHeader(record, codec))

    def splice(self, splice_ms: int) -> None:
        """Leave pictures from `splice_ms` on to another generation; end when the first comes."""
        self._pipeline.put_marker(Splice(splice_ms))

    def freeze(self, reference: ClockReference, *, may_go_on: bool = False) -> None:
        """Repeat the last picture in stream time up to the next unit: the publisher is away.

        `may_go_on`: it is silent, and the next unit may follow the last one.
        """
        self._pipeline.put_marker(Freeze(reference, may_go_on))

    def want(self, renditions: Sequence[str], after_ms: int | None = None) -> None:
        """Make these renditions alone from here on; see `RenditionsWanted`."""
        self._pipeline.put_marker(Want(frozenset(renditions), after_ms))

    def end(self, reason: str) -> None:
        """Encode what is queued, then end."""
        self._pipeline.put_marker(End(reason))

    def degrade(self, top_rate_divisor: int, dropped_renditions: int) -> None:
        """Make less of the next pictures, or all of them again."""
        self._pipeline.degrade(Degradation(max(1, top_rate_divisor), max(0, dropped_renditions)))

    def abandon(self, reason: str) -> None:
        """End at once; what is queued is dropped."""
        self.wind_down(Ended(reason, trouble=False), flush=True)

    def watch(self, awake_s: float) -> None:
        """Look whether anything gets done; `awake_s` is the time since the last look."""
        match self._state:
            case SessionState.RUNNING:
                stalled_s = self._pipeline.watch(awake_s)
            case SessionState.OPENING | SessionState.ENDING:
                opener = self._context.opener
                done = opener.done + 1_000_000 * self._pipeline.threads_left
                stalled_s = self._stall.observe(True, done, awake_s, opener.starved_s) - OPENING_S
            case SessionState.CLOSED:
                stalled_s = 0.0
        self._stalled_s = max(0.0, stalled_s)

    def status(self, now_s: float) -> TranscodeStatus:
        """Return what the supervisor is sent with each heartbeat."""
        counts, queue = self.counts, self._pipeline.queue_state()
        degradation = self._pipeline.degradation
        lost = [
            OmittedRendition(each.rendition.name, each.lost)
            for each in self._resources.renditions
            if each.lost
        ]
        for change in self._doctor.look(counts, now_s, self.quality.low()):
            self._log(change)
        return TranscodeStatus(
            *self.key,
            frames_in=counts.units_in,
            frames_out=counts.pictures,
            queue_ms=float(queue.span_ms),
            decode_errors=counts.decode_errors,
            renditions=tuple(
                self._rendition_status(index, now_s) for index in range(len(self.ladder.renditions))
            ),
            omitted=(*self.ladder.omitted, *lost),
            overflows=queue.overflows,
            dropped=queue.dropped + counts.undecoded + counts.hidden,
            last_in_s=counts.last_in_s,
            last_out_s=counts.progress_s,
            stages_ms=counts.stages.reported(now_s),
            stalled_s=round(self._stalled_s, 3),
            dropped_by_renditions=sum(rendition.dropped for rendition in counts.renditions),
            top_rate_divisor=degradation.top_rate_divisor,
            dropped_renditions=degradation.dropped_renditions,
            notices=self._doctor.notices(now_s, time.time()),
            threads=self._resources.own_threads,
        )

    def _log(self, change: Change) -> None:
        """Log that a notice begins or ends; each code does so seldom."""
        what, fields, values = change.line()
        level = logging.WARNING if change.begins and change.is_fault else logging.INFO
        log.log(level, f"{what} stream=%s {fields}", self.label, *values)

    def _rendition_status(self, index: int, now_s: float) -> RenditionStatus:
        rendition, counts = self.ladder.renditions[index], self.counts.renditions[index]
        status = RenditionStatus(
            name=rendition.name,
            width=rendition.width,
            height=rendition.height,
            frames=counts.output.frames,
            bytes=counts.output.bytes,
            fps=round(counts.output.frames_per_second(now_s), 2),
            bitrate_bps=round(counts.output.bits_per_second(now_s)),
            dropped=counts.dropped,
            last_pts_ms=counts.last_pts_ms,
            state=counts.state(is_resting=self._resources.is_resting(index)),
        )
        return self.quality.added(status, index)

    # ---- the loop's thread: what an encoder process says ---------------------------------------

    def on_picture_done(self, rendition: int, done: EncodedPicture | None) -> None:
        """A picture has its place free again; None, or no size: it is not encoded."""
        counts, now_s = self.counts, time.monotonic()
        if rendition < len(counts.renditions):
            of_rendition = counts.renditions[rendition]
            if done is None or not done.size:
                of_rendition.dropped_waiting += 1
            else:
                of_rendition.sent(done.size, now_s)
                of_rendition.last_pts_ms = done.pts_ms
                if done.encode_s:
                    name = self.ladder.renditions[rendition].name
                    counts.stages.add(f"handover:{name}", done.handover_s)
                    counts.stages.add(f"encode:{name}", done.encode_s)
                    counts.stages.add(f"mux:{name}", done.mux_s)
        self._pipeline.on_place_freed(rendition)

    def on_rendition_lost(self, rendition: int, pts_ms: int, reason: str) -> None:
        """The encoder of a rendition has failed in its process."""
        self._pipeline.on_rendition_lost(rendition, pts_ms, reason)

    def on_encoder_changed(self) -> None:
        """Another process encodes: it begins with a keyframe."""
        self._pipeline.need_key()

    def on_no_encoder(self, reason: str) -> None:
        """Nobody encodes."""
        self.wind_down(Ended(reason, trouble=True, is_workers_own=True), flush=False)

    # ---- the opener thread: a session's beginning and its last step ---------------------------

    def _open(self) -> None:
        stage: DecodeStage | None = None
        try:
            stage = self._open_device()
        except (ProtocolError, DecodeFailed, EncodeFailed) as error:
            self.wind_down(Ended(str(error), trouble=True), flush=False)
        except (DeviceLost, MemoryError) as error:
            self.on_device_lost(error)
        except Exception as error:
            log.exception("opening failed stream=%s", self.label)
            self.wind_down(Ended(f"opening failed: {error}", trouble=True), flush=False)
        with self._lock:
            if stage is not None:
                self._move(LifeEvent.OPENED)
            is_running = self._state is SessionState.RUNNING
            if is_running and stage is not None:
                if self._wanted is not None:
                    self.post(self._wanted)
                self._pipeline.start(stage)
        if not is_running:
            # it failed, or `abandon` came meanwhile
            self._post_end()
            self._close()

    def _open_device(self) -> DecodeStage:
        """Open all that the source needs.

        Raises AvcError, DecodeFailed, EncodeFailed, DeviceLost.
        """
        source = read_source(self._record, self._start.codec)
        ladder = fit_ladder(self._start.template, source.format)
        if not ladder.renditions:
            raise EncodeFailed("the template has no rendition for this source")
        self._resources.open(source, ladder, self.quality.on_measured)
        self._wanted = self._resources.wanted(source, self._queue_ms)
        stage = self._decode_stage(source, ladder)
        self.quality.open(ladder.renditions)
        self.ladder = ladder
        log.info(
            "session open stream=%s generation=%d source=%s fps=%s renditions=%s",
            self.label,
            self.key[1],
            source.size,
            source.fps,
            ",".join(rendition.name for rendition in ladder.renditions),
        )
        return stage

    def _decode_stage(self, source: Source, ladder: Ladder) -> DecodeStage:
        resources, template = self._resources, self._start.template
        assert resources.decoder is not None
        assert resources.scaler is not None
        window = PtsWindow(after_ms=self._start.resume_after_ms, from_ms=self._start.splice_ms)
        caps = [rendition.fps for rendition in ladder.renditions]
        return DecodeStage(
            resources.decoder,
            resources.scaler,
            source,
            FrameTimer(template.gop_ms, caps, window, source.fps),
            self.counts,
            most_samples=max(math.prod(template.max_source[:2]), source.samples),
            label=self.label,
            clock=self._context.clock,
            cpu_clock=self._context.cpu_clock,
            sei_uuids=template.sei_uuids,
            utc_stamps=self._context.utc_stamps() if template.utc else None,
        )

    def _close(self) -> None:
        self._wanted = None
        self._resources.close()
        self._pipeline.close()
        with self._lock:
            self._move(LifeEvent.CLOSED)

    # ---- from any thread: the end, and what goes wrong ----------------------------------------

    def post(self, event: Event) -> None:
        """Hand an event to the worker's loop."""
        self._context.post(self.key, event)

    def wind_down(self, end: Ended, *, flush: bool) -> None:
        """Take nothing more, and close when every thread has done what was posted to it."""
        with self._lock:
            before = self._state
            self._move(LifeEvent.ENDED)
            if before is self._state:
                return  # it ends already
            self._end = end
            # Of one that still opens nobody has anything posted: `_open` closes what there is.
            self._pipeline.stop(flush=flush)

    def on_device_lost(self, error: Exception) -> None:
        """Report the loss, once, and end."""
        with self._lock:
            is_first, self._is_device_gone = not self._is_device_gone, True
        if is_first:  # what waits in the threads meets it too
            self.post(DeviceGone(str(error) or type(error).__name__))
        self.wind_down(Ended("device lost", trouble=True, is_workers_own=True), flush=False)

    def on_stopped(self) -> None:
        """Close: the pipeline's threads are done."""
        self._post_end()
        self._context.opener.post(self._close)

    def _post_end(self) -> None:
        if self._end is not None:
            self.post(self._end)

    def _move(self, event: LifeEvent) -> None:
        """With the lock held: go on to the next state of the table."""
        after = TRANSITIONS.get((self._state, event))
        if after is None:
            log.error(
                "bug: impossible step of a session step=%s state=%s stream=%s",
                event.value,
                self._state.value,
                self.label,
            )
            return
        self._state = after
