"""What a stream can be started anew from: its headers and everything since the last IDR.

Holds the tags of the source rendition in the order they came, audio and data messages among them,
so that a worker, or a new incarnation of egress, can be given the stream as if it had been there
since the last IDR. Pure, and bounded in time, bytes and tags: what a GOP without end costs is the
cache, never the memory. Time is that of pictures and of audio, each by itself, since one may be
ahead of the other; a data message may have any.
"""

from dataclasses import dataclass
from enum import Enum, auto

from ingest.rtmp.to_units import AudioConfig, AudioFrame, DataUnit, VideoConfig, VideoUnit

MAX_GOP_MS = 10_000
MAX_GOP_BYTES = 16 * 1024 * 1024
MAX_GOP_TAGS = 4_000  # 10 s of 120 fps with audio and to spare
LASTING = 0.8  # of each limit: what holds no more is still there when an order of now arrives


@dataclass(frozen=True, slots=True)
class Metadata:
    """The body of the last onMetaData message."""

    payload: bytes


CachedTag = AudioConfig | AudioFrame | DataUnit | VideoUnit
ReplayItem = Metadata | VideoConfig | CachedTag


class Kept(Enum):
    """What became of a tag given to the cache."""

    KEPT = auto()
    LEFT_OUT = auto()  # no keyframe to start from yet
    OVERFLOWED = auto()  # the GOP outgrew a limit: it is gone, or shorter


class GopBuffer:
    """One stream's cache. Give it whatever goes out, in order; `replay` tells it all again.

    A GOP begins at an IDR picture, or at a picture flagged as a keyframe while there is nothing to
    start from (streams of intra refresh or open GOPs may have no other). When the GOP outgrows a
    limit it is cut to the latest flagged keyframe, and emptied when that does not help: then the
    cache waits for the next keyframe.
    """

    def __init__(
        self,
        *,
        max_ms: int = MAX_GOP_MS,
        max_bytes: int = MAX_GOP_BYTES,
        max_tags: int = MAX_GOP_TAGS,
    ) -> None:
        self._max_ms = max_ms
        self._max_bytes = max_bytes
        self._max_tags = max_tags
        self._metadata: Metadata | None = None
        self._video: VideoConfig | None = None
        self._audio: AudioConfig | None = None  # the one in force
        self._audio_at_start: AudioConfig | None = None  # the one in force where the GOP begins
        self._tags: list[CachedTag] = []
        self._bytes = 0
        self._from_ms: dict[type[CachedTag], int] = {}  # the first times, of pictures and audio
        self._span_ms = 0  # to the one of these that came last, from the first of its kind
        self._latest_key = 0  # index of the latest keyframe in _tags

    @property
    def metadata(self) -> Metadata | None:
        return self._metadata

    @property
    def video_config(self) -> VideoConfig | None:
        return self._video

    @property
    def audio_config(self) -> AudioConfig | None:
        """The audio's config in force."""
        return self._audio

    @property
    def held_bytes(self) -> int:
        """Bytes of payload held since the last IDR."""
        return self._bytes

    @property
    def is_waiting(self) -> bool:
        """Whether there is no keyframe to start from."""
        return not self._tags

    @property
    def is_lasting(self) -> bool:
        """Whether there is a keyframe to start from, and still will be in a second."""
        return bool(self._tags) and self._fits(LASTING)

    def set_metadata(self, payload: bytes) -> None:
        """Keep the body of an onMetaData message; an empty one clears it."""
        self._metadata = Metadata(payload) if payload else None

    def add(self, item: VideoConfig | CachedTag) -> Kept:
        """Keep what goes out next."""
        match item:
            case VideoConfig():
                # The old GOP's pictures mean nothing to the new parameter sets, nor do pictures
                # that refer to it: wait for a keyframe.
                self._video = item
                self._clear()
                return Kept.KEPT
            case AudioConfig():
                self._audio = item
                if not self._tags:
                    self._audio_at_start = item
                    return Kept.KEPT
            case VideoUnit() if item.is_idr or (item.is_key and not self._tags):
                self._clear()
            case _ if not self._tags:
                return Kept.LEFT_OUT
        return self._append(item)

    def reset(self) -> None:
        """Forget everything: the next publisher has headers of its own."""
        self._metadata = self._video = self._audio = None
        self._clear()

    def replay(self) -> list[ReplayItem]:
        """Metadata, headers, then the tags since the last IDR in the order they came."""
        heads = (self._metadata, self._video, self._audio_at_start)
        return [*(head for head in heads if head is not None), *self._tags]

    def _append(self, item: CachedTag) -> Kept:
        if isinstance(item, VideoUnit) and item.is_key:
            self._latest_key = len(self._tags)
        self._tags.append(item)
        self._bytes += len(item.payload)
        self._measure(item)
        if self._fits():
            return Kept.KEPT
        self._cut_to_latest_key()
        if not self._fits():
            self._clear()
        return Kept.OVERFLOWED

    def _fits(self, share: float = 1.0) -> bool:
        return (
            self._bytes <= self._max_bytes * share
            and len(self._tags) <= self._max_tags * share
            and self._span_ms <= self._max_ms * share
        )

    def _measure(self, item: CachedTag) -> None:
        if isinstance(item, VideoUnit | AudioFrame):
            if item.discontinuity:  # its time jumped: nothing lasted for so long
                self._from_ms[type(item)] = item.dts_ms
            self._span_ms = item.dts_ms - self._from_ms.setdefault(type(item), item.dts_ms)

    def _cut_to_latest_key(self) -> None:
        for tag in self._tags[: self._latest_key]:
            self._bytes -= len(tag.payload)
            if isinstance(tag, AudioConfig):
                self._audio_at_start = tag
        del self._tags[: self._latest_key]
        self._latest_key = 0
        self._from_ms.clear()
        for tag in self._tags:
            self._measure(tag)

    def _clear(self) -> None:
        self._tags.clear()
        self._bytes = 0
        self._from_ms.clear()
        self._span_ms = 0
        self._latest_key = 0
        self._audio_at_start = self._audio
