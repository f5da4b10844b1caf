"""Which thread does what for one stream (IO: threads).

Three kinds of threads meet here. The loop's thread queues units and the markers between them. The
decode thread takes these one entry at a time: it decodes a unit (`decode_stage.py`), and what comes
out goes its way in `picture_path.py`. The threads that encode are given jobs there.

Back-pressure: the decode thread takes no entry while a rendition has `SURFACE_BACKLOG` pictures
waiting, so what waits is in the queue, which is bounded in ms and drops by keyframes. Before it
comes to that, a rendition that is behind drops late pictures (`worker/frames/late_frames.py`).

One lock guards what threads share: `Shared`, the encoders' counts of pictures that wait, and what
is marked so below. What ends the stream is reported to the session (`SessionLife`), never with the
lock held.
"""

import logging
from functools import partial

from common.config.ladder import Pipeline as DevicePath
from common.errors import DeviceLost
from common.ipc.media_messages import AccessUnit
from worker.frames.freeze_frame import FreezeFrames
from worker.session.context import SessionContext, SessionKey
from worker.session.decode_stage import DecodeStage, Unusable
from worker.session.events import Ended, SessionLife
from worker.session.input_queue import (
    End,
    Entry,
    Freeze,
    Marker,
    NewHeader,
    QueueState,
    Splice,
    StreamQueue,
    Unit,
    Want,
)
from worker.session.picture_path import PicturePath
from worker.session.progress import OPENING_S, Degradation, SessionCounts, Stall
from worker.session.rendition_encoder import RenditionEncoder
from worker.session.resources import SessionResources
from worker.session.resting import RestingRenditions
from worker.session.shared import Shared
from worker.threads import JobThread

log = logging.getLogger("tfarm.worker.session.pipeline")


class Pipeline:
    """A stream's queue, its decode thread, and when that does what.

    `put`, `put_marker`, `degrade`, `queue_state` and `watch` are the loop's to call. `start` comes
    once everything is open, `stop` at most once, from any thread, and `close` last.
    """

    def __init__(
        self,
        context: SessionContext,
        key: SessionKey,
        label: str,
        life: SessionLife,
        resources: SessionResources,
        counts: SessionCounts,
        queue_ms: int,
    ) -> None:
        self._label = label
        self._life = life
        self._resources = resources
        self._counts = counts
        self._clock = context.clock
        # A driver opens a decoder with its first picture, behind those of other streams.
        self._opens_late = context.backend.info.path is not DevicePath.SOFTWARE
        self._load = context.load
        self._shared = Shared(StreamQueue(queue_ms))
        self._path = PicturePath(
            context, key, label, life, resources, counts, self._shared, self._schedule
        )
        self._resting = RestingRenditions(
            context, life, resources, self._shared, self._path, self._schedule
        )
        self._stage: DecodeStage | None = None  # the decode thread's, once open
        self._stall = Stall()  # of decoding; the loop's
        # guarded by the lock
        self._is_scheduled = False  # the decode thread has a job to take the next entry
        self._steps = 0  # entries that it is done with
        self._threads_left = 0  # since `stop`: those that are not done yet

    # ---- the loop's thread: units in -------------------------------------------------------

    def put(self, header: AccessUnit, data: bytes, now_s: float) -> None:
        """Queue an access unit, or drop it."""
        self._counts.units_in += 1
        self._counts.last_in_s = now_s
        with self._shared.lock:
            self._shared.queue.put(header, data, now_s)
            self._schedule()

    def put_marker(self, marker: Marker) -> None:
        """Queue what is to happen between two units."""
        with self._shared.lock:
            self._shared.queue.put_marker(marker)
            self._schedule()

    def degrade(self, degradation: Degradation) -> None:
        """Make less of the next pictures, or all of them again."""
        if degradation != self._path.degradation:
            self._path.degradation = degradation

    @property
    def degradation(self) -> Degradation:
        """As it is asked for."""
        return self._path.degradation

    def _schedule(self) -> None:
        """With the lock held: have the next entry taken, if there is one and room for it."""
        thread = self._resources.decode_thread
        if (
            self._shared.is_running
            and not self._is_scheduled
            and thread is not None
            and len(self._shared.queue)
            and not self._resources.is_backed_up()
        ):
            self._is_scheduled = True
            thread.post(self._step)

    # ---- the decode thread: one entry at a time --------------------------------------------

    def _step(self) -> None:
        """Take one entry, and have the next one taken unless a rendition is backed up."""
        with self._shared.lock:
            entry, stage, queue = None, self._stage, self._shared.queue
            if self._shared.is_running and not self._resources.is_backed_up():
                if queue.is_catching_up and stage is not None:
                    queue.skip_ahead(stage.timer.last_ms, self._clock(), stage.can_start_at)
                entry = queue.take()
            if entry is None or stage is None:
                self._is_scheduled = False
                return
        rest_s = 0.0
        try:
            rest_s = self._take(stage, entry)
        except Exception as error:
            self._on_failure(error, "a picture")
        self._path.end_entry()
        is_batch = self._path.has_deferred and not self._path.has_players()
        with self._shared.lock:
            # of a batch that nobody waits for, all its pictures are encoded together
            is_followed = is_batch and len(self._shared.queue) > 0
            if rest_s or not is_followed or self._resources.is_backed_up():
                self._path.post_deferred()
            self._steps += 1
            self._is_scheduled = False
            if not rest_s:
                self._schedule()
            elif self._shared.is_running:
                self._is_scheduled = True
                assert self._resources.decode_thread is not None
                self._resources.decode_thread.post_later(self._step, rest_s)

    def _take(self, stage: DecodeStage, entry: Entry) -> float:
        """Do what the entry says; return for how many seconds the thread rests then."""
        match entry:
            case Unit():
                began_s = self._clock()
                self._path.follow(stage, stage.decode(entry))
                if entry.header.replay and not self._load.is_alone:
                    # every other moment belongs to the streams that are already running
                    return self._clock() - began_s
            case NewHeader(record, codec):
                self._path.follow(stage, stage.reconfigure(record, codec))
                stage.adopt_source()
            case Splice(splice_ms):
                stage.splice(splice_ms)
            case Freeze():
                late = stage.begin_freeze(entry)
                self._path.follow(stage, late)
                frames = stage.freeze(entry, late)
                if frames is not None:
                    self._repeat_picture(frames)
            case Want():
                self._resting.want(stage, entry)
            case End(reason):
                self._path.follow(stage, stage.flush())
                self._life.wind_down(Ended(reason, trouble=False), flush=True)
        return 0.0

    # ---- the decode thread: freeze frames, failures -------------------------------------------

    def _repeat_picture(self, frames: FreezeFrames) -> None:
        """In the decode thread: make the freeze frame that is due, and come again for the next."""
        with self._shared.lock:
            is_backed_up = self._resources.is_backed_up()
            thread, stage = self._resources.decode_thread, self._stage
            if not self._shared.is_running or thread is None or stage is None:
                return
        if not stage.is_frozen(frames):
            return  # the publisher is back
        try:
            self._path.force_key_if_due(stage)
            planned = stage.repeat(frames, is_backed_up=is_backed_up)
            if planned is not None:
                self._path.follow_one(stage, planned)
        except Exception as error:
            self._on_failure(error, "a freeze frame")
            return
        with self._shared.lock:
            self._path.post_deferred()
        now_s = self._clock()
        wait_s = max(0.001, frames.due_at(now_s) - now_s)
        thread.post_later(partial(self._repeat_picture, frames), wait_s)

    def _on_failure(self, error: Exception, what: str) -> None:
        """Report what ends the stream; inside an `except`."""
        match error:
            case DeviceLost() | MemoryError():
                self._life.on_device_lost(error)
            case Unusable():
                self._life.wind_down(Ended(str(error), trouble=True), flush=True)
            case _:
                log.exception("a session failed stream=%s at=%s", self._label, what)
                self._life.wind_down(Ended(f"failed: {error}", trouble=True), flush=False)

    # ---- start, stop, and a look from outside -------------------------------------------------

    def start(self, stage: DecodeStage) -> None:
        """Take what is queued, and what comes."""
        with self._shared.lock:
            for encoder in self._resources.encoders:  # of others their process says it
                self._life.post(encoder.began())
            self._stage = stage
            self._path.lateness.opened_s = self._clock()
            self._shared.is_running = True
            self._schedule()

    def stop(self, *, flush: bool) -> None:
        """Drop what is queued and take nothing more; `on_stopped` follows, unless it never ran.

        `flush`: with what the encoders still have.
        """
        last_jobs: list[tuple[JobThread, RenditionEncoder | None]] = []
        with self._shared.lock:
            was_running, self._shared.is_running = self._shared.is_running, False
            self._shared.place_freed.notify_all()
            self._shared.queue.clear()
            self._path.post_deferred()
            decode_thread = self._resources.decode_thread
            if not was_running or decode_thread is None:
                return
            last_jobs += [(encoder.thread, encoder) for encoder in self._resources.encoders]
            last_jobs.append((decode_thread, None))
            self._threads_left = len(last_jobs)
        decode_thread.post(self._path.post_all)
        for thread, encoder in last_jobs:
            thread.post(partial(self._thread_done, encoder if flush else None))

    def _thread_done(self, encoder: RenditionEncoder | None) -> None:
        """In each thread, behind all that was posted to it: flush that encoder."""
        if encoder is not None and not encoder.lost:
            try:
                for event in encoder.flush():
                    self._life.post(event)
            except Exception as error:
                log.warning("flush failed stream=%s error=%s", self._label, error)
        with self._shared.lock:
            self._threads_left -= 1
            is_last = self._threads_left == 0
        if is_last:
            self._life.on_stopped()

    # ---- from the loop: what an encoder process says ------------------------------------------

    def on_place_freed(self, rendition: int) -> None:
        """A picture is encoded elsewhere, or never will be."""
        self._path.handover.on_place_freed(rendition)

    def on_rendition_lost(self, rendition: int, pts_ms: int, reason: str) -> None:
        """The encoder of a rendition has failed elsewhere."""
        remote = self._resources.remote
        if rendition < len(remote):
            self._path.on_rendition_lost(remote[rendition], pts_ms, reason)

    def need_key(self) -> None:
        """Make the next picture a keyframe."""
        self._path.need_key()

    def close(self) -> None:
        """Forget the decode stage, and the pictures that it keeps."""
        self._stage = None

    @property
    def threads_left(self) -> int:
        """Threads that still have to do what was posted to them before `stop`."""
        return self._threads_left

    def queue_state(self) -> QueueState:
        with self._shared.lock:
            return self._shared.queue.state()

    def watch(self, awake_s: float) -> float:
        """Return how long something has waited undone; `awake_s` since the last look."""
        with self._shared.lock:
            thread, steps = self._resources.decode_thread, self._steps
            is_backed_up = self._resources.is_backed_up()
            is_decoding = self._is_scheduled or bool(len(self._shared.queue) and not is_backed_up)
            encoding = [
                (encoder, encoder.waiting > 0, encoder.done) for encoder in self._resources.encoders
            ]
        if thread is None:
            return 0.0
        stalled_s = self._stall.observe(is_decoding, steps, awake_s, thread.starved_s)
        if self._opens_late and not self._counts.pictures:
            stalled_s = max(0.0, stalled_s - OPENING_S)
        for encoder, is_waiting, done in encoding:
            seconds = encoder.stall.observe(is_waiting, done, awake_s, encoder.thread.starved_s)
            stalled_s = max(stalled_s, seconds - OPENING_S * encoder.is_opening)
        return stalled_s
