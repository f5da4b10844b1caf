"""One stream's renditions in an encoder process, and the threads that encode them (IO: threads).

The loop hands pictures in, in order; each goes to its rendition's thread. What a thread has done
with a picture comes back as one event: the tags that it gave, the place that is free again, and
what failed. An encoder is opened in its thread, with the first picture or, after a failure, with
the next that asks for it.

Late pictures are dropped here as a worker drops them that encodes itself
(`worker/frames/late_frames.py`): those that grew old while they waited, if others wait behind them.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial

from common.errors import WorkerError
from common.ipc.encoder_messages import (
    EncodedRendition,
    EncoderMeasured,
    EncoderOpen,
    EncoderPictures,
    ScaledPicture,
)
from common.ipc.identity import Generation, StreamId
from common.process.log import stream_label
from worker.devices.backend import Encoder
from worker.devices.software.encode import SoftEncoder
from worker.devices.software.pool_frames import FORMAT, PoolFrames, PoolSurface
from worker.devices.turns import Turns
from worker.frames.late_frames import Lateness
from worker.pool.layout import Places
from worker.pool.memory import MappedPool
from worker.quality.measurer import Measurer
from worker.quality.ssim import Likeness
from worker.quality.tap import tap_of
from worker.session.events import RenditionBegan, RenditionCoded
from worker.session.progress import Stall
from worker.session.rendition_encoder import EncodeJob, RenditionEncoder
from worker.threads import JobThread, SessionThreads

log = logging.getLogger("tfarm.worker.encoder.stream")


@dataclass(slots=True)  # not frozen: made for every picture
class PictureEvent:
    """What has become of one picture; or of a flush, without a place."""

    rendition: int
    slot: int
    pts_ms: int
    results: list[RenditionBegan | RenditionCoded] = field(default_factory=list)
    lost: str = ""  # why the rendition gives nothing more
    handover_s: float = 0.0
    encode_s: float = 0.0


@dataclass(frozen=True, slots=True)
class RenditionRested:
    """A rendition's encoder is closed, as nobody plays it."""

    rendition: int
    began: RenditionBegan | None = None  # what it was, where none had been opened before


@dataclass(frozen=True, slots=True)
class RenditionMeasured:
    """How much a rendition's keyframe is like the picture that it was made of."""

    rendition: int
    likeness: Likeness

    def message(self, stream: tuple[StreamId, Generation, int]) -> EncoderMeasured:
        """What the worker is told; `stream` with the number of its opening."""
        return EncoderMeasured(*stream, self.rendition, self.likeness.ssim, self.likeness.psnr_db)


StreamEvent = PictureEvent | RenditionMeasured | RenditionRested


@dataclass(frozen=True, slots=True)
class EncodingContext:
    """What the streams of a process share."""

    threads: SessionThreads
    turns: Turns
    encoder_threads: int
    post: Callable[["StreamEncoders", StreamEvent | None], None]  # from any thread; None: closed
    measurer: Measurer = field(default_factory=Measurer)


class _Times:
    """Takes the times that an encoder tells of one picture."""

    __slots__ = ("seconds",)

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def add(self, stage: str, seconds: float) -> None:
        self.seconds[stage.partition(":")[0]] = seconds


class _Rendition:
    """A rendition, its places in the pool and its encoder."""

    def __init__(
        self, index: int, given: EncodedRendition, pool: MappedPool, pictures: int
    ) -> None:
        self.index = index
        self.given = given
        self.encoder: RenditionEncoder | None = None  # its thread's
        self.posted = 0  # pictures; the loop's
        self.done = 0  # the thread's
        self.stall = Stall()  # the loop's
        places = places_of(given)
        self._frames = PoolFrames(pool, places, pictures)

    @property
    def waiting(self) -> int:
        """Pictures that are not encoded yet."""
        return self.posted - self.done

    def surface(self, slot: int, pts_ms: int) -> PoolSurface:
        return self._frames.surface(slot, pts_ms)


class StreamEncoders:
    """One stream's encoders. Call everything from the loop."""

    def __init__(self, message: EncoderOpen, pool: MappedPool, context: EncodingContext) -> None:
        """The message has been looked at: its places lie in the pool."""
        self.opening = message.opening
        self.pool = message.pool
        self.renditions = [
            _Rendition(index, given, pool, message.pictures)
            for index, given in enumerate(message.renditions)
        ]
        self._pictures = message.pictures
        self._format = message.format
        self._label = stream_label(message.stream_id)
        self._context = context
        self._lateness = Lateness(message.queue_ms)
        self._lateness.opened_s = time.monotonic()
        samples = [one.given.format.width * one.given.format.height for one in self.renditions]
        self._threads = context.threads.for_encoding(samples)
        self._thread_of: list[JobThread] = list(self._threads)
        self._lock = threading.Lock()
        self._left = 0  # threads that still have something to do, since `close`; under the lock
        self._is_closed = False
        self._is_dropped = False

    @property
    def is_closing(self) -> bool:
        """Return whether it was told to close, and does what came before."""
        return self._is_closed

    @property
    def is_idle(self) -> bool:
        """Return whether every picture that came is encoded, or dropped."""
        return not any(rendition.waiting for rendition in self.renditions)

    def can_take(self, picture: ScaledPicture) -> bool:
        """Return whether a picture's rendition and place are there."""
        return self.has(picture.rendition) and 0 <= picture.slot < self._pictures

    def put(self, message: EncoderPictures, payloads: Sequence[bytes]) -> None:
        """Have a picture encoded; every one of it can be taken."""
        if self._is_closed:
            return
        # small renditions first: they are done while the large one is still at it
        entries = list(zip(message.pictures, payloads, strict=True))
        for picture, sei in reversed(entries):
            rendition = self.renditions[picture.rendition]
            fps = Fraction(picture.fps_num, max(1, picture.fps_den)) if picture.fps_num else None
            job = EncodeJob(
                rendition.surface(picture.slot, message.pts_ms),
                message.is_key or fps is not None,
                sei,
                message.received_s,
                message.is_replay,
                message.scaled_s,
                fps,
            )
            thread = self._thread_for(rendition, is_saturated=message.is_saturated)
            rendition.posted += 1
            thread.post(partial(self._encode, rendition, picture.slot, job, picture.begins))

    def has(self, rendition: int) -> bool:
        """Return whether there is such a rendition."""
        return 0 <= rendition < len(self.renditions)

    def rest(self, index: int) -> None:
        """Close a rendition's encoder behind its last picture; one that it has."""
        if self._is_closed:
            return
        rendition = self.renditions[index]
        thread = self._thread_for(rendition, is_saturated=False)
        rendition.posted += 1  # what comes meanwhile goes to the same thread
        thread.post(partial(self._rest, rendition))

    def close(self, *, drop: bool = False) -> None:
        """Do what came, then post None; `drop`: without encoding it."""
        self._is_dropped |= drop
        if self._is_closed:
            return
        self._is_closed = True
        threads = {id(thread): thread for thread in self._threads}
        self._left = len(threads)
        for thread in threads.values():
            thread.post(self._end_thread)

    def stalled_s(self, awake_s: float) -> float:
        """Return how long something has waited undone; `awake_s` since the last look."""
        if self._is_dropped:
            return 0.0
        return max(
            rendition.stall.observe(
                rendition.waiting > 0,
                rendition.done,
                awake_s,
                self._thread_of[rendition.index].starved_s,
            )
            for rendition in self.renditions
        )

    def _thread_for(self, rendition: _Rendition, *, is_saturated: bool) -> JobThread:
        """Its own, or where every core has a stream the first one's; the same while it waits.

        Every core of the host, not of this process's part: one thread may be too slow for a stream,
        and processes do not have the same number of them.
        """
        if not rendition.waiting:
            index = 0 if is_saturated else rendition.index
            self._thread_of[rendition.index] = self._threads[index]
        return self._thread_of[rendition.index]

    # ---- the threads --------------------------------------------------------------------------

    def _encode(self, rendition: _Rendition, slot: int, job: EncodeJob, begins: bool) -> None:
        pts_ms = job.surface.pts_ms
        event = PictureEvent(rendition.index, slot, pts_ms)
        try:
            if not self._is_dropped:
                self._encode_for(event, rendition, job, begins)
        except WorkerError as error:
            self._fail(event, rendition, str(error))
        except MemoryError:
            self._fail(event, rendition, "out of memory in an encoder")
        except Exception as error:
            log.exception("encoding failed stream=%s", self._label)
            self._fail(event, rendition, f"failed: {error}")
        rendition.done += 1
        self._context.post(self, event)

    def _encode_for(
        self, event: PictureEvent, rendition: _Rendition, job: EncodeJob, begins: bool
    ) -> None:
        encoder = rendition.encoder
        if encoder is None:
            if not job.is_key:
                return  # it did not open
            encoder = rendition.encoder = self._open(rendition, job.fps or rendition.given.fps)
            event.results.append(encoder.began())
        elif not encoder.is_open and job.is_key and job.fps is None:
            job = replace(job, fps=encoder.fps)  # it rested, and what woke it was not taken
        elif begins:
            event.results.append(encoder.began())
        if self._is_too_late(rendition, job):
            encoder.drop(job)
            return
        times = _Times()
        event.results += encoder.encode(job, times, time.monotonic, time.thread_time)
        event.handover_s = times.seconds.get("handover", 0.0)
        event.encode_s = times.seconds.get("encode", 0.0)

    def _rest(self, rendition: _Rendition) -> None:
        began = None
        try:
            if not self._is_dropped:
                if rendition.encoder is None:  # for its headers
                    rendition.encoder = self._open(rendition, rendition.given.fps)
                    began = rendition.encoder.began()
                rendition.encoder.close()
        except (WorkerError, MemoryError) as error:
            log.warning("rendition unknown stream=%s reason=%s", self._label, error)
        except Exception:
            log.exception("encoding failed stream=%s", self._label)
        rendition.done += 1
        self._context.post(self, RenditionRested(rendition.index, began))

    def _open(self, rendition: _Rendition, fps: Fraction) -> RenditionEncoder:
        thread = self._thread_of[rendition.index]
        return RenditionEncoder(
            rendition.index,
            rendition.given.format,
            thread,
            fps,
            partial(self._open_encoder, rendition),
            tap=tap_of(
                self._label,
                rendition.given.format,
                self._context.measurer,
                partial(self._on_measured, rendition.index),
            ),
        )

    def _on_measured(self, rendition: int, likeness: Likeness) -> None:
        """In the thread that measures."""
        self._context.post(self, RenditionMeasured(rendition, likeness))

    def _open_encoder(self, rendition: _Rendition, fps: Fraction) -> Encoder:
        """Raises EncodeFailed, DeviceLost."""
        return SoftEncoder(
            rendition.given.format,
            self._format,
            fps,
            pixel_format=FORMAT,
            threads=self._context.encoder_threads,
            turns=self._context.turns,
        )

    def _is_too_late(self, rendition: _Rendition, job: EncodeJob) -> bool:
        if job.is_key or job.is_replay or rendition.waiting <= 1:
            return False
        return self._lateness.is_too_late(job.received_s, time.monotonic())

    def _fail(self, event: PictureEvent, rendition: _Rendition, reason: str) -> None:
        event.lost = reason
        if rendition.encoder is not None:
            rendition.encoder.fail(reason, event.pts_ms)

    def _end_thread(self) -> None:
        """In each thread, behind all that was posted to it: the last one closes the encoders.

        Nothing is inside these: each picture came out of the call that took it in.
        """
        with self._lock:
            self._left -= 1
            is_last = not self._left
        if is_last:
            for rendition in self.renditions:
                rendition.encoder = None
            self._context.post(self, None)

    def release(self) -> None:
        """On the loop, once it is closed: give back threads and memory."""
        for thread in self._threads:
            self._context.threads.release(thread)
        self._threads = []
        self.renditions = []


def places_of(given: EncodedRendition) -> Places:
    """Where a rendition's pictures lie, as the worker says."""
    return Places(given.format.width, given.format.height, given.pitch, given.offset)
