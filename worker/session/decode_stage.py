"""The decode stage: units to pictures, and which renditions take each (IO: the device).

It decodes, hides what is damaged, asks the timer which renditions take a picture and whether it is
a keyframe, and scales; while the publisher is away it gives the freeze frames. It has no thread and
no lock and calls nobody back: the pipeline calls it in its decode thread, one call at a time.

Raises `Unusable` for trouble that ends the stream, DeviceLost for the device's; what one unit or
picture costs is counted and logged here.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from common.codecs.captions import captions_in
from common.errors import DecodeFailed, ProtocolError
from common.media.units import VideoCodec
from common.process.log import RateLimit, more
from common.sei.user_data import user_data_in
from common.sei.utc import UtcStamps
from worker.devices.backend import Decoder, Picture, Scaler, Surface
from worker.devices.leading_pictures import LeadingPictures
from worker.devices.source import Source, read_source
from worker.frames.damage import DamageGate
from worker.frames.display_times import DisplayTimes
from worker.frames.freeze_frame import FreezeFrames
from worker.frames.in_flight import UnitFacts, UnitsInFlight
from worker.frames.picture_silence import PictureSilence
from worker.frames.timing import FrameTimer, Plan, Verdict
from worker.session.inline_encoding import CpuCost
from worker.session.input_queue import Freeze, Unit
from worker.session.progress import SessionCounts

log = logging.getLogger("tfarm.worker.session.decode_stage")


class Unusable(Exception):
    """The stream cannot be decoded any more; the text says why."""


@dataclass(slots=True)  # not frozen: made for every picture
class PlannedPicture:
    """A decoded picture, and what becomes of it."""

    picture: Picture
    plan: Plan
    facts: UnitFacts


class DecodeStage:
    """One session's decoder and scaler at work, from the session's opening to its end."""

    def __init__(
        self,
        decoder: Decoder,
        scaler: Scaler,
        source: Source,
        timer: FrameTimer,
        counts: SessionCounts,
        *,
        most_samples: int,
        label: str,
        clock: Callable[[], float],
        cpu_clock: Callable[[], float],
        sei_uuids: Sequence[str] = (),
        utc_stamps: UtcStamps | None = None,
    ) -> None:
        """`most_samples`: what a picture of the source may have; `utc_stamps`: if asked for."""
        self.timer = timer
        self.cost = CpuCost()  # of decoding a picture
        self.is_resting = False  # pictures are looked at alone
        self._decoder = decoder
        self._scaler = scaler
        self._source = source
        self._sei_uuids = sei_uuids  # of user data that is passed on
        self._utc_stamps = utc_stamps
        self._next_source: Source | None = None  # from the next unit on
        self._captions_in = captions_in(source.codec)
        self._user_data_in = user_data_in(source.codec, self._sei_uuids)
        self._leading = LeadingPictures(source.length_size) if source.has_leading else None
        self._counts = counts
        self._most_samples = most_samples
        self._label = label
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._gate = DamageGate()
        self._silence = PictureSilence()
        self._in_flight = UnitsInFlight()
        self._display_times = DisplayTimes()
        self._last: Picture | None = None  # of the decoder's last call, if that gave one
        self._freeze: FreezeFrames | None = None  # while the publisher is away
        self._frozen: Picture | None = None
        self._may_go_on = False  # the publisher is only silent
        self._filled_ms = -1  # the PTS of the last freeze frame: what comes late before it is lost
        self._complaints = RateLimit(burst=3, interval_s=10.0)
        self._changes = RateLimit(burst=3, interval_s=10.0)  # of the source

    # ---- one picture --------------------------------------------------------------------------

    def decode(self, unit: Unit) -> Sequence[Picture]:
        """Decode one access unit, unless that is not worth it; the pictures that came out."""
        self._end_freeze()
        header, now_s = unit.header, self._clock()
        counts = self._counts
        pts_ms = header.dts_ms + header.composition_ms
        if not header.replay:
            counts.stages.add("transit", unit.put_s - header.received_s)
            counts.stages.add("queue", now_s - unit.put_s)
        if unit.follows_gap:
            self._gate.unit_lost(pts_ms)
        if not self._gate.takes(pts_ms, header.is_key):
            counts.undecoded += 1
            counts.progress_s = now_s
            return ()
        if self._leading is not None and not self._leading.takes(unit.data, unit.follows_gap):
            counts.undecoded += 1
            counts.progress_s = now_s
            return ()
        if header.is_key:
            self._gate.keyframe_in(pts_ms)
        captions = self._captions_in(unit.data, self._source.length_size)
        user_data = self._user_data_in(unit.data, self._source.length_size)
        if self._utc_stamps is not None:
            user_data = self._utc_stamps.added(user_data, header.received_s)
        self._display_times.put(header.dts_ms, pts_ms)
        facts = UnitFacts(header.received_s, header.replay, captions, header.is_key, user_data)
        self._in_flight.put(pts_ms, facts)
        began_cpu_s = self._cpu_clock()
        try:
            pictures = self._decoder.decode(unit.data, header.dts_ms, pts_ms)
        except DecodeFailed as error:
            counts.decode_errors += 1
            self._gate.unit_lost(pts_ms)
            failed_s = counts.progress_s = self._clock()
            self._silence.error(failed_s)
            self._complain("unit not decoded", str(error))
            return ()
        counts.stages.add("decode", self._clock() - now_s)
        self.cost.add(self._cpu_clock() - began_cpu_s)
        self._silence.decoded(len(pictures), now_s)
        if self._silence.is_too_long(now_s):
            raise Unusable(f"{self._silence.units} units decoded without a picture")
        self._last = None
        return pictures

    def can_start_at(self, data: bytes) -> bool:
        """Return whether a unit is an IDR picture: nothing before it need be decoded."""
        return self._source.can_start_at(data)

    def _look_at(self, picture: Picture, facts: UnitFacts) -> None:
        """Make a small picture, if this is one to be made small."""
        if self._counts.snapshot.takes(is_key=facts.is_key, now_s=self._clock()):
            self._counts.snapshot.put(self._decoder.snapshot(picture))

    def plan(self, picture: Picture) -> PlannedPicture:
        """Return what becomes of a picture that the last call gave; each one, in its order."""
        counts = self._counts
        facts = self._in_flight.take(picture.pts_ms)
        pts_ms = self._display_times.take(picture.pts_ms)
        if pts_ms != picture.pts_ms:
            picture = picture.at(pts_ms)
        self._last = picture
        if counts.content.is_due(pts_ms):
            counts.content.look(self._decoder.look(picture), pts_ms)
            counts.has_guessed_times = self._display_times.is_guessing
        if counts.snapshot.is_wanted and not picture.is_damaged:
            self._look_at(picture, facts)
        counts.pictures += 1
        counts.progress_s = self._clock()
        if picture.is_damaged:
            counts.decode_errors += 1
            self._complain("picture damaged", "the decoder concealed errors in it")
        if self.is_resting:
            plan = Plan(Verdict.SKIP)
            if not picture.is_damaged and facts.is_key:
                counts.snapshot.keep(self._decoder.snapshot(picture))
        elif self._gate.shows(pts_ms, picture.is_damaged):
            plan = self.timer.plan(pts_ms)
            if plan.verdict is Verdict.SKIP and pts_ms <= self._filled_ms and not facts.is_replay:
                counts.hidden += 1
        else:
            counts.hidden += 1
            plan = Plan(self.timer.window.judge(pts_ms))
        return PlannedPicture(picture, plan, facts)

    def scale(self, planned: PlannedPicture, renditions: Sequence[int]) -> Sequence[Surface]:
        """A surface for each of these renditions; none if the picture cannot be scaled."""
        try:
            return self._scaler.scale(planned.picture, renditions)
        except DecodeFailed as error:
            self._counts.decode_errors += 1
            self._complain("picture not scaled", str(error))
            if planned.plan.is_key:
                self.timer.grid.force_next()
            return ()

    # ---- what comes between the units ---------------------------------------------------------

    def flush(self) -> Sequence[Picture]:
        """The pictures that are still in the decoder."""
        return self._decoder.flush()

    def splice(self, splice_ms: int) -> None:
        """Leave pictures from `splice_ms` on to the next generation."""
        self.timer.window.until_ms = splice_ms

    def reconfigure(self, record: bytes, codec: VideoCodec) -> Sequence[Picture]:
        """Decode the next units with new parameter sets; the pictures of the old ones.

        `adopt_source` follows when these are planned. A record that cannot be read is ignored.
        """
        if record == self._source.record and codec is self._source.codec:
            return ()
        try:
            source = read_source(record, codec)
        except (ProtocolError, DecodeFailed) as error:
            self._counts.decode_errors += 1
            self._complain("parameter sets ignored", str(error))
            return ()
        if source.samples > self._most_samples:
            # other streams live off the room that was reserved
            raise Unusable(f"source grew to {source.size}, beyond what was reserved for it")
        try:
            pictures = self._decoder.reconfigure(source.config, source.pictures)
        except DecodeFailed as error:
            raise Unusable(str(error)) from error
        self._next_source = source
        return pictures

    def adopt_source(self) -> None:
        """Follow the source that `reconfigure` has brought, if it has."""
        source, self._next_source = self._next_source, None
        if source is None:
            return
        self._source = source
        self._captions_in = captions_in(source.codec)
        self._user_data_in = user_data_in(source.codec, self._sei_uuids)
        self._leading = LeadingPictures(source.length_size) if source.has_leading else None
        self.timer.new_source(source.fps)
        if (suppressed := self._changes.allow(self._clock())) is not None:
            log.info(
                "source changed stream=%s size=%s%s", self._label, source.size, more(suppressed)
            )

    # ---- while nobody plays any of it ---------------------------------------------------------

    def rest(self) -> Sequence[Picture]:
        """Take pictures to look at them alone from here on; those that the decoder still has."""
        self.is_resting = True
        self._freeze = self._frozen = None
        try:
            pictures = self._decoder.flush()
        except DecodeFailed as error:
            self._complain("unit not decoded", str(error))
            return ()
        self._silence.decoded(len(pictures), self._clock())
        return pictures

    def wake(self, after_ms: int | None) -> None:
        """Take pictures again, behind `after_ms`: the first is a keyframe of every rendition.

        Units come anew from a keyframe on, which may be older than what was looked at.
        """
        self.is_resting = False
        self._counts.snapshot.keep(None)
        self._gate = DamageGate()
        self._in_flight = UnitsInFlight()
        self._display_times = DisplayTimes()
        self.timer.begin_again(after_ms)

    # ---- while the publisher is away ----------------------------------------------------------

    def begin_freeze(self, freeze: Freeze) -> Sequence[Picture]:
        """Keep the last picture; those that the decoder still has come first.

        A publisher that may go on finds the decoder as it left it; what it sends of the time that
        freeze frames have filled is decoded and not shown.
        """
        self._may_go_on = freeze.may_go_on
        try:
            if self._last is not None:
                self._frozen = self._last.kept()
            return () if freeze.may_go_on else self._decoder.flush()
        except DecodeFailed as error:
            self._complain("picture not kept", str(error))
            return ()

    def freeze(self, freeze: Freeze, late: Sequence[Picture]) -> FreezeFrames | None:
        """The freeze frames from here on, if there is a picture; `late`: what the decoder had."""
        # freeze frames say nothing of the source's rate
        fps = self._freeze.fps if self._freeze is not None else self.timer.source_fps
        try:
            if late:
                self._frozen = late[-1].kept()
        except DecodeFailed as error:
            self._complain("picture not kept", str(error))
        self._last = None
        if self._frozen is None:
            return None
        self._freeze = FreezeFrames(freeze.reference, self.timer.last_ms, fps)
        level = logging.DEBUG if freeze.may_go_on else logging.INFO
        log.log(level, "no pictures come, the last one is repeated stream=%s", self._label)
        return self._freeze

    def is_frozen(self, frames: FreezeFrames) -> bool:
        """Return whether these freeze frames are still wanted."""
        return self._freeze is frames and self._frozen is not None

    def repeat(self, frames: FreezeFrames, *, is_backed_up: bool) -> PlannedPicture | None:
        """The freeze frame that is due, if one is; where encoders are behind it is dropped."""
        now_s = self._clock()
        pts_ms = frames.take(now_s)
        if pts_ms is None or is_backed_up or self._frozen is None:
            return None
        plan = self.timer.repeat_picture(pts_ms)
        self._filled_ms = pts_ms
        return PlannedPicture(self._frozen.at(pts_ms), plan, UnitFacts(now_s, False, b""))

    def _end_freeze(self) -> None:
        if self._freeze is None:
            return
        self._freeze = self._frozen = None
        if not self._may_go_on:
            # the publisher's first picture does not look like the freeze frame before it
            self.timer.grid.force_next()

    def _complain(self, event: str, reason: str) -> None:
        suppressed = self._complaints.allow(self._clock())
        if suppressed is not None:
            log.warning(f"{event} stream=%s reason=%s%s", self._label, reason, more(suppressed))
