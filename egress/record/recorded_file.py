"""The bytes of one recording: fragmented MP4, a second or so a fragment. Pure.

Its times begin with it. The header waits for the first fragment, so that sound whose configuration
comes behind the first picture is in the file. Each write is whole boxes, so what was written plays.
"""

from dataclasses import replace
from typing import Final

from common.media.units import AudioConfig, AudioUnit, VideoConfig, VideoUnit
from common.mp4.init_segment import AUDIO_ENTRIES
from common.mp4.live_muxer import Fragment, LiveMuxer
from common.mp4.tracks import MAX_DRIFT_MS

FRAGMENT_MS: Final = 1000
MAX_HELD: Final = 500  # units before the header
MAX_SOUND_LAG_MS: Final = 1000  # of sound behind the picture of its time, where a file begins


class RecordedFile:
    """One file, from a keyframe on."""

    def __init__(
        self, video: VideoConfig, audio: AudioConfig | None, key_ms: int, sound_ms: int | None
    ) -> None:
        """`key_ms`: of its first picture; `sound_ms`: where the sound of the file before ended."""
        self.audio = audio
        self.begin_ms = key_ms
        self.coded_bytes = 0  # that it was given; headers of fragments are 1 % at most
        self.sound_ms: int | None = None  # where its sound ends, in stream time, once it is over
        self.late = 0  # frames of sound that are before its begin
        self._base_ms = key_ms
        if sound_ms is not None and sound_ms < key_ms + MAX_DRIFT_MS:
            self._base_ms = max(sound_ms - MAX_DRIFT_MS, key_ms - MAX_SOUND_LAG_MS)
        self._video = video
        self._held: list[VideoUnit | AudioUnit] = []
        self._muxer: LiveMuxer | None = None
        self._last_ms = self._flushed_ms = key_ms
        self._gop_bytes = self._largest_gop = 0

    @property
    def seconds(self) -> float:
        """How much stream time it holds."""
        return (self._last_ms - self.begin_ms) / 1000

    @property
    def has_header(self) -> bool:
        """Whether its tracks are settled."""
        return self._muxer is not None

    def is_due(self, key_ms: int, rotate_ms: int, rotate_bytes: int) -> bool:
        """Whether another file begins with a keyframe of this time."""
        largest = max(self._largest_gop, self._gop_bytes)
        is_large = bool(rotate_bytes) and self.coded_bytes + largest > rotate_bytes
        return is_large or key_ms - self.begin_ms >= rotate_ms

    def add(self, unit: VideoUnit | AudioUnit) -> bytes:
        """Take the next unit; what is written now. Raises ProtocolError for what can't be read."""
        at_ms = unit.dts_ms - self._base_ms
        if at_ms < 0:
            self.late += 1
            return b""
        is_picture = isinstance(unit, VideoUnit)
        if isinstance(unit, VideoUnit) and unit.is_key:
            self._largest_gop, self._gop_bytes = max(self._largest_gop, self._gop_bytes), 0
        self.coded_bytes += len(unit.data)
        self._gop_bytes += len(unit.data)
        if is_picture:
            self._last_ms = max(self._last_ms, unit.dts_ms)
        shifted = replace(unit, dts_ms=at_ms)
        is_due = is_picture and unit.dts_ms - self._flushed_ms >= FRAGMENT_MS
        if self._muxer is None:
            self._held.append(shifted)
            return self._open() if is_due or len(self._held) >= MAX_HELD else b""
        made = [self._muxer.add(shifted)]
        if is_due:
            made.append(self._muxer.flush())
        return self._written(made)

    def finish(self, next_ms: int | None = None) -> bytes:
        """All that is left; `next_ms`: when the picture behind the last one is, if there is one."""
        begun = self._open() if self._muxer is None else b""
        assert self._muxer is not None
        end_ms = next_ms - self._base_ms if next_ms is not None else None
        if next_ms is not None:
            self._last_ms = max(self._last_ms, next_ms)
        until_ms = self._muxer.sound_until_ms
        self.sound_ms = until_ms + self._base_ms if until_ms is not None else None
        return begun + self._written(self._muxer.finish(end_ms, with_sound=True))

    def _open(self) -> bytes:
        """Settle the tracks, and take what waited for that."""
        sound = self.audio if self.audio is not None and _has_track(self.audio) else None
        self._muxer = LiveMuxer(self._video, sound, sounds=frozenset(AUDIO_ENTRIES))
        held, self._held = self._held, []
        made = [self._muxer.add(unit) for unit in held]
        return self._muxer.init + self._written([*made, self._muxer.flush()])

    def _written(self, made: "list[Fragment | None] | list[Fragment]") -> bytes:
        found = [one for one in made if one is not None]
        if found:
            self._flushed_ms = self._last_ms
        return b"".join(one.data for one in found)


def _has_track(audio: AudioConfig) -> bool:
    return audio.codec in AUDIO_ENTRIES and audio.sample_rate > 0
