"""One rendition of a session at work in its thread: prepares surfaces, encodes them, makes tags.

The encoder is opened anew, at a keyframe, when the rendition's real rate turns out to be another
than the one that its rate control was opened for, and when it has failed: what it lacks may be
there again, as an encoder session that another program has taken meanwhile; but not while the
driver's cap on those was met a moment ago. `RenditionEncoder.encode`, `failed` and `flush` are
called in the rendition's thread, the rest in the decode thread; nothing here is shared but
`waiting` and `done`, which the session guards, `lost`, `_try_again_ms` and `_was_refused`, which
the rendition's thread writes, and `stall`, which is the loop's.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from common.config.ladder import RenditionFormat
from common.errors import EncoderLimitReached
from common.process.stage_times import StageTimes
from worker.devices.backend import Encoder, Surface
from worker.frames.captions import WaitingCaptions
from worker.frames.timing import RateMeter, usual_rate
from worker.output.mux import coded_picture, metadata, sequence_header
from worker.output.rendition_output import CodedTag
from worker.session.events import RenditionBegan, RenditionCoded
from worker.session.inline_encoding import Cost
from worker.session.stall import Stall
from worker.threads import JobThread

log = logging.getLogger("tfarm.worker.session.rendition_encoder")

_RATE_ERROR = 0.08  # of the rate an encoder was opened for; more, and it is opened anew
_MEASURE_MS = 2000
_REOPEN_MS = 10_000
# After a failure its thread tries again at the next keyframe this much later, then twice as much …
_RETRY_MS = 1_000
_MAX_RETRY_MS = 32_000
_STEADY_MS = 60_000  # … until it has gone well for so long

OpenEncoder = Callable[[Fraction], Encoder]


@dataclass(frozen=True, slots=True)
class EncodeJob:
    """One picture for one rendition."""

    surface: Surface
    is_key: bool
    sei: bytes  # captions, with their length in front
    received_s: float
    is_replay: bool
    given_s: float
    fps: Fraction | None  # to open the encoder anew for


class RenditionEncoder:
    """A rendition, its thread and its encoder."""

    def __init__(
        self,
        index: int,
        rendition: RenditionFormat,
        thread: JobThread,
        fps: Fraction,
        open_encoder: OpenEncoder,
        is_capped: Callable[[], bool],
    ) -> None:
        """Raises EncodeFailed, DeviceLost."""
        self.index = index
        self.rendition = rendition
        self.own_thread = thread
        self.thread = thread  # where its pictures are encoded now
        self.cost = Cost()  # of a picture
        self.captions = WaitingCaptions()
        self.waiting = 0  # pictures in the thread
        self.done = 0  # pictures that have left it
        self.is_paused = False  # gets no pictures; the decode thread's
        self.needs_key = False  # it was paused
        self.is_opening = False  # the encoder is being opened anew
        self.stall = Stall()
        self.lost = ""  # why it gives nothing at present
        self._unsent_sei = b""  # of pictures that were left out
        self._stages = [f"{stage}:{rendition.name}" for stage in ("handover", "scale", "encode")]
        self._fps = fps  # that the encoder was opened for
        self._open_encoder = open_encoder
        self._is_capped = is_capped  # no encoder session is to be had
        self._was_refused = False  # one, for that reason
        self._encoder: Encoder | None = open_encoder(fps)
        self._config = self._encoder.config
        self._opened_anew_ms: int | None = None
        self._failed_ms: int | None = None
        self._retry_ms = _RETRY_MS
        self._try_again_ms = 0  # if it is lost

    def began(self) -> RenditionBegan:
        """The event that tells of the encoder as it is now."""
        header = sequence_header(self._config)
        return RenditionBegan(self.index, metadata(self.rendition, self._fps), header)

    def is_out(self, pts_ms: int, *, is_key: bool) -> bool:
        """Whether it has failed, and this picture is not one to try again with."""
        if not self.lost:
            return False
        if not is_key or pts_ms < self._try_again_ms:
            return True
        return self._was_refused and self._is_capped()

    def better_rate(self, meter: RateMeter, pts_ms: int) -> Fraction | None:
        """The rate to open the encoder anew for, if what it was opened for is wrong, or lost."""
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

    def encode(
        self,
        work: EncodeJob,
        stages: StageTimes,
        clock: Callable[[], float],
        cpu_clock: Callable[[], float],
    ) -> Iterator[RenditionBegan | RenditionCoded]:
        """Encode one picture. Raises EncodeFailed (this rendition), DeviceLost (all)."""
        began_s, began_cpu_s = clock(), cpu_clock()
        encoder = self._encoder
        if work.fps is not None and (self.lost or work.fps != self._fps):
            encoder = self._open_anew(work.fps)
            yield self.began()
        if encoder is None or self.lost:
            return  # it was on its way when the encoder failed
        work.surface.prepare()
        prepared_s = clock()
        units = encoder.encode(work.surface, force_idr=work.is_key)
        coded_s = clock()
        if work.fps is None:
            self.cost.add(cpu_clock() - began_cpu_s)
        if not work.is_replay:
            handover, scale, encode = self._stages
            stages.add(handover, began_s - work.given_s)
            stages.add(scale, prepared_s - began_s)
            stages.add(encode, coded_s - prepared_s)
        sei, self._unsent_sei = self._unsent_sei + work.sei, b""
        for unit in units:
            body = coded_picture(unit.data, unit.is_idr, sei)
            tag = CodedTag(unit.pts_ms, unit.is_idr, work.received_s, body)
            yield RenditionCoded(self.index, tag, work.is_replay, coded_s)
            sei = b""

    def failed(self, reason: str, pts_ms: int) -> None:
        """It gives nothing, from this picture on, up to a keyframe that it can be opened with."""
        if self._failed_ms is None or pts_ms - self._failed_ms > self._retry_ms + _STEADY_MS:
            self._retry_ms = _RETRY_MS
        else:
            self._retry_ms = min(_MAX_RETRY_MS, 2 * self._retry_ms)
        self._failed_ms = pts_ms
        self._try_again_ms = pts_ms + self._retry_ms
        self.lost = reason

    def leave_out(self, work: EncodeJob) -> None:
        """Encode the next picture in place of this one; its captions go with that."""
        self._unsent_sei += work.sei

    def flush(self) -> Iterator[RenditionCoded]:
        """What the encoder holds, which is nothing with those in use. Raises as `encode`."""
        for unit in self._encoder.flush() if self._encoder is not None else ():
            body = coded_picture(unit.data, unit.is_idr)
            yield RenditionCoded(
                self.index, CodedTag(unit.pts_ms, unit.is_idr, 0.0, body), is_replay=True
            )

    def close(self) -> None:
        encoder, self._encoder = self._encoder, None
        if encoder is not None:
            encoder.close()

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
        log.info(
            "encoder opened anew rendition=%s fps=%s instead_of=%s after=%s",
            self.rendition.name,
            fps,
            before,
            self.lost or "another rate",
        )
        self.lost = ""
        return encoder
