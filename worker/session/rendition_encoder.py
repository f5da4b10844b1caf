"""One rendition of a session: its captions, its encoder and that encoder's failures (IO: threads).

The encoder is opened anew, at a keyframe, when the rendition's real rate turns out to be another
than the one that its rate control was opened for, and when it has failed: what it lacks may be
there again, as an encoder session that another program has taken meanwhile; but not while the
driver's limit on those was reached a moment ago.

`encode`, `fail`, `drop` and `flush` are called in the thread that encodes, the rest in the decode
thread. Nothing here is shared but `waiting` and `done`, which the pipeline's lock guards, `lost`,
`_retry_at_ms` and `_was_refused`, which the encoding thread writes, and `stall`, which is the
loop's.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from common.config.ladder import RenditionFormat
from common.errors import EncoderLimitReached
from common.media.rates import FrameRate, usual_rate
from common.process.stage_times import StageTimes
from worker.devices.backend import Encoder, Surface
from worker.frames.captions import WaitingCaptions
from worker.output.mux import coded_picture, describe, metadata, parameter_sets, sequence_header
from worker.output.rendition_output import CodedTag
from worker.session.events import RenditionBegan, RenditionCoded
from worker.session.inline_encoding import CpuCost
from worker.session.progress import Stall
from worker.threads import JobThread

log = logging.getLogger("tfarm.worker.session.rendition_encoder")

_RATE_ERROR = 0.08  # of the rate an encoder was opened for; more, and it is opened anew
_MEASURE_MS = 2000
_REOPEN_MS = 10_000
# After a failure it is opened again at the next keyframe this much later, then twice as much …
_RETRY_MS = 1_000
_MAX_RETRY_MS = 32_000
_STEADY_MS = 60_000  # … until it has gone well for so long

OpenEncoder = Callable[[Fraction], Encoder]


@dataclass(frozen=True, slots=True)
class EncodeJob:
    """One picture to be encoded for one rendition."""

    surface: Surface
    is_key: bool
    sei: bytes  # captions, with their length in front
    received_s: float
    is_replay: bool
    scaled_s: float  # when the scaler gave the surface
    fps: Fraction | None  # to open the encoder anew for


class RenditionEncoder:
    """A rendition, the thread that encodes it and its encoder."""

    def __init__(
        self,
        index: int,
        rendition: RenditionFormat,
        thread: JobThread,
        fps: Fraction,
        open_encoder: OpenEncoder,
        is_limit_near: Callable[[], bool],
    ) -> None:
        """Raises EncodeFailed, DeviceLost."""
        self.index = index
        self.rendition = rendition
        self.own_thread = thread
        self.thread = thread  # that encodes its pictures now
        self.cost = CpuCost()  # of a picture
        self.captions = WaitingCaptions()
        self.waiting = 0  # pictures posted and not yet encoded
        self.done = 0  # pictures encoded or dropped
        self.is_paused = False  # degraded: it gets no pictures; the decode thread's
        self.needs_key = False  # it was paused
        self.is_opening = False  # the encoder is being opened anew
        self.stall = Stall()
        self.lost = ""  # why it gives nothing at present
        self._stages = [f"{stage}:{rendition.name}" for stage in ("handover", "scale", "encode")]
        self._fps = fps  # that the encoder was opened for
        self._open_encoder = open_encoder
        self._is_limit_near = is_limit_near  # no encoder session is to be had
        self._was_refused = False  # one, for that reason
        self._encoder: Encoder | None = open_encoder(fps)
        self._config = self._encoder.config
        # Goes ahead of the next picture: a new encoder's parameter sets, SEI of dropped pictures.
        self._unsent = self._parameter_sets()
        self._opened_anew_ms: int | None = None
        self._failed_ms: int | None = None
        self._retry_ms = _RETRY_MS
        self._retry_at_ms = 0  # if it is lost

    def began(self) -> RenditionBegan:
        """The event that describes the encoder as it is now."""
        header = sequence_header(self._config)
        rendition, fps = self.rendition, self._fps
        return RenditionBegan(
            self.index, describe(rendition, fps), metadata(rendition, fps), header
        )

    # ---- the decode thread --------------------------------------------------------------------

    def takes(self, pts_ms: int, *, is_key: bool) -> bool:
        """Return whether this picture, which the rendition's rate asks for, can be encoded."""
        if self.is_paused or (self.needs_key and not is_key) or self._is_out(pts_ms, is_key):
            return False
        self.needs_key = False
        return True

    def pause(self) -> None:
        """Take no more pictures."""
        self.is_paused = True

    def resume(self) -> RenditionBegan | None:
        """Take pictures again from the next keyframe on; the event that says so, if it paused."""
        if not self.is_paused:
            return None
        self.is_paused, self.needs_key = False, True
        return self.began()  # egress has forgotten it

    def rate_to_open_for(self, meter: FrameRate, pts_ms: int) -> Fraction | None:
        """The rate to open the encoder anew for, if it was opened for a wrong one, or is lost."""
        if self.lost:
            return self._fps
        measured = meter.fps
        if measured is None or meter.measured_ms < _MEASURE_MS:
            return None
        if abs(measured / float(self._fps) - 1) <= _RATE_ERROR:
            return None
        if self._opened_anew_ms is not None and pts_ms - self._opened_anew_ms < _REOPEN_MS:
            return None
        self._opened_anew_ms = pts_ms
        return usual_rate(measured)

    def _is_out(self, pts_ms: int, is_key: bool) -> bool:
        """Return whether it has failed, and this picture is not one to try again with."""
        if not self.lost:
            return False
        if not is_key or pts_ms < self._retry_at_ms:
            return True
        return self._was_refused and self._is_limit_near()

    # ---- the thread that encodes --------------------------------------------------------------

    def encode(
        self,
        job: EncodeJob,
        stages: StageTimes,
        clock: Callable[[], float],
        cpu_clock: Callable[[], float],
    ) -> Iterator[RenditionBegan | RenditionCoded]:
        """Encode one picture. Raises EncodeFailed (this rendition), DeviceLost (all)."""
        began_s, began_cpu_s = clock(), cpu_clock()
        encoder = self._encoder
        if job.fps is not None and (self.lost or job.fps != self._fps):
            encoder = self._open_anew(job.fps)
            yield self.began()
        if encoder is None or self.lost:
            return  # it was on its way when the encoder failed
        job.surface.prepare()
        prepared_s = clock()
        units = encoder.encode(job.surface, force_idr=job.is_key)
        coded_s = clock()
        if job.fps is None:
            self.cost.add(cpu_clock() - began_cpu_s)
        if not job.is_replay:
            handover, scale, encode = self._stages
            stages.add(handover, began_s - job.scaled_s)
            stages.add(scale, prepared_s - began_s)
            stages.add(encode, coded_s - prepared_s)
        ahead, self._unsent = self._unsent + job.sei, b""
        for unit in units:
            body = coded_picture(unit.data, unit.is_idr, ahead)
            tag = CodedTag(unit.pts_ms, unit.is_idr, job.received_s, body)
            yield RenditionCoded(self.index, tag, job.is_replay, coded_s)
            ahead = b""

    def drop(self, job: EncodeJob) -> None:
        """Encode nothing for this picture; its captions go with the next one."""
        self._unsent += job.sei

    def fail(self, reason: str, pts_ms: int) -> None:
        """Give nothing, from this picture on, up to a keyframe that it can be opened with."""
        if self._failed_ms is None or pts_ms - self._failed_ms > self._retry_ms + _STEADY_MS:
            self._retry_ms = _RETRY_MS
        else:
            self._retry_ms = min(_MAX_RETRY_MS, 2 * self._retry_ms)
        self._failed_ms = pts_ms
        self._retry_at_ms = pts_ms + self._retry_ms
        self.lost = reason

    def flush(self) -> Iterator[RenditionCoded]:
        """Give what the encoder still has: nothing, with those in use. Raises as `encode`."""
        for unit in self._encoder.flush() if self._encoder is not None else ():
            body = coded_picture(unit.data, unit.is_idr)
            yield RenditionCoded(
                self.index, CodedTag(unit.pts_ms, unit.is_idr, 0.0, body), is_replay=True
            )

    def close(self) -> None:
        encoder, self._encoder = self._encoder, None
        if encoder is not None:
            encoder.close()

    def _parameter_sets(self) -> bytes:
        """The encoder's, as they stand in its first picture.

        VLC 3 reads no header of a running stream, so where another session goes on, or the encoder
        was opened anew, it would decode by parameter sets of another size or another encoder.
        """
        return parameter_sets(self._config)

    def _open_anew(self, fps: Fraction) -> Encoder:
        # first closed, then opened: the device may have no encoder to spare
        before, self._fps = self._fps, fps
        self.is_opening = True
        self._was_refused = False
        try:
            self.close()
            encoder = self._encoder = self._open_encoder(fps)
        except EncoderLimitReached:
            self._was_refused = True
            raise
        finally:
            self.is_opening = False
        self._config = encoder.config
        self._unsent = self._parameter_sets() + self._unsent
        log.info(
            "encoder opened anew rendition=%s fps=%s instead_of=%s after=%s",
            self.rendition.name,
            fps,
            before,
            self.lost or "another rate",
        )
        self.lost = ""
        return encoder


@dataclass(frozen=True, slots=True)
class DeferredJob:
    """An encode job that the decode thread keeps for itself."""

    encoder: RenditionEncoder
    job: EncodeJob
