"""One rung of a session at work in its lane: prepares surfaces, encodes them, makes tags.

The encoder is opened anew, at a keyframe, when the rung's real rate turns out to be another than
the one that its rate control was opened for. `RungAtWork.encode` and `flush` are called in the
rung's lane, the rest in the decode lane; nothing here is shared but `waiting`, `done` and `lost`,
which the session guards, and `stall`, which is the loop's.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from common.ladder import Rung
from common.stage_times import StageTimes
from worker.backend import Encoder, Surface
from worker.captions import WaitingCaptions
from worker.events import RungBegan, RungCoded
from worker.lanes import Lane
from worker.mux import coded_picture, metadata, sequence_header
from worker.rendition_log import CodedTag
from worker.sharing import Cost
from worker.stall import Stall
from worker.timing import RateMeter, usual_rate

log = logging.getLogger("tfarm.worker.rung")

_RATE_ERROR = 0.08  # of the rate an encoder was opened for; more, and it is opened anew
_MEASURE_MS = 2000
_REOPEN_MS = 10_000

OpenEncoder = Callable[[Fraction], Encoder]


@dataclass(frozen=True, slots=True)
class Work:
    """One picture for one rung."""

    surface: Surface
    is_key: bool
    sei: bytes  # captions, with their length in front
    received_s: float
    is_replay: bool
    given_s: float
    fps: Fraction | None  # to open the encoder anew for


class RungAtWork:
    """A rung, its lane and its encoder."""

    def __init__(
        self, index: int, rung: Rung, lane: Lane, fps: Fraction, open_encoder: OpenEncoder
    ) -> None:
        """Raises EncodeFailed, DeviceLost."""
        self.index = index
        self.rung = rung
        self.own_lane = lane
        self.lane = lane  # where its pictures are encoded now
        self.cost = Cost()  # of a picture
        self.captions = WaitingCaptions()
        self.waiting = 0  # pictures in the lane
        self.done = 0  # pictures that have left it
        self.is_paused = False  # gets no pictures; the decode lane's
        self.needs_key = False  # it was paused
        self.is_opening = False  # the encoder is being opened anew
        self.stall = Stall()
        self.lost = ""  # why it gives nothing any more
        self._unsent_sei = b""  # of pictures that were left out
        self._stages = [f"{stage}:{rung.name}" for stage in ("handover", "scale", "encode")]
        self._fps = fps  # that the encoder was opened for
        self._open_encoder = open_encoder
        self._encoder = open_encoder(fps)
        self._opened_anew_ms: int | None = None

    def began(self) -> RungBegan:
        """The event that tells of the encoder as it is now."""
        header = sequence_header(self._encoder.config)
        return RungBegan(self.index, metadata(self.rung, self._fps), header)

    def better_rate(self, meter: RateMeter, pts_ms: int) -> Fraction | None:
        """The rate to open the encoder anew for, if what it was opened for is wrong."""
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
        work: Work,
        stages: StageTimes,
        clock: Callable[[], float],
        cpu_clock: Callable[[], float],
    ) -> Iterator[RungBegan | RungCoded]:
        """Encode one picture. Raises EncodeFailed (this rung), DeviceLost (all)."""
        began_s, began_cpu_s = clock(), cpu_clock()
        if work.fps is not None:
            self._open_anew(work.fps)
            yield self.began()
        work.surface.prepare()
        prepared_s = clock()
        units = self._encoder.encode(work.surface, force_idr=work.is_key)
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
            yield RungCoded(self.index, tag, work.is_replay, coded_s)
            sei = b""

    def leave_out(self, work: Work) -> None:
        """Encode the next picture in place of this one; its captions go with that."""
        self._unsent_sei += work.sei

    def flush(self) -> Iterator[RungCoded]:
        """What the encoder holds, which is nothing with those in use. Raises as `encode`."""
        for unit in self._encoder.flush():
            body = coded_picture(unit.data, unit.is_idr)
            yield RungCoded(
                self.index, CodedTag(unit.pts_ms, unit.is_idr, 0.0, body), is_replay=True
            )

    def close(self) -> None:
        self._encoder.close()

    def _open_anew(self, fps: Fraction) -> None:
        # first closed, then opened: the device may have no encoder to spare
        self.is_opening = True
        try:
            self._encoder.close()
            self._encoder = self._open_encoder(fps)
        finally:
            self.is_opening = False
        log.info(
            "encoder opened anew rendition=%s fps=%s instead_of=%s",
            self.rung.name,
            fps,
            self._fps,
        )
        self._fps = fps
