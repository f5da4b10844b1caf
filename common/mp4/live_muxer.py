"""Live units to fragmented MP4, for one configuration of a rendition. Pure.

Both tracks go into each fragment (`tracks.py` says how samples are made). Times are stream time. A
fragment begins at each keyframe, so that a viewer can.
"""

from collections.abc import Set
from typing import Final, NamedTuple

from common.codecs.table import codec_string
from common.media.units import AudioCodec, AudioConfig, AudioUnit, VideoConfig, VideoUnit
from common.mp4.fragments import fragment
from common.mp4.init_segment import Track, init_segment
from common.mp4.tracks import VIDEO_SCALE, Pictures, Sound

MAX_SOUND_MS: Final = 100  # that waits for a picture to go out with
_AAC: Final = frozenset({AudioCodec.AAC})


class Fragment(NamedTuple):
    """Some samples, as a player of fragmented MP4 takes them."""

    data: bytes
    is_key: bool  # it begins with a keyframe: a viewer can start here
    begin_ms: int  # of the first sample, in stream time
    end_ms: int
    pictures: int


class LiveMuxer:
    """Makes fragments of a rendition's units, in the order in which these come."""

    def __init__(
        self,
        video: VideoConfig,
        audio: AudioConfig | None,
        number: int = 0,
        sounds: Set[AudioCodec] = _AAC,
    ) -> None:
        """`number`: of the last fragment before, where another configuration goes before this one.

        Sound of another codec than these is left out. Raises ProtocolError for a record
        that cannot be read.
        """
        self.number = number
        has_sound = audio is not None and audio.codec in sounds
        self._sound = Sound(audio) if audio is not None and has_sound else None
        self._pictures = Pictures()
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

    @property
    def sound_until_ms(self) -> int | None:
        """Where the sound so far ends; None: there is none."""
        counted = self._sound.counted if self._sound is not None else None
        return self._sound.ms(counted) if self._sound is not None and counted is not None else None

    def finish(self, end_ms: int | None = None, *, with_sound: bool = False) -> list[Fragment]:
        """All that is left: nothing follows. `end_ms`: when the last picture ends, if known.

        `with_sound`: the last frame of sound too, where no other muxer takes the sound on.
        """
        made = [self._make() if self._pictures.has_key_next() else None]
        self._pictures.finish(end_ms)
        if with_sound and self._sound is not None:
            self._sound.finish()
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
