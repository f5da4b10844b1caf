"""A picture's way through a session, from the decoder to the worker's loop (IO: threads).

Top to bottom, in two threads or one:

1. `follow`: `decode_stage.py` has decoded it; which renditions take the picture, and as what?
2. `_make`: those that can take it are chosen, and the decode stage scales it for them.
3. `_submit`: each rendition's job goes to that rendition's thread, or is deferred: then the decode
   thread encodes it, inline (`inline_encoding.py`), when it is done with the picture. Where
   encoder processes encode (`worker/encoders/`), `picture_handover.py` posts it for these instead.
4. `_encode`: `rendition_encoder.py` encodes it and makes the tag.
5. `_post_batched`: the tag's event goes to the loop, at once or with those of others.

`pipeline.py` has a unit's way to the decoder, `registry.py` the tag's way out.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial

from common.errors import DeviceLost, EncodeFailed
from worker.devices.backend import SURFACE_BACKLOG, Picture
from worker.frames.in_flight import UnitFacts
from worker.frames.late_frames import Lateness
from worker.frames.timing import Verdict
from worker.session.context import SessionContext, SessionKey
from worker.session.decode_stage import DecodeStage, PlannedPicture
from worker.session.events import Ended, Event, SessionLife
from worker.session.inline_encoding import DEFAULT_INTERVAL_S, choose_inline, inline_share
from worker.session.picture_handover import MOST_SHARED, PictureHandover
from worker.session.progress import Degradation, SessionCounts
from worker.session.rendition import SessionRendition
from worker.session.rendition_encoder import DeferredJob, EncodeJob, RenditionEncoder
from worker.session.resources import SessionResources
from worker.session.shared import Shared

log = logging.getLogger("tfarm.worker.session.picture_path")

WHOLE = Degradation()
# Of a stream that nobody plays: where its queue is never empty, its tags go out all the same.
MAX_BATCHED_EVENTS = 32
# Of a stream that nobody plays, whose units come in batches (0.2 s of them).
_UNPLAYED_QUEUE_MS = 450
# The shallowest backlog at which a rendition drops pictures: one place is left for a keyframe.
_DROP_BACKLOG = SURFACE_BACKLOG - 1


class PicturePath:
    """Takes what the decode stage gives, and posts what its encoders make of it.

    A rendition's pictures go to one thread as long as any of them waits: its own, one that it
    shares, or the decode thread. Everything but `_encode` is called in the decode thread.
    """

    def __init__(
        self,
        context: SessionContext,
        key: SessionKey,
        label: str,
        life: SessionLife,
        resources: SessionResources,
        counts: SessionCounts,
        shared: Shared,
        schedule: Callable[[], None],
    ) -> None:
        """`schedule` is called with the lock held when a rendition is done with a picture."""
        self.degradation = Degradation()  # as asked for; the loop's
        self.lateness = Lateness(shared.queue.limit_ms)
        self._applied = self.degradation
        self._context = context
        self._stream_id = key[0]
        self._label = label
        self._life = life
        self._resources = resources
        self._counts = counts
        self._shared = shared
        self._schedule = schedule
        self._clock = context.clock
        self._load = context.load
        self._deferred: list[DeferredJob] = []  # guarded by the lock
        self._inline_left = 0  # deferred jobs that are not encoded yet
        self._batched_events: list[Event] = []  # of those that are
        self._must_be_key = False  # the next picture: another encoder process has the stream
        self.handover = PictureHandover(
            context, life, resources, counts, shared, schedule, self.on_rendition_lost
        )

    # ---- 1. which renditions take the picture, and as what ------------------------------------

    def follow(self, stage: DecodeStage, pictures: Sequence[Picture]) -> None:
        """Take pictures on from the decoder, until the session ends."""
        for picture in pictures:
            if not self._shared.is_running:
                return
            if self._applied is not self.degradation:
                self._apply(self.degradation, stage)
            self.force_key_if_due(stage)
            self.follow_one(stage, stage.plan(picture))

    def need_key(self) -> None:
        """From any thread: make the next picture a keyframe."""
        self._must_be_key = True

    def force_key_if_due(self, stage: DecodeStage) -> None:
        """Before a picture is planned: make it a keyframe, if `need_key` was called."""
        if self._must_be_key:
            self._must_be_key = False
            stage.timer.grid.force_next()

    def follow_one(self, stage: DecodeStage, planned: PlannedPicture) -> None:
        """Do what was planned for a picture."""
        match planned.plan.verdict:
            case Verdict.ENCODE:
                for rendition in self._resources.renditions:
                    rendition.carry(planned.facts)
                self._make(stage, planned)
            case Verdict.PAST_END:
                self._life.wind_down(Ended("moved", trouble=False), flush=True)
            case Verdict.SKIP:
                pass

    # ---- 2. scaled for those that can take it -------------------------------------------------

    def _make(self, stage: DecodeStage, planned: PlannedPicture) -> None:
        """Have the picture scaled and encoded for each rendition that can take it."""
        if self._resources.pool is not None:
            self.handover.wait_for_places(planned.plan.renditions)
        chosen = self._choose(planned)
        if not chosen:
            return
        surfaces = stage.scale(planned, chosen)
        if not surfaces:
            return
        if self._resources.pool is not None:
            self.handover.hand_over(stage, planned, chosen, surfaces)
            return
        picture, plan, facts = planned.picture, planned.plan, planned.facts
        scaled_s = self._clock()
        inline = self._choose_inline(stage, chosen, facts)
        # First those with threads of their own, small renditions first: they are done while the
        # large one is still at it. Those encoded inline come one after the other: the large one
        # first, so that all are done after about the same time.
        order = list(zip(chosen, surfaces, inline, strict=True))
        order.sort(key=lambda entry: entry[0] if entry[2] else -1 - entry[0])
        for index, surface, is_inline in order:
            encoder = self._resources.encoders[index]
            fps, is_key = None, plan.is_key or encoder.begins
            if is_key:
                fps = encoder.rate_to_open_for(stage.timer.rate(index), picture.pts_ms)
            sei = encoder.take_carried()
            job = EncodeJob(surface, is_key, sei, facts.received_s, facts.is_replay, scaled_s, fps)
            self._submit(encoder, job, is_inline)

    def _choose(self, planned: PlannedPicture) -> list[int]:
        """The renditions that take the picture; one that is behind drops it if it is late."""
        plan, facts = planned.plan, planned.facts
        if facts.is_replay:
            self.lateness.opened_s = self._clock()  # what was there before is caught up with
        is_late = (
            not plan.is_key
            and facts.received_s > 0
            and self.lateness.is_late(facts.received_s, self._clock(), self._queued_ms)
        )
        chosen = []
        for index in plan.renditions:
            rendition = self._resources.renditions[index]
            if not rendition.takes(planned.picture.pts_ms, is_key=plan.is_key):
                continue
            is_full = self._resources.pool is not None and rendition.waiting >= MOST_SHARED
            if is_full or (is_late and rendition.waiting >= _DROP_BACKLOG):
                self._counts.renditions[index].dropped_unscaled += 1
            else:
                chosen.append(index)
        return chosen

    def _choose_inline(
        self, stage: DecodeStage, chosen: Sequence[int], facts: UnitFacts
    ) -> list[bool]:
        """Return which of them are encoded inline; none while this thread must catch up."""
        if not self._resources.can_encode_inline or facts.is_replay:
            return [False] * len(chosen)
        queued_ms = self._queued_ms()
        has_players = self.has_players()
        if queued_ms and (queued_ms > _UNPLAYED_QUEUE_MS or has_players):
            return [False] * len(chosen)
        costs = [self._resources.encoders[index].cost.seconds for index in chosen]
        fps = stage.timer.source_fps
        share = inline_share(
            has_players=has_players,
            is_saturated=self._load.is_saturated,
            groups_small_encoders=self._resources.groups_small_encoders,
        )
        interval_s = 1 / fps if fps else DEFAULT_INTERVAL_S
        return choose_inline(costs, stage.cost.seconds, interval_s, share)

    # ---- 3. to the thread that encodes it -----------------------------------------------------

    def _submit(self, encoder: RenditionEncoder, job: EncodeJob, is_inline: bool) -> None:
        """Have a picture encoded; `is_inline`: by the decode thread, if no other has one of it."""
        with self._shared.lock:
            # behind the last job of its thread it would meet an encoder that is flushed or closed
            if not self._shared.is_running:
                return
            decode_thread = self._resources.decode_thread
            if not encoder.waiting:
                if is_inline and decode_thread:
                    encoder.thread = decode_thread
                else:
                    encoder.thread = self._resources.encode_thread(
                        encoder, is_saturated=self._load.is_saturated
                    )
                if encoder.thread is not decode_thread:
                    self.post_all()  # before what comes from there
            encoder.waiting += 1
            if encoder.thread is decode_thread:
                self._inline_left += 1
                self._deferred.append(DeferredJob(encoder, job))
            else:
                encoder.thread.post(partial(self._encode, encoder, job))

    def post_deferred(self) -> None:
        """With the lock held: have the decode thread encode what was deferred, by rendition.

        Of a batch that nobody waits for, several pictures of a rendition come before the next
        rendition's: encoders empty one another's caches (docs/performance.md).
        """
        deferred, self._deferred = self._deferred, []
        deferred.sort(key=lambda entry: entry.encoder.index)  # stable: pictures keep their order
        for entry in deferred:
            entry.encoder.thread.post(partial(self._encode, entry.encoder, entry.job))

    @property
    def has_deferred(self) -> bool:
        return bool(self._deferred)

    # ---- 4. encoded, in the rendition's thread or the decode thread ---------------------------

    def _encode(self, encoder: RenditionEncoder, job: EncodeJob) -> None:
        is_inline = encoder.thread is self._resources.decode_thread
        if is_inline:
            # Now, not behind the rendition before: the loop's thread wakes when the scaler is about
            # to give the GIL up. One that has to wait for the GIL is woken a second time, and no
            # kernel takes the core from an encoder for that (docs/performance.md).
            self._post_batched()
        try:
            if self._is_too_late(encoder, job):
                encoder.drop(job)
                self._counts.renditions[encoder.index].dropped_waiting += 1
            else:
                events = encoder.encode(
                    job, self._counts.stages, self._clock, self._context.cpu_clock
                )
                for event in events:
                    if is_inline:
                        self._batched_events.append(event)
                    else:
                        self._life.post(event)
        except EncodeFailed as error:
            self.on_rendition_lost(encoder, job.surface.pts_ms, str(error))
        except (DeviceLost, MemoryError) as error:
            self._life.on_device_lost(error)
        except Exception as error:
            name = encoder.rendition.name
            log.exception("encoding failed stream=%s rendition=%s", self._label, name)
            self.on_rendition_lost(encoder, job.surface.pts_ms, f"failed: {error}")
        if is_inline:
            self._inline_left -= 1
            if not self._inline_left:
                self._post_batched()
        with self._shared.lock:
            encoder.waiting -= 1
            encoder.done += 1
            self._schedule()

    def _is_too_late(self, encoder: RenditionEncoder, job: EncodeJob) -> bool:
        """Return whether a picture waited so long that others, which wait behind it, go first."""
        if job.is_key or job.is_replay:
            return False
        with self._shared.lock:
            is_followed = encoder.waiting > 1
        return is_followed and self.lateness.is_too_late(job.received_s, self._clock())

    # ---- 5. events of inline encoding, to the loop --------------------------------------------

    def _post_batched(self) -> None:
        """Post what the decode thread has encoded, once that is worth waking the loop.

        As soon as there is a tag; among many streams once a picture; for nobody, once a batch.
        """
        if not self._batched_events:
            return
        is_followed = len(self._shared.queue) and len(self._batched_events) < MAX_BATCHED_EVENTS
        if self._inline_left and self._load.is_saturated:
            return
        if (self._inline_left or is_followed) and not self.has_players():
            return
        self.post_all()

    def end_entry(self) -> None:
        """The decode thread is done with an entry: post what no job of it will."""
        if self._batched_events and not self._inline_left:
            self._post_batched()

    def post_all(self) -> None:
        """Post every event that waits, before one that must come behind them."""
        batched, self._batched_events = self._batched_events, []
        for event in batched:
            self._life.post(event)

    def on_rendition_lost(self, rendition: SessionRendition, pts_ms: int, reason: str) -> None:
        """Go on without a rendition whose encoder has failed; end with the last."""
        # another try is not worth a line
        level = logging.DEBUG if rendition.lost else logging.ERROR
        rendition.fail(reason, pts_ms)
        log.log(level, "rendition lost stream=%s reason=%s", self._label, reason)
        if all(other.lost for other in self._resources.renditions):
            self._life.wind_down(Ended(reason, trouble=True), flush=False)

    # ---- beside a picture's way ---------------------------------------------------------------

    def _apply(self, degradation: Degradation, stage: DecodeStage) -> None:
        self._applied = degradation
        stage.timer.divide(0, degradation.top_rate_divisor)
        for rendition in self._resources.renditions:
            if rendition.index < degradation.dropped_renditions:
                rendition.pause()
            elif rendition.resume() and isinstance(rendition, RenditionEncoder):
                self.post_all()  # before it
                self._life.post(rendition.began())
        for encoder in self._resources.encoders:
            if encoder.tap is not None:
                encoder.tap.is_suspended = degradation != WHOLE
        log.warning(
            "stream degraded stream=%s top_rate_divisor=%d dropped_renditions=%d",
            self._label,
            degradation.top_rate_divisor,
            degradation.dropped_renditions,
        )

    def _queued_ms(self) -> int:
        with self._shared.lock:
            return self._shared.queue.span_ms

    def has_players(self) -> bool:
        """Return whether somebody plays any of the stream."""
        return self._context.has_players(self._stream_id)
