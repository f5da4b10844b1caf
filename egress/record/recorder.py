"""One rendition of one stream: when its files begin and end. Pure: what is to be written comes out.

A file begins at a keyframe, and another one at the first keyframe that is due by time or size, or
that has other tracks. What comes while a publisher is away and comes back is one file: stream time
goes on. Where nothing can be written, the file is over; it is tried again with a new one, at the
first keyframe after `RETRY_S`, then after twice as long each time, `MOST_RETRY_S` at most.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common.config.recording import Recording
from common.errors import ProtocolError
from common.ipc.identity import StreamId
from common.ipc.record_messages import RecordState, RecordStatus
from common.media.units import AudioConfig, AudioUnit, VideoConfig, VideoUnit
from common.mp4.init_segment import is_known
from common.retries import DoublingWait
from egress.record.names import finished_name, part_name
from egress.record.recorded_file import RecordedFile
from egress.streams.tag import Config, Tag

RETRY_S: Final = 2.0
MOST_RETRY_S: Final = 30.0
GOOD_S: Final = 10.0  # a file of this length is none that failed

AT_TIME: Final = "it is as long as it may be"
OTHER_TRACKS: Final = "the stream has other tracks"
NO_TRACK: Final = "its pictures are of a codec that is not recorded"


@dataclass(frozen=True, slots=True)
class Begin:
    """Make a file of this name."""

    path: Path


@dataclass(frozen=True, slots=True)
class Write:
    """Whole boxes, behind what is there."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Finish:
    """Give the file its final name."""

    seconds: float  # of stream time in it
    reason: str


Command = Begin | Write | Finish


class Recorder:
    """One of a process."""

    def __init__(
        self, stream_id: StreamId, rendition: str, rule: Recording, folder: Path, now: float
    ) -> None:
        self.stream_id, self.rendition, self.rule = stream_id, rendition, rule
        self.state = RecordState.WAITING
        self.reason = ""
        self.bytes = self.files = 0  # as the disk has them
        self.dropped = 0  # pictures in no file
        self.unreadable = 0  # units
        self._folder = folder
        self._file: RecordedFile | None = None
        self._shown = ""
        self._config: Config | None = None
        self._bodies: tuple[bytes, bytes] = (b"", b"")  # of the headers of the file
        self._since_s = self._again_s = now
        self._wait = DoublingWait(RETRY_S, MOST_RETRY_S)

    def configure(self, config: Config) -> None:
        """Another configuration from the next unit on."""
        self._config = config

    def append(self, tags: Sequence[Tag], now: float, at_unix: float) -> list[Command]:
        """Take the next tags; what is to be done with files."""
        found: list[Command] = []
        for tag in tags:
            try:
                unit = tag.unit()
                if isinstance(unit, VideoUnit | AudioUnit) and unit.data:
                    found += self._take(unit, now, at_unix)
            except ProtocolError:
                self.unreadable += 1
        return found

    def end(self, reason: str, now: float) -> list[Command]:
        """Nothing follows for now."""
        found = self._finish(reason)
        if self.state is RecordState.RECORDING:
            self._follow(RecordState.WAITING, now)
        return found

    def failed(self, reason: str, now: float) -> None:
        """The file that is written cannot be; whoever writes has closed it."""
        self._file = None
        self.reason = reason
        self._again_s = now + self._wait.take()
        self._follow(RecordState.FAILED, now)

    def written(self, size: int, now: float) -> None:
        """The disk has so much more."""
        self.bytes += size
        if self._file is not None:
            if self._file.seconds >= GOOD_S:
                self._wait.begin_anew()
                self.reason = ""
            self._follow(RecordState.RECORDING, now)

    def status(self, now: float) -> RecordStatus:
        return RecordStatus(
            self.stream_id,
            self.rendition,
            self.state,
            self._shown,
            self.reason,
            round(now - self._since_s, 1),
            self.bytes,
            self.files,
            self.dropped,
        )

    # ---- inside -------------------------------------------------------------------------------

    def _take(self, unit: VideoUnit | AudioUnit, now: float, at_unix: float) -> list[Command]:
        found: list[Command] = []
        if isinstance(unit, VideoUnit) and unit.is_key:
            found = self._at_key(unit.dts_ms, now, at_unix)
        elif self._file is not None and not self._file.has_header:
            self._file.audio = self._audio()
            self._bodies = self._headers()
        if self._file is None:
            self.dropped += isinstance(unit, VideoUnit)
            return found
        data = self._file.add(unit)
        return [*found, Write(data)] if data else found

    def _at_key(self, key_ms: int, now: float, at_unix: float) -> list[Command]:
        """End a file and begin the next one, where that is due."""
        found: list[Command] = []
        file, sound_ms = self._file, None
        if file is not None:
            rotate_ms = round(self.rule.rotate_s * 1000)
            if self._headers() != self._bodies:
                found = self._finish(OTHER_TRACKS, key_ms)
            elif file.is_due(key_ms, rotate_ms, self.rule.rotate_bytes):
                found = self._finish(AT_TIME, key_ms)
            sound_ms = file.sound_ms
        if self._file is None and now >= self._again_s:
            found += self._begin(key_ms, sound_ms, now, at_unix)
        return found

    def _begin(
        self, key_ms: int, sound_ms: int | None, now: float, at_unix: float
    ) -> list[Command]:
        config = self._config
        video = config.video.media_config() if config is not None and config.video else None
        if not isinstance(video, VideoConfig) or not is_known(video):
            self.failed(NO_TRACK, now)
            return []
        self._file = RecordedFile(video, self._audio(), key_ms, sound_ms)
        self._bodies = self._headers()
        path = self._folder / part_name(at_unix)
        self._shown = str(finished_name(path))
        return [Begin(path)]

    def _finish(self, reason: str, next_ms: int | None = None) -> list[Command]:
        file, self._file = self._file, None
        if file is None:
            return []
        data = file.finish(next_ms)
        return [*([Write(data)] if data else []), Finish(file.seconds, reason)]

    def _headers(self) -> tuple[bytes, bytes]:
        config = self._config or Config()
        return (
            config.video.body if config.video is not None else b"",
            config.audio.body if config.audio is not None else b"",
        )

    def _audio(self) -> AudioConfig | None:
        tag = self._config.audio if self._config is not None else None
        found = tag.media_config() if tag is not None else None
        return found if isinstance(found, AudioConfig) else None

    def _follow(self, state: RecordState, now: float) -> None:
        if state is not self.state:
            self.state, self._since_s = state, now
