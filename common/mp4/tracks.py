"""Units of one track as samples of fragmented MP4: pictures, and sound. Pure.

A sample's duration is the time to the next one of its track, so one of each track is held back:
what goes out has no gap within a track, whatever the publisher's times do. Browsers wait for a
keyframe behind a gap, of every track (Media Source Extensions, coded frame processing). Sound is
counted in samples, since times in ms jitter by more than a browser takes for continuous; it follows
the times where the two are further apart than `MAX_DRIFT_MS`. Times are stream time.
"""

from typing import Final

from common.codecs.table import AUDIO_CODECS
from common.media.units import AudioConfig, AudioUnit, VideoUnit
from common.mp4.fragments import Run, Sample
from common.mp4.init_segment import AUDIO_TRACK, VIDEO_TRACK

MAX_DRIFT_MS: Final = 40  # between counted sound and its times
VIDEO_SCALE: Final = 1000  # stream time is in ms
_LAST_MS: Final = 40  # of a picture that nothing follows
_MAX_COMPOSITION: Final = 2**31 - 1


class Pictures:
    """The video track."""

    def __init__(self) -> None:
        self.done: list[Sample] = []
        self.done_ms = 0  # where those end
        self._begin_ms = 0  # of the first
        self._held: VideoUnit | None = None
        self._held_ms = 0

    def has_key_next(self) -> bool:
        """Whether what is complete has to go out before the next is: that is a keyframe."""
        return bool(self.done) and self._held is not None and self._held.is_key

    def add(self, unit: VideoUnit) -> None:
        dts_ms = unit.dts_ms
        if self._held is not None:
            dts_ms = max(dts_ms, self._held_ms + 1)  # of one time there may be two
            self._complete(dts_ms)
        self._held, self._held_ms = unit, dts_ms

    def finish(self, end_ms: int | None = None) -> None:
        """Complete the last picture: nothing follows. `end_ms`: when it ends, if that is known."""
        if self._held is not None:
            last_ms = self._held_ms + _LAST_MS
            self._complete(last_ms if end_ms is None else max(end_ms, self._held_ms + 1))
            self._held = None

    def take(self) -> Run | None:
        """What is complete."""
        if not self.done:
            return None
        samples, self.done = self.done, []
        return Run(VIDEO_TRACK, self._begin_ms, samples)

    def _complete(self, end_ms: int) -> None:
        unit = self._held
        assert unit is not None
        if not self.done:
            self._begin_ms = self._held_ms
        composition = max(-_MAX_COMPOSITION, min(unit.pts_ms - self._held_ms, _MAX_COMPOSITION))
        self.done.append(Sample(unit.data, end_ms - self._held_ms, composition, unit.is_key))
        self.done_ms = end_ms


class Sound:
    """The audio track, in samples of what a decoder gives."""

    def __init__(self, config: AudioConfig) -> None:
        """Of a codec in `AUDIO_CODECS`. Raises ProtocolError for a record that can't be read."""
        self.rate = config.sample_rate
        self.done_at = 0  # where what is complete ends
        self._samples = AUDIO_CODECS[config.codec].frame_samples(config.record)
        self._max_drift = MAX_DRIFT_MS * self.rate // 1000
        self._done: list[Sample] = []
        self._begin = 0
        self._held: AudioUnit | None = None
        self._held_at = self._held_samples = 0

    def ms(self, samples: int) -> int:
        return samples * 1000 // self.rate

    @property
    def waiting_ms(self) -> int:
        return self.ms(self.done_at - self._begin) if self._done else 0

    def add(self, unit: AudioUnit) -> None:
        """Take the next frame. Raises ProtocolError for one that can't be read, and stays as is."""
        samples = self._samples(unit.data)
        at = unit.dts_ms * self.rate // 1000
        if self._held is not None:
            counted = self._held_at + self._held_samples
            if abs(at - counted) <= self._max_drift:
                at = counted
            at = max(at, self._held_at + 1)
            self._complete(self._held, at)
        self._held, self._held_at, self._held_samples = unit, at, samples

    @property
    def counted(self) -> int | None:
        """Where the next frame is expected; None before the first one."""
        return self._held_at + self._held_samples if self._held is not None else None

    def finish(self) -> None:
        """Complete the last frame: nothing follows."""
        if self._held is not None:
            self._complete(self._held, self._held_at + self._held_samples)
            self._held = None

    def take(self) -> Run | None:
        """What is complete."""
        if not self._done:
            return None
        samples, self._done = self._done, []
        return Run(AUDIO_TRACK, self._begin, samples)

    def _complete(self, unit: AudioUnit, end: int) -> None:
        if not self._done:
            self._begin = self._held_at
        self._done.append(Sample(unit.data, end - self._held_at, 0, True))
        self.done_at = end
