"""What a session holds of its device: lanes, decoder, scaler, encoders (IO: threads).

Opened and closed in the worker's opener lane, but for encoders that are opened anew in their own.
An opening that fails half-way leaves what is open by then to `close`.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial

from common.codecs.h264 import AvcConfig, SpsInfo
from common.config.ladder import Ladder, Rung
from common.errors import EncoderCapReached
from worker.devices.backend import SURFACE_BACKLOG, Backend, Decoder, Encoder, Scaler
from worker.frames.timing import rung_rate
from worker.session.encoder_limit import MetCap
from worker.session.events import CapMet
from worker.session.rendition_encoder import RungAtWork
from worker.threads import Lane, Lanes

log = logging.getLogger("tfarm.worker.session.resources")


class Equipment:
    """Of one session; empty before `open` and after `close`."""

    def __init__(
        self,
        backend: Backend,
        lanes: Lanes,
        opening: threading.Lock,
        cap: MetCap,
        clock: Callable[[], float],
        label: str,
        tell: Callable[[CapMet], None],
    ) -> None:
        self.decoder: Decoder | None = None
        self.scaler: Scaler | None = None
        self.decode_lane: Lane | None = None
        self.runs: list[RungAtWork] = []
        self.may_share = lanes.may_share
        self.packs = lanes.packs
        self._backend = backend
        self._lanes = lanes
        self._opening = opening
        self._cap = cap
        self._clock = clock
        self._label = label
        self._tell = tell
        self._lanes_taken: list[Lane] = []

    def open(self, config: AvcConfig, sps: SpsInfo, ladder: Ladder) -> None:
        """Raises DecodeFailed, EncodeFailed, DeviceLost."""
        with self._opening:
            self.decoder = self._backend.open_decoder(config, sps)
            self.scaler = self._backend.open_scaler(ladder, sps)
        self.decode_lane = self._lanes.for_decoding()
        self._lanes_taken.append(self.decode_lane)
        lanes = self._lanes.for_encoding([rung.width * rung.height for rung in ladder.rungs])
        self._lanes_taken += lanes
        for index, (rung, lane) in enumerate(zip(ladder.rungs, lanes, strict=True)):
            fps = rung_rate(sps.fps, rung.fps)
            opened = partial(self._open_encoder, rung, sps)
            self.runs.append(RungAtWork(index, rung, lane, fps, opened, self._is_capped))

    def close(self) -> None:
        with self._opening:
            for part in self._parts():
                try:
                    part.close()
                except Exception:
                    log.exception("closing failed stream=%s", self._label)
            if self.runs:
                self._cap.freed()
        for lane in self._lanes_taken:
            self._lanes.release(lane)
        self._lanes_taken = []
        self.runs = []
        self.decoder = self.scaler = self.decode_lane = None

    def encode_lane(self, run: RungAtWork, *, is_crowded: bool) -> Lane:
        """Where a rung is encoded that does not stay with the decode lane."""
        return self.runs[0].own_lane if is_crowded and self.packs else run.own_lane

    def is_backed_up(self) -> bool:
        """Whether a rung has all the pictures waiting that it may."""
        return any(run.waiting >= SURFACE_BACKLOG for run in self.runs)

    def _parts(self) -> Iterator[RungAtWork | Scaler | Decoder]:
        yield from self.runs
        if self.scaler is not None:
            yield self.scaler
        if self.decoder is not None:
            yield self.decoder

    def _open_encoder(self, rung: Rung, sps: SpsInfo, fps: Fraction) -> Encoder:
        try:
            with self._opening:
                return self._backend.open_encoder(rung, sps, fps)
        except EncoderCapReached as error:
            self._cap.met(self._clock())
            is_again = any(run.rung is rung and run.lost for run in self.runs)
            self._tell(CapMet(error.open_sessions, str(error), is_again))
            raise

    def _is_capped(self) -> bool:
        return self._cap.is_near(self._clock())
