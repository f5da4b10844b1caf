"""What a session holds of its device: threads, decoder, scaler, encoders (IO: threads).

Opened and closed in the worker's opener thread, but for encoders that are opened anew in their own.
An opening that fails half-way leaves what is open by then to `close`.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial

from common.codecs.h264 import AvcConfig, SpsInfo
from common.config.ladder import Ladder, RenditionFormat
from common.errors import EncoderLimitReached
from worker.devices.backend import SURFACE_BACKLOG, Backend, Decoder, Encoder, Scaler
from worker.frames.timing import rendition_rate
from worker.session.encoder_limit import EncoderLimit
from worker.session.events import EncoderLimitHit
from worker.session.rendition_encoder import RenditionEncoder
from worker.threads import JobThread, SessionThreads

log = logging.getLogger("tfarm.worker.session.resources")


class SessionResources:
    """Of one session; empty before `open` and after `close`."""

    def __init__(
        self,
        backend: Backend,
        threads: SessionThreads,
        opening: threading.Lock,
        cap: EncoderLimit,
        clock: Callable[[], float],
        label: str,
        tell: Callable[[EncoderLimitHit], None],
    ) -> None:
        self.decoder: Decoder | None = None
        self.scaler: Scaler | None = None
        self.decode_thread: JobThread | None = None
        self.runs: list[RenditionEncoder] = []
        self.can_encode_inline = threads.can_encode_inline
        self.groups_small_encoders = threads.groups_small_encoders
        self._backend = backend
        self._threads = threads
        self._opening = opening
        self._cap = cap
        self._clock = clock
        self._label = label
        self._tell = tell
        self._threads_taken: list[JobThread] = []

    def open(self, config: AvcConfig, sps: SpsInfo, ladder: Ladder) -> None:
        """Raises DecodeFailed, EncodeFailed, DeviceLost."""
        with self._opening:
            self.decoder = self._backend.open_decoder(config, sps)
            self.scaler = self._backend.open_scaler(ladder, sps)
        self.decode_thread = self._threads.for_decoding()
        self._threads_taken.append(self.decode_thread)
        threads = self._threads.for_encoding(
            [rendition.width * rendition.height for rendition in ladder.renditions]
        )
        self._threads_taken += threads
        for index, (rendition, thread) in enumerate(zip(ladder.renditions, threads, strict=True)):
            fps = rendition_rate(sps.fps, rendition.fps)
            opened = partial(self._open_encoder, rendition, sps)
            self.runs.append(
                RenditionEncoder(index, rendition, thread, fps, opened, self._is_capped)
            )

    def close(self) -> None:
        with self._opening:
            for part in self._parts():
                try:
                    part.close()
                except Exception:
                    log.exception("closing failed stream=%s", self._label)
            if self.runs:
                self._cap.freed()
        for thread in self._threads_taken:
            self._threads.release(thread)
        self._threads_taken = []
        self.runs = []
        self.decoder = self.scaler = self.decode_thread = None

    def encode_thread(self, run: RenditionEncoder, *, is_saturated: bool) -> JobThread:
        """Where a rendition is encoded that does not stay with the decode thread."""
        return (
            self.runs[0].own_thread
            if is_saturated and self.groups_small_encoders
            else run.own_thread
        )

    def is_backed_up(self) -> bool:
        """Whether a rendition has all the pictures waiting that it may."""
        return any(run.waiting >= SURFACE_BACKLOG for run in self.runs)

    def _parts(self) -> Iterator[RenditionEncoder | Scaler | Decoder]:
        yield from self.runs
        if self.scaler is not None:
            yield self.scaler
        if self.decoder is not None:
            yield self.decoder

    def _open_encoder(self, rendition: RenditionFormat, sps: SpsInfo, fps: Fraction) -> Encoder:
        try:
            with self._opening:
                return self._backend.open_encoder(rendition, sps, fps)
        except EncoderLimitReached as error:
            self._cap.met(self._clock())
            is_again = any(run.rendition is rendition and run.lost for run in self.runs)
            self._tell(EncoderLimitHit(error.open_sessions, str(error), is_again))
            raise

    def _is_capped(self) -> bool:
        return self._cap.is_near(self._clock())
