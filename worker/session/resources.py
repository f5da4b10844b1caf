"""What a session holds of its device: threads, decoder, scaler, encoders (IO: threads).

Opened and closed in the worker's opener thread, but for encoders that are opened anew in their own.
An opening that fails half-way leaves what is open by then to `close`.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from uuid import uuid4

from common.config.ladder import Ladder, Pipeline, RenditionFormat
from common.errors import EncoderLimitReached
from worker.devices.backend import SURFACE_BACKLOG, Decoder, Encoder, Scaler
from worker.devices.source import Source
from worker.frames.timing import rendition_rate
from worker.pool.layout import lay_out
from worker.pool.memory import PicturePool
from worker.quality.ssim import Likeness
from worker.quality.tap import tap_of
from worker.session.context import SessionContext
from worker.session.events import EncoderLimitHit, EncodingWanted
from worker.session.rendition import RemoteRendition, SessionRendition
from worker.session.rendition_encoder import RenditionEncoder
from worker.threads import JobThread

log = logging.getLogger("tfarm.worker.session.resources")


class SessionResources:
    """A session's decoder, scaler, encoders and threads; none before `open` and after `close`."""

    def __init__(
        self, context: SessionContext, label: str, post: Callable[[EncoderLimitHit], None]
    ) -> None:
        self.decoder: Decoder | None = None
        self.scaler: Scaler | None = None
        self.decode_thread: JobThread | None = None
        self.encoders: list[RenditionEncoder] = []  # none where an encoder process encodes …
        self.remote: list[RemoteRendition] = []  # … and these there
        self.pool: PicturePool | None = None
        self.can_encode_inline = context.threads.can_encode_inline
        self.groups_small_encoders = context.threads.groups_small_encoders
        self._context = context
        self._label = label
        self._post = post
        self._threads_taken: list[JobThread] = []

    def open(
        self, source: Source, ladder: Ladder, on_measured: Callable[[int, Likeness], None]
    ) -> None:
        """`on_measured`: how much a rendition's keyframe is like its picture; from any thread.

        Raises DecodeFailed, EncodeFailed, DeviceLost.
        """
        context = self._context
        if context.shares_pictures:
            sizes = [(rendition.width, rendition.height) for rendition in ladder.renditions]
            self.pool = PicturePool(uuid4().hex, lay_out(sizes))
        with context.device_lock:
            self.decoder = context.backend.open_decoder(source.config, source.pictures)
            self.scaler = (
                context.backend.open_scaler(ladder, source.pictures)
                if self.pool is None
                else context.backend.open_shared_scaler(ladder, source.pictures, self.pool)
            )
        self.decode_thread = context.threads.for_decoding()
        self._threads_taken.append(self.decode_thread)
        if context.shares_pictures:
            self.remote = [
                RemoteRendition(index, rendition, rendition_rate(source.fps, rendition.fps))
                for index, rendition in enumerate(ladder.renditions)
            ]
            return
        threads = context.threads.for_encoding(
            [rendition.width * rendition.height for rendition in ladder.renditions]
        )
        self._threads_taken += threads
        for index, (rendition, thread) in enumerate(zip(ladder.renditions, threads, strict=True)):
            fps = rendition_rate(source.fps, rendition.fps)
            open_encoder = partial(self._open_encoder, rendition, source)
            report = partial(on_measured, index)
            self.encoders.append(
                RenditionEncoder(
                    index,
                    rendition,
                    thread,
                    fps,
                    open_encoder,
                    self._is_limit_near,
                    tap_of(self._label, rendition, context.measurer, report),
                    waits_for_device=context.backend.info.path is Pipeline.GPU_ONLY,
                )
            )

    def close(self) -> None:
        with self._context.device_lock:
            for part in self._parts():
                try:
                    part.close()
                except Exception:
                    log.exception("closing failed stream=%s", self._label)
            if self.encoders:
                self._context.encoder_limit.freed()
        for thread in self._threads_taken:
            self._context.threads.release(thread)
        self._threads_taken = []
        self.encoders = []
        self.remote = []
        self.pool = None
        self.decoder = self.scaler = self.decode_thread = None

    def release(self, encoder: RenditionEncoder) -> None:
        """In its thread: give back what a rendition that rests has of the device."""
        with self._context.device_lock:
            encoder.close()
            self._context.encoder_limit.freed()

    def is_resting(self, index: int) -> bool:
        """Whether a rendition is not made, as nobody plays it."""
        return index < len(self.renditions) and self.renditions[index].is_resting

    def is_made(self, index: int) -> bool:
        """Whether a rendition gets pictures, and its encoder works."""
        if index >= len(self.renditions):
            return False
        rendition = self.renditions[index]
        return not (rendition.gets_nothing or rendition.lost)

    @property
    def renditions(self) -> Sequence[SessionRendition]:
        """All renditions of the ladder, wherever they are encoded."""
        return self.remote or self.encoders

    def wanted(self, source: Source, queue_ms: int) -> EncodingWanted | None:
        """What an encoder process is to make; None: this one encodes."""
        if self.pool is None:
            return None
        formats = tuple(remote.rendition for remote in self.remote)
        fps = tuple(remote.fps for remote in self.remote)
        return EncodingWanted(self.pool, source, formats, fps, queue_ms)

    @property
    def own_threads(self) -> tuple[int, ...]:
        """Return the threads that work for this session alone, by their idents."""
        own = set(self._threads_taken) if self.can_encode_inline else ()
        return tuple(sorted(thread.ident for thread in own))

    def encode_thread(self, encoder: RenditionEncoder, *, is_saturated: bool) -> JobThread:
        """The thread that encodes a rendition which is not encoded inline."""
        if is_saturated and self.groups_small_encoders:
            return self.encoders[0].own_thread
        return encoder.own_thread

    def is_backed_up(self) -> bool:
        """Return whether a rendition has all the pictures waiting that it may."""
        return any(rendition.waiting >= SURFACE_BACKLOG for rendition in self.renditions)

    def _parts(self) -> Iterator[RenditionEncoder | Scaler | Decoder]:
        yield from self.encoders
        if self.scaler is not None:
            yield self.scaler
        if self.decoder is not None:
            yield self.decoder

    def _open_encoder(self, rendition: RenditionFormat, source: Source, fps: Fraction) -> Encoder:
        context = self._context
        try:
            with context.device_lock:
                return context.backend.open_encoder(rendition, source.pictures, fps)
        except EncoderLimitReached as error:
            context.encoder_limit.reached(context.clock())
            is_again = any(
                encoder.rendition is rendition and encoder.lost for encoder in self.encoders
            )
            self._post(EncoderLimitHit(error.open_sessions, str(error), is_again))
            raise

    def _is_limit_near(self) -> bool:
        return self._context.encoder_limit.is_near(self._context.clock())
