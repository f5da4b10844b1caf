"""One stream and generation in a worker: decode once, encode every rendition (IO: threads).

Three kinds of threads meet here. The loop's thread puts units and orders in and is handed events;
the decode thread takes entries off the queue one at a time and does with them what
`decode_stage.py` says; each rendition's thread encodes its pictures. A lock guards what they share:
the queue, the state, the counts of pictures under way. Opening and closing is done on the worker's
one opener thread, so it is serialised.

The decode thread stops taking entries while a rendition has `SURFACE_BACKLOG` pictures waiting, so
what waits is in the queue, which is bounded in ms and drops by keyframes. Before it comes to that,
a rendition that is behind leaves late pictures out (`worker/frames/late_frames.py`).

What goes wrong ends this session only, with `Ended(trouble=True)`, except for a lost device. What
hangs ends nothing here: `watch` finds it, and the status says so.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial

from common.config.ladder import Ladder, OmittedRendition, SourceFormat, fit_ladder
from common.errors import AvcError, DecodeFailed, DeviceLost, EncodeFailed
from common.ipc.control_messages import RenditionStatus, TranscodeStatus
from common.ipc.identity import Generation, StreamId
from common.ipc.media_messages import AccessUnit, StreamStart
from common.process.log import stream_label
from common.process.stage_times import StageTimes
from worker.devices.backend import Backend
from worker.frames.freeze_frame import FreezeFrames
from worker.frames.timing import FrameTimer, PtsWindow
from worker.session.decode_stage import DecodeCounts, DecodeStage, PipelineCallbacks
from worker.session.encoder_limit import EncoderLimit
from worker.session.events import DeviceGone, Ended, Event
from worker.session.input_queue import End, NewHeader, Pause, Splice, StreamQueue, Unit
from worker.session.rendition_encoder import EncodeJob, RenditionEncoder
from worker.session.resources import SessionResources
from worker.session.source_record import read_record
from worker.session.stall import Stall
from worker.session.throughput import Throughput
from worker.threads import JobThread, SessionThreads

log = logging.getLogger("tfarm.worker.session.session")

# Drivers take seconds to open and close sessions, and many may wait for their turn.
_OPENING_S = 10.0
# Of a stream that nobody plays: where its queue is never empty, its tags go out all the same.
MAX_BATCHED_EVENTS = 32


class SessionState(Enum):
    """OPENING → RUNNING → ENDING → CLOSED; from OPENING also straight to ENDING."""

    OPENING = "opening"
    RUNNING = "running"
    ENDING = "ending"  # nothing more is decoded; what the encoders hold is on its way out
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class SessionContext:
    """What a session needs of its worker."""

    backend: Backend
    threads: SessionThreads
    opener: JobThread  # opens and closes, one thing at a time
    opening: threading.Lock  # for an encoder that is opened anew in its own thread
    post: Callable[["Session", Event], None]  # from any thread
    is_alone: Callable[[], bool]  # whether no other session could be slowed by a replay
    is_watched: Callable[[StreamId], bool]  # whether somebody plays any of it
    is_saturated: Callable[[], bool]  # whether there is a stream for every core of the host
    cap: EncoderLimit = field(default_factory=EncoderLimit)  # on encoder sessions
    clock: Callable[[], float] = time.monotonic
    cpu_clock: Callable[[], float] = time.thread_time


class Session:
    """Call `put`, `put_header`, `splice`, `end` and `status` from the loop's thread."""

    def __init__(
        self, start: StreamStart, record: bytes, around: SessionContext, queue_ms: int
    ) -> None:
        self.stream_id: StreamId = start.stream_id
        self.generation: Generation = start.generation
        self.label = stream_label(start.stream_id)
        self.ladder = Ladder(())
        self.output: list[Throughput] = []  # of the renditions; the loop's
        self.last_pts_ms: list[int | None] = []  # of the renditions; the loop's
        self.stages = StageTimes()
        self._start = start
        self._around = around
        self._clock = around.clock
        self._lock = threading.Lock()
        self._queue_ms = queue_ms
        self._stall = Stall()  # of the opening, of decoding, of the end; the loop's
        self._stalled_s = 0.0
        self._degraded = (1, 0)  # divisor of the top rendition's rate, renditions dropped
        # guarded by the lock
        self._state = SessionState.OPENING
        self._queue = StreamQueue(queue_ms)
        self._steps = 0  # entries that the decode thread is done with
        self._is_scheduled = False
        self._winding_down = 0  # threads that are not yet done
        self._deferred: list[
            tuple[RenditionEncoder, EncodeJob]
        ] = []  # not yet posted to the decode thread
        self._end: Ended | None = None
        self._is_device_gone = False
        # the decode thread's, once open
        self._record = record
        self._equipment = SessionResources(
            around.backend,
            around.threads,
            around.opening,
            around.cap,
            around.clock,
            self.label,
            partial(around.post, self),
        )
        self._decoding: DecodeStage | None = None
        self._inline = 0  # pictures that the decode thread has yet to encode by itself
        self._batched_events: list[Event] = []  # of those that it has encoded
        # counts; written by one thread each
        self._frames_in = 0
        self._last_in_s = 0.0
        self._decoded = DecodeCounts()
        self._left_out: list[
            int
        ] = []  # by rendition: pictures that grew too old before their encoder
        around.opener.post(self._open)

    # ---- the loop's thread --------------------------------------------------------------------

    @property
    def state(self) -> SessionState:
        return self._state

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

    def splice(self, splice_ms: int) -> None:
        """Pictures from `splice_ms` on are another generation's; end when the first one comes."""
        with self._lock:
            self._queue.put_order(Splice(splice_ms))
            self._schedule()

    def pause(self, reference_ms: int, reference_s: float, *, may_go_on: bool = False) -> None:
        """The publisher is away: repeat the last picture in stream time up to the next unit.

        `may_go_on`: it is silent, and the next unit may follow the last one.
        """
        with self._lock:
            self._queue.put_order(Pause(reference_ms, reference_s, may_go_on))
            self._schedule()

    def end(self, reason: str) -> None:
        """Encode what is queued, then end."""
        with self._lock:
            self._queue.put_order(End(reason))
            self._schedule()

    def degrade(self, top_rate_divisor: int, dropped_renditions: int) -> None:
        """Make less of the next pictures, or all of them again."""
        self._degraded = (max(1, top_rate_divisor), max(0, dropped_renditions))

    def abandon(self, reason: str) -> None:
        """End at once, what is queued dropped."""
        self._wind_down(Ended(reason, trouble=False), flush=True)

    def status(self, now_s: float) -> TranscodeStatus:
        """What the supervisor is told."""
        decoded = self._decoded
        with self._lock:
            queue_ms, dropped = self._queue.span_ms, self._queue.dropped
            overflows = self._queue.overflows
        lost = [
            OmittedRendition(run.rendition.name, run.lost)
            for run in self._equipment.runs
            if run.lost
        ]
        return TranscodeStatus(
            stream_id=self.stream_id,
            generation=self.generation,
            frames_in=self._frames_in,
            frames_out=decoded.frames_out,
            queue_ms=float(queue_ms),
            decode_errors=decoded.decode_errors,
            renditions=tuple(
                map(partial(self._rendition, now_s), range(len(self.ladder.renditions)))
            ),
            omitted=(*self.ladder.omitted, *lost),
            overflows=overflows,
            dropped=dropped + decoded.skipped_units + decoded.hidden,
            last_in_s=self._last_in_s,
            last_out_s=decoded.progress_s,
            stages_ms=self.stages.told(now_s),
            stalled_s=round(self._stalled_s, 3),
            skipped=sum(decoded.skipped) + sum(self._left_out),
            top_rate_divisor=self._degraded[0],
            dropped_renditions=self._degraded[1],
        )

    def _rendition(self, now_s: float, index: int) -> RenditionStatus:
        rendition, output = self.ladder.renditions[index], self.output[index]
        fps, bitrate_bps = output.rates(now_s)
        return RenditionStatus(
            name=rendition.name,
            width=rendition.width,
            height=rendition.height,
            frames=output.frames,
            bytes=output.bytes,
            fps=round(fps, 2),
            bitrate_bps=round(bitrate_bps),
            dropped=self._decoded.skipped[index] + self._left_out[index],
            last_pts_ms=self.last_pts_ms[index],
        )

    def watch(self, awake_s: float) -> None:
        """Look whether anything gets done; `awake_s` is the time since the last look."""
        with self._lock:
            state, steps = self._state, self._steps
            thread = self._equipment.decode_thread
            is_backed_up = self._equipment.is_backed_up()
            is_decoding = self._is_scheduled or bool(len(self._queue) and not is_backed_up)
            encoding = [(run, run.waiting > 0, run.done) for run in self._equipment.runs]
            left = self._winding_down
        match state:
            case SessionState.RUNNING if thread is not None:
                stalled_s = self._stall.observe(is_decoding, steps, awake_s, thread.starved_s)
                for run, is_waiting, done in encoding:
                    seconds = run.stall.observe(is_waiting, done, awake_s, run.thread.starved_s)
                    stalled_s = max(stalled_s, seconds - _OPENING_S * run.is_opening)
            case SessionState.OPENING | SessionState.ENDING:
                opener = self._around.opener
                done = opener.done + 1_000_000 * left
                stalled_s = self._stall.observe(True, done, awake_s, opener.starved_s) - _OPENING_S
            case _:
                stalled_s = 0.0
        self._stalled_s = max(0.0, stalled_s)

    # ---- the opener thread ----------------------------------------------------------------------

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
                for run in self._equipment.runs:
                    self._around.post(self, run.began())
                self._state = SessionState.RUNNING
                assert self._decoding is not None
                self._decoding.opened(self._clock())
                self._schedule()
        if not is_open:
            # it failed, or `abandon` came meanwhile
            self._post_end()
            self._close()

    def _open_device(self) -> None:
        config, sps = read_record(self._record)
        template = self._start.template
        ladder = fit_ladder(template, SourceFormat(sps.width, sps.height, sps.sar, sps.fps))
        if not ladder.renditions:
            raise EncodeFailed("the template has no rendition for this source")
        self._equipment.open(config, sps, ladder)
        window = PtsWindow(after_ms=self._start.resume_after_ms, from_ms=self._start.splice_ms)
        timer = FrameTimer(
            template.gop_ms, [rendition.fps for rendition in ladder.renditions], window, sps.fps
        )
        width, height, _ = template.max_source
        self._decoding = DecodeStage(
            self._equipment,
            config,
            timer,
            self._links(),
            self._decoded,
            self.stages,
            most_samples=max(width * height, sps.width * sps.height),
            queue_ms=self._queue_ms,
            label=self.label,
        )
        self.output = [Throughput() for _ in ladder.renditions]
        self._decoded.skipped = [0] * len(ladder.renditions)
        self._left_out = [0] * len(ladder.renditions)
        self.last_pts_ms = [None for _ in ladder.renditions]
        self.ladder = ladder
        log.info(
            "session open stream=%s generation=%d source=%dx%d fps=%s renditions=%s",
            self.label,
            self.generation,
            sps.width,
            sps.height,
            sps.fps,
            ",".join(rendition.name for rendition in ladder.renditions),
        )

    def _links(self) -> PipelineCallbacks:
        return PipelineCallbacks(
            is_running=self._is_running,
            queued_ms=self._queued_ms,
            degraded=lambda: self._degraded,
            hand_over=self._hand_over,
            began=self._post_behind_batched_events,
            end=partial(self._wind_down, flush=True),
            is_watched=partial(self._around.is_watched, self.stream_id),
            is_saturated=self._around.is_saturated,
            clock=self._clock,
            cpu_clock=self._around.cpu_clock,
        )

    def _close(self) -> None:
        self._equipment.close()
        self._decoding = None
        with self._lock:
            self._state = SessionState.CLOSED

    # ---- the decode thread ----------------------------------------------------------------------

    def _schedule(self) -> None:
        """With the lock held: have the next entry taken, if there is one and room for it."""
        thread = self._equipment.decode_thread
        if (
            self._state is SessionState.RUNNING
            and not self._is_scheduled
            and thread is not None
            and len(self._queue)
            and not self._equipment.is_backed_up()
        ):
            self._is_scheduled = True
            thread.post(self._step)

    def _step(self) -> None:
        with self._lock:
            entry = None
            if self._state is SessionState.RUNNING and not self._equipment.is_backed_up():
                entry = self._queue.take()
            decoding = self._decoding
            if entry is None or decoding is None:
                self._is_scheduled = False
                return
        began_s = self._clock()
        pause_s = 0.0
        try:
            match entry:
                case Unit():
                    decoding.decode(entry)
                    if entry.header.replay and not self._around.is_alone():
                        # every other moment belongs to the streams that are already running
                        pause_s = self._clock() - began_s
                case NewHeader(record):
                    if record != self._record and decoding.reconfigure(record):
                        self._record = record
                case Splice(splice_ms):
                    decoding.splice(splice_ms)
                case Pause():
                    filler = decoding.pause(entry)
                    if filler is not None:
                        self._fill(filler)
                case End(reason):
                    decoding.flush()
                    self._wind_down(Ended(reason, trouble=False), flush=True)
        except (DeviceLost, MemoryError) as error:
            self._device_gone(error)
        except Exception as error:
            log.exception("session failed stream=%s", self.label)
            self._wind_down(Ended(f"failed: {error}", trouble=True), flush=False)
        if self._batched_events and not self._inline:
            self._post_batched_events()  # this entry brought nothing that would
        is_batch = bool(self._deferred) and not self._around.is_watched(self.stream_id)
        with self._lock:
            if pause_s or not (is_batch and len(self._queue)) or self._equipment.is_backed_up():
                self._post_deferred()
            self._steps += 1
            self._is_scheduled = False
            if not pause_s:
                self._schedule()
            elif self._state is SessionState.RUNNING:
                self._is_scheduled = True
                assert self._equipment.decode_thread is not None
                self._equipment.decode_thread.post_later(self._step, pause_s)

    def _fill(self, filler: FreezeFrames) -> None:
        """While the publisher is away: make the picture that is due, come again for the next."""
        with self._lock:
            is_backed_up = self._equipment.is_backed_up()
            thread, decoding = self._equipment.decode_thread, self._decoding
            if self._state is not SessionState.RUNNING or thread is None or decoding is None:
                return
        try:
            wait_s = decoding.repeat_picture(filler, is_backed_up=is_backed_up)
        except (DeviceLost, MemoryError) as error:
            self._device_gone(error)
        except Exception as error:
            log.exception("filling failed stream=%s", self.label)
            self._wind_down(Ended(f"failed: {error}", trouble=True), flush=False)
        else:
            with self._lock:
                self._post_deferred()
            if wait_s is not None:
                thread.post_later(partial(self._fill, filler), wait_s)

    def _is_running(self) -> bool:
        with self._lock:
            return self._state is SessionState.RUNNING

    def _queued_ms(self) -> int:
        with self._lock:
            return self._queue.span_ms

    def _hand_over(self, run: RenditionEncoder, work: EncodeJob, is_inline: bool) -> None:
        """Have a picture encoded; `is_inline`: by the decode thread, if no other has it."""
        with self._lock:
            # behind `_thread_done` it would meet an encoder that is flushed, perhaps closed
            if self._state is SessionState.RUNNING:
                if not run.waiting:
                    decode_thread = self._equipment.decode_thread
                    if is_inline and decode_thread:
                        run.thread = decode_thread
                    else:
                        is_saturated = self._around.is_saturated()
                        run.thread = self._equipment.encode_thread(run, is_saturated=is_saturated)
                    if run.thread is not decode_thread:
                        self._post_all()  # before what comes from there
                run.waiting += 1
                if run.thread is self._equipment.decode_thread:
                    self._inline += 1
                    self._deferred.append((run, work))
                else:
                    run.thread.post(partial(self._encode, run, work))

    def _post_deferred(self) -> None:
        """With the lock held: have the decode thread encode what stays with it, by rendition.

        Of a bundle that nobody waits for, several pictures of a rendition come before the next
        rendition's: encoders empty one another's caches (docs/performance.md).
        """
        held, self._deferred = self._deferred, []
        held.sort(
            key=lambda entry: entry[0].index
        )  # stable: a rendition's pictures keep their order
        for run, work in held:
            run.thread.post(partial(self._encode, run, work))

    # ---- the renditions' threads
    # ---------------------------------------------------------------------

    def _encode(self, run: RenditionEncoder, work: EncodeJob) -> None:
        is_inline = run.thread is self._equipment.decode_thread
        if is_inline:
            # Now, not behind the rendition before: the loop's thread wakes when the scaler is about
            # to give the GIL up. One that has to wait for the GIL is woken a second time, and no
            # kernel takes the core from an encoder for that (docs/performance.md).
            self._post_batched_events()
        try:
            if self._is_too_late(run, work):
                run.leave_out(work)
                self._left_out[run.index] += 1
            else:
                for event in run.encode(work, self.stages, self._clock, self._around.cpu_clock):
                    if is_inline:
                        self._batched_events.append(event)
                    else:
                        self._around.post(self, event)
        except EncodeFailed as error:
            self._rendition_lost(run, work, str(error))
        except (DeviceLost, MemoryError) as error:
            self._device_gone(error)
        except Exception as error:
            log.exception("encoding failed stream=%s rendition=%s", self.label, run.rendition.name)
            self._rendition_lost(run, work, f"failed: {error}")
        if is_inline:
            self._inline -= 1
            if not self._inline:
                self._post_batched_events()
        with self._lock:
            run.waiting -= 1
            run.done += 1
            self._schedule()

    def _post_batched_events(self) -> None:
        """Pass on what the decode thread has encoded, once that is worth waking the loop.

        As soon as there is a tag; among many streams once a picture; for nobody, once a bundle.
        """
        if not self._batched_events:
            return
        is_followed = len(self._queue) and len(self._batched_events) < MAX_BATCHED_EVENTS
        if self._inline and self._around.is_saturated():
            return
        if (self._inline or is_followed) and not self._around.is_watched(self.stream_id):
            return
        self._post_all()

    def _post_all(self) -> None:
        batched_events, self._batched_events = self._batched_events, []
        for coded in batched_events:
            self._around.post(self, coded)

    def _post_behind_batched_events(self, event: Event) -> None:
        self._post_all()
        self._around.post(self, event)

    def _is_too_late(self, run: RenditionEncoder, work: EncodeJob) -> bool:
        """Whether a picture waited so long that others, which wait behind it, go first."""
        if work.is_key or work.is_replay:
            return False
        with self._lock:
            decoding, is_followed = self._decoding, run.waiting > 1
        if decoding is None or not is_followed:
            return False
        return decoding.lateness.is_too_late(work.received_s, self._clock())

    def _rendition_lost(self, run: RenditionEncoder, work: EncodeJob, reason: str) -> None:
        level = logging.DEBUG if run.lost else logging.ERROR  # another try is not worth a line
        run.failed(reason, work.surface.pts_ms)
        log.log(level, "rendition lost stream=%s reason=%s", self.label, reason)
        if all(other.lost for other in self._equipment.runs):
            self._wind_down(Ended(reason, trouble=True), flush=False)

    # ---- the end, from any thread -------------------------------------------------------------

    def _wind_down(self, end: Ended, *, flush: bool) -> None:
        """Take nothing more; close when every thread has done what was posted to it."""
        with self._lock:
            if self._state in (SessionState.ENDING, SessionState.CLOSED):
                return
            was_open = self._state is SessionState.RUNNING
            self._state = SessionState.ENDING
            self._end = end
            self._queue.clear()
            self._post_deferred()
            # while opening there is nobody to wait for: `_open` closes what there is by then
            threads: Sequence[tuple[JobThread, RenditionEncoder | None]] = ()
            decode_thread = self._equipment.decode_thread
            if was_open and decode_thread is not None:
                threads = [(run.thread, run) for run in self._equipment.runs] + [
                    (decode_thread, None)
                ]
            self._winding_down = len(threads)
        if threads and decode_thread is not None:
            decode_thread.post(self._post_all)
        for thread, run in threads:
            thread.post(partial(self._thread_done, run if flush else None))

    def _thread_done(self, run: RenditionEncoder | None) -> None:
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
        with self._lock:
            is_first, self._is_device_gone = not self._is_device_gone, True
        if is_first:  # what waits in the threads meets it too
            self._around.post(self, DeviceGone(str(error) or type(error).__name__))
        self._wind_down(Ended("device lost", trouble=True, is_workers_own=True), flush=False)
