"""One rendition's encoder, and what it makes of pictures (IO: threads).

`encode`, `fail`, `drop` and `flush` are called in the thread that encodes, the rest in the decode
thread, as `rendition.py` has it; an encoder process has both in the encoding thread. `stall` is the
loop's.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from common.config.ladder import RenditionFormat
from common.errors import EncoderLimitReached
from worker.devices.backend import Encoder, Surface
from worker.output.mux import coded_picture, describe, metadata, parameter_sets, sequence_header
from worker.output.rendition_output import CodedTag
from worker.quality.tap import QualityTap
from worker.session.events import RenditionBegan, RenditionCoded
from worker.session.inline_encoding import CpuCost
from worker.session.progress import Stall
from worker.session.rendition import SessionRendition
from worker.threads import JobThread

log = logging.getLogger("tfarm.worker.session.rendition_encoder")

OpenEncoder = Callable[[Fraction], Encoder]


class Stages(Protocol):
    """What takes the times of a picture's stages."""

    def add(self, stage: str, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class EncodeJob:
    """One picture to be encoded for one rendition."""

    surface: Surface
    is_key: bool
    sei: bytes  # captions and user data, as they stand in front of a picture
    received_s: float
    is_replay: bool
    scaled_s: float  # when the scaler gave the surface
    fps: Fraction | None  # to open the encoder anew for


class RenditionEncoder(SessionRendition):
    """A rendition, the thread that encodes it and its encoder."""

    def __init__(
        self,
        index: int,
        rendition: RenditionFormat,
        thread: JobThread,
        fps: Fraction,
        open_encoder: OpenEncoder,
        is_limit_near: Callable[[], bool] = lambda: False,
        tap: QualityTap | None = None,
        *,
        waits_for_device: bool = False,
    ) -> None:
        """`tap` takes keyframes to be measured; `waits_for_device`: no core does the encoding.

        Raises EncodeFailed, DeviceLost.
        """
        super().__init__(index, rendition, fps, is_limit_near)
        self.tap = tap
        self._waits_for_device = waits_for_device
        self._duration = CpuCost()  # of a picture's encoding, the waiting included
        self.own_thread = thread
        self.thread = thread  # that encodes its pictures now
        self.cost = CpuCost()  # of a picture
        self.is_opening = False  # the encoder is being opened anew
        self.stall = Stall()
        self._stages = [f"{stage}:{rendition.name}" for stage in ("handover", "scale", "encode")]
        self._open_encoder = open_encoder
        self._encoder: Encoder | None = open_encoder(fps)
        self._config = self._encoder.config
        # Goes ahead of the next picture: a new encoder's parameter sets, SEI of dropped pictures.
        self._unsent = self._parameter_sets()

    @property
    def is_open(self) -> bool:
        """Whether it has an encoder."""
        return self._encoder is not None

    @property
    def fps(self) -> Fraction:
        """The rate that its encoder is, or was, opened for."""
        return self._fps

    def began(self) -> RenditionBegan:
        """The event that describes the encoder as it is now."""
        header = sequence_header(self._config)
        rendition, fps = self.rendition, self._fps
        return RenditionBegan(
            self.index, describe(rendition, fps), metadata(rendition, fps), header
        )

    # ---- the thread that encodes --------------------------------------------------------------

    def encode(
        self,
        job: EncodeJob,
        stages: Stages,
        clock: Callable[[], float],
        cpu_clock: Callable[[], float],
    ) -> Iterator[RenditionBegan | RenditionCoded]:
        """Encode one picture. Raises EncodeFailed (this rendition), DeviceLost (all)."""
        if self._is_out(job.surface.pts_ms, job.is_key):
            return  # it was on its way when the encoder failed, or another try
        began_s, began_cpu_s = clock(), cpu_clock()
        encoder = self._encoder
        if job.fps is not None and (self.lost or encoder is None or job.fps != self._fps):
            encoder = self._open_anew(job.fps)
            yield self.began()
        if encoder is None or self.lost:
            return
        job.surface.prepare()
        prepared_s = clock()
        units = encoder.encode(job.surface, force_idr=job.is_key)
        coded_s = clock()
        if job.fps is None:
            self.cost.add(cpu_clock() - began_cpu_s)
            if self._waits_for_device:
                self._duration.add(coded_s - prepared_s)
        if not job.is_replay:
            handover, scale, encode = self._stages
            stages.add(handover, began_s - job.scaled_s)
            stages.add(scale, prepared_s - began_s)
            stages.add(encode, coded_s - prepared_s)
        ahead, self._unsent = self._unsent + job.sei, b""
        codec = self.rendition.codec
        for unit in units:
            body = coded_picture(unit.data, unit.is_idr, ahead, codec)
            tag = CodedTag(unit.pts_ms, unit.is_idr, job.received_s, body)
            yield RenditionCoded(self.index, tag, job.is_replay, coded_s)
            ahead = b""
            if unit.is_idr and self.tap is not None and not job.is_replay:
                share = self._encode_share()
                self.tap.offer(job.surface, self._config, unit, share, job.received_s)

    def drop(self, job: EncodeJob) -> None:
        """Encode nothing for this picture; its captions and user data go with the next one."""
        self._unsent += job.sei

    def flush(self) -> Iterator[RenditionCoded]:
        """Give what the encoder still has: nothing, with those in use. Raises as `encode`."""
        for unit in self._encoder.flush() if self._encoder is not None else ():
            body = coded_picture(unit.data, unit.is_idr, codec=self.rendition.codec)
            yield RenditionCoded(
                self.index, CodedTag(unit.pts_ms, unit.is_idr, 0.0, body), is_replay=True
            )

    def close(self) -> None:
        """Have no encoder, until one is opened for a picture."""
        encoder, self._encoder = self._encoder, None
        if encoder is not None:
            encoder.close()

    def _encode_share(self) -> float:
        """Seconds a second that a core, or the device, is busy with it; 0: not known yet."""
        cost = self._duration if self._waits_for_device else self.cost
        return cost.seconds * float(self._fps)

    def _parameter_sets(self) -> bytes:
        """The encoder's, as they stand in its first picture.

        VLC 3 reads no header of a running stream, so where another session goes on, or the encoder
        was opened anew, it would decode by parameter sets of another size or another encoder.
        """
        return parameter_sets(self._config)

    def _open_anew(self, fps: Fraction) -> Encoder:
        # first closed, then opened: the device may have no encoder to spare
        cause = self.lost or ("another rate" if self._encoder is not None else "nobody played it")
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
            cause,
        )
        self.lost = ""
        return encoder


@dataclass(frozen=True, slots=True)
class DeferredJob:
    """An encode job that the decode thread keeps for itself."""

    encoder: RenditionEncoder
    job: EncodeJob
