"""A configuration of pictures, or of sound: units in, parts out, and what a decoder needs. Pure."""

import zlib
from dataclasses import replace
from fractions import Fraction
from typing import Final

from common.codecs import aac
from common.codecs.captions import captions_in
from common.codecs.table import codec_string, length_size
from common.errors import ProtocolError
from common.media.rates import MAX_FPS
from common.media.units import (
    AudioCodec,
    AudioConfig,
    AudioUnit,
    VideoConfig,
    VideoUnit,
)
from common.mp4.init_segment import Track, init_segment
from common.mp4.tracks import MAX_DRIFT_MS, VIDEO_SCALE, Pictures, Sound
from egress.hls.parts import Part, PartCutter, picture_target, sound_target

SILENT_MS: Final = (
    1_500  # sound that is so far behind the pictures does not come, as far as is known
)
MAX_FILLED_MS: Final = 10_000  # of sound that did not come; a longer gap stays one
_SILENT_CHANNELS: Final = (1, 2)  # for which there are silent frames


class PictureTrack:
    """The pictures of one configuration; they begin at a keyframe."""

    def __init__(
        self,
        config: VideoConfig,
        gop_ms: int,
        part_s: float,
        *,
        target: int = 0,
        first_msn: int = 0,
        base_msn: int = 0,
        fps: Fraction | None = None,
        from_ms: int | None = None,
    ) -> None:
        """`target`: that of the configuration before; `fps`: where the record says none.

        `first_msn`, `base_msn`: as `PartCutter` has them. `from_ms`: what is older is left out.

        Raises ProtocolError for a record that can't be read, KeyError for a codec that MP4 does not
        take here.
        """
        self.config = config
        # what some records say of the rate is none of pictures
        is_rate = config.fps is not None and 0 < config.fps <= MAX_FPS
        self.fps = config.fps if is_rate else fps
        self.codec = codec_string(config)
        self.init = init_segment([Track(config, VIDEO_SCALE)])
        self.init_id = _init_id(self.init)
        target = target or picture_target(self.fps, part_s)
        self.cutter = PartCutter(VIDEO_SCALE, gop_ms, target, first_msn, base_msn=base_msn)
        self._first_msn = first_msn
        self._base_msn = base_msn
        self._from_ms = from_ms
        self._pictures = Pictures()
        self._has_begun = False
        self.has_captions = False  # of CEA-608 or 708
        self._length_size = length_size(config)
        self._captions_in = captions_in(config.codec)

    def add(self, unit: VideoUnit) -> list[Part]:
        """Take the next picture; one too many in front of the first keyframe is dropped."""
        if not self._has_begun:
            if not unit.is_key or self.cutter.msn_at(unit.dts_ms) < self._first_msn:
                return []
            if self._from_ms is not None and unit.dts_ms < self._from_ms:
                return []
            self._has_begun = True
        if not self.has_captions:
            self.has_captions = bool(self._captions_in(unit.data, self._length_size))
        self._pictures.add(unit)
        return self.cutter.add(self._pictures.take())

    def again(self, gop_ms: int, part_s: float, from_ms: int | None) -> "PictureTrack":
        """One that begins anew with the same configuration, behind the segments of this one."""
        first_msn = max(self._first_msn, self.cutter.begun_msn + 1)
        made = PictureTrack(
            self.config,
            gop_ms,
            part_s,
            target=self.cutter.target,
            first_msn=first_msn,
            base_msn=self._base_msn,
            fps=self.fps,
            from_ms=from_ms,
        )
        made.has_captions = self.has_captions
        return made

    def finish(self) -> list[Part]:
        """What is left: nothing follows."""
        self._pictures.finish()
        return [*self.cutter.add(self._pictures.take()), *self.cutter.finish()]


class SoundTrack:
    """The sound of one configuration. What does not come is silence, where that can be made."""

    def __init__(
        self,
        config: AudioConfig,
        gop_ms: int,
        part_s: float,
        *,
        target: int = 0,
        first_msn: int = 0,
        base_msn: int = 0,
        begin_ms: int | None = None,
    ) -> None:
        """As of pictures. `begin_ms`: where there is to be sound from on, be it silence."""
        self.config = config
        self.codec = codec_string(config)
        self._sound = Sound(config)
        rate = self._sound.rate
        self.init = init_segment([Track(config, rate)])
        self.init_id = _init_id(self.init)
        self._silence = _silence(config)
        frame = _frame_samples(config)
        target = target or sound_target(rate, frame, part_s)
        self.cutter = PartCutter(rate, gop_ms, target, first_msn, base_msn=base_msn)
        self._frame = frame
        self._first_msn = first_msn
        self.begin_ms = begin_ms
        self._last_ms: int | None = None
        self._filled_ms: int | None = None  # up to here silence stands for what did not come
        self._patience_ms = SILENT_MS

    def add(self, unit: AudioUnit) -> list[Part]:
        """Take the next frame; what came already, by another rendition, is dropped.

        Raises ProtocolError for one that can't be read.
        """
        if self._last_ms is not None and unit.dts_ms <= self._last_ms:
            if self._filled_ms is not None and unit.dts_ms > self._filled_ms:
                # It comes, later than silence had to: the next may have more time.
                self._patience_ms = min(2 * self._patience_ms, MAX_FILLED_MS)
                self._filled_ms = self._last_ms
            return []
        self._filled_ms = None
        if self.cutter.msn_at(unit.dts_ms * self.cutter.scale // 1000) < self._first_msn:
            return []
        counted, rate = self._counted, self.cutter.scale
        at, half = unit.dts_ms * rate // 1000, self._frame // 2
        parts: list[Part] = []
        begin_ms = self.begin_ms
        if counted is not None and begin_ms is not None and self._sound.counted is None:
            # The first of all: where the pictures begin, to the sample.
            if at < counted - half:
                return []
            if at <= counted + half:
                unit = replace(unit, dts_ms=begin_ms)
            else:
                parts = self._fill(at + half)
        elif counted is not None and at - counted > MAX_DRIFT_MS * rate // 1000:
            parts = self._fill(at + half)
        self._sound.add(unit)
        self._last_ms = unit.dts_ms
        return parts + self.cutter.add(self._sound.take())

    def picture_at(self, dts_ms: int) -> list[Part]:
        """There are pictures up to this time: sound that is far behind does not come any more."""
        before_ms = self._last_ms
        parts = self._fill((dts_ms - self._patience_ms) * self.cutter.scale // 1000)
        if self._last_ms != before_ms and self._filled_ms is None:
            self._filled_ms = before_ms
        return parts

    def finish(self) -> list[Part]:
        """What is left: nothing follows."""
        self._sound.finish()
        return [*self.cutter.add(self._sound.take()), *self.cutter.finish()]

    @property
    def _counted(self) -> int | None:
        """Where the next frame is expected; None: wherever it comes."""
        counted = self._sound.counted
        if counted is None and self.begin_ms is not None:
            return self.begin_ms * self.cutter.scale // 1000
        return counted

    def _fill(self, until: int) -> list[Part]:
        """Let silence stand for what has not come before this time, in samples."""
        parts: list[Part] = []
        counted = self._counted
        if counted is None or not self._silence:
            return parts
        if until - counted > MAX_FILLED_MS * self.cutter.scale // 1000:
            return parts
        while counted + self._frame <= until:
            # rounded up, or it would be a sample early
            ms = -(-counted * 1000 // self.cutter.scale)
            self._sound.add(AudioUnit(self.config.codec, 0, ms, self._silence, 0.0))
            self._last_ms = ms
            parts += self.cutter.add(self._sound.take())
            counted += self._frame
        return parts


def _silence(config: AudioConfig) -> bytes:
    """A silent frame of this configuration; empty where none can be made."""
    if config.codec is not AudioCodec.AAC or config.channels not in _SILENT_CHANNELS:
        return b""
    record = aac.AudioSpecificConfig.parse(config.record)
    is_plain = record.object_type == aac.AAC_LC and not record.sbr
    return aac.silent_frame(config.channels) if is_plain else b""


def _frame_samples(config: AudioConfig) -> int:
    """Samples of a frame, for the target; what says it frame by frame is taken for 20 ms."""
    if config.codec is AudioCodec.AAC:
        return aac.frame_samples(aac.AudioSpecificConfig.parse(config.record))
    if not config.sample_rate:
        raise ProtocolError("its sample rate is not told")
    return config.sample_rate // 50


def _init_id(init: bytes) -> str:
    return f"{zlib.crc32(init):08x}"
