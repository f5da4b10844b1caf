"""Live units to fragmented MP4, for one configuration of a rendition. Pure.

A sample's duration is the time to the next one of its track, so one of each track is held back:
what goes out has no gap within a track, whatever the publisher's times do. Browsers wait for a
keyframe behind a gap, of every track (Media Source Extensions, coded frame processing). Sound is
counted in samples, since times in ms jitter by more than a browser takes for continuous; it follows
the times where the two are further apart than `MAX_DRIFT_MS`.

Times are stream time. A fragment begins at each keyframe, so that a viewer can.
"""

from typing import Final, NamedTuple

from common.codecs import aac
from common.codecs.table import codec_string
from common.media.units import AudioCodec, AudioConfig, AudioUnit, VideoConfig, VideoUnit
from common.mp4.fragments import Run, Sample, fragment
from common.mp4.init_segment import AUDIO_TRACK, VIDEO_TRACK, Track, init_segment

MAX_DRIFT_MS: Final = 40  # between counted sound and its times
MAX_SOUND_MS: Final = 100  # that waits for a picture to go out with
VIDEO_SCALE: Final = 1000  # stream time is in ms
_LAST_MS: Final = 40  # of a picture that nothing follows
_MAX_COMPOSITION: Final = 2**31 - 1


class Fragment(NamedTuple):
    """Some samples, as a player of fragmented MP4 takes them."""

    data: bytes
    is_key: bool  # it begins with a keyframe: a viewer can start here
    begin_ms: int  # of the first sample, in stream time
    end_ms: int
    pictures: int


class LiveMuxer:
    """Makes fragments of a rendition's units, in the order in which these come."""

    def __init__(self, video: VideoConfig, audio: AudioConfig | None, number: int = 0) -> None:
        """`number`: of the last fragment before, where another configuration goes before this one.

        Sound of another codec than AAC is left out. Raises ProtocolError for a record
        that cannot be read.
        """
        self.number = number
        is_aac = audio is not None and audio.codec is AudioCodec.AAC
        self._sound = _Sound(audio) if audio is not None and is_aac else None
        self._pictures = _Pictures()
        tracks = [Track(video, VIDEO_SCALE)]
        names = [codec_string(video)]
        if self._sound is not None and audio is not None:
            tracks.append(Track(audio, self._sound.rate))
            names.append(codec_string(audio))
        self.init = init_segment(tracks)
        self.codecs = tuple(names)  # RFC 6381, one a track

    def add(self, unit: VideoUnit | AudioUnit) -> Fragment | None:
        """Take the next unit; a fragment of what came before, where a keyframe begins another."""
        if isinstance(unit, AudioUnit):
            if self._sound is not None:
                self._sound.add(unit)
            return None
        made = self._make() if self._pictures.has_key_next() else None
        self._pictures.add(unit)
        return made

    def flush(self) -> Fragment | None:
        """What is complete; None: nothing is, or sound alone that may wait."""
        has_sound = self._sound is not None and self._sound.waiting_ms >= MAX_SOUND_MS
        return self._make() if self._pictures.done or has_sound else None

    def finish(self) -> list[Fragment]:
        """All that is left: nothing follows."""
        made = [self._make() if self._pictures.has_key_next() else None]
        self._pictures.finish()
        made.append(self._make())
        return [one for one in made if one is not None]

    def _make(self) -> Fragment | None:
        runs, times = [], []
        pictures = self._pictures.take()
        if pictures is not None:
            runs.append(pictures)
            times.append((pictures.begin, self._pictures.done_ms))
        sound = self._sound.take() if self._sound is not None else None
        if sound is not None and self._sound is not None:
            runs.append(sound)
            times.append((self._sound.ms(sound.begin), self._sound.ms(self._sound.done_at)))
        if not runs:
            return None
        self.number += 1
        is_key = pictures is not None and pictures.samples[0].is_key
        begin_ms, end_ms = min(begin for begin, _ in times), max(end for _, end in times)
        count = len(pictures.samples) if pictures is not None else 0
        return Fragment(fragment(self.number, runs), is_key, begin_ms, end_ms, count)


class _Pictures:
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

    def finish(self) -> None:
        if self._held is not None:
            self._complete(self._held_ms + _LAST_MS)
            self._held = None

    def take(self) -> Run | None:
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


class _Sound:
    """The audio track, in samples of what a decoder gives."""

    def __init__(self, config: AudioConfig) -> None:
        record = aac.AudioSpecificConfig.parse(config.record)
        self.rate = record.output_rate
        self.done_at = 0  # where what is complete ends
        self._frame = aac.frame_samples(record)
        self._max_drift = MAX_DRIFT_MS * self.rate // 1000
        self._done: list[Sample] = []
        self._begin = 0
        self._held: AudioUnit | None = None
        self._held_at = 0

    def ms(self, samples: int) -> int:
        return samples * 1000 // self.rate

    @property
    def waiting_ms(self) -> int:
        return self.ms(self.done_at - self._begin) if self._done else 0

    def add(self, unit: AudioUnit) -> None:
        at = unit.dts_ms * self.rate // 1000
        if self._held is not None:
            counted = self._held_at + self._frame
            if abs(at - counted) <= self._max_drift:
                at = counted
            at = max(at, self._held_at + 1)
            if not self._done:
                self._begin = self._held_at
            self._done.append(Sample(self._held.data, at - self._held_at, 0, True))
            self.done_at = at
        self._held, self._held_at = unit, at

    def take(self) -> Run | None:
        if not self._done:
            return None
        samples, self._done = self._done, []
        return Run(AUDIO_TRACK, self._begin, samples)
