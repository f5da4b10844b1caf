"""What a stream can be started anew from: its headers and everything since the last IDR.

Holds the units of the source rendition in the order they came, audio and data messages among them,
so that a worker, or a new incarnation of egress, can be given the stream as if it had been there
since the last IDR. Pure, over the bounded `GopBuffer` of `common.media.gop_buffer`.

Of a GOP that outgrew its limits the latest keyframe is kept: a worker that begins then shows it,
again and again, until the next keyframe comes.

Who cuts segments is given the last whole GOPs of each rendition: by its worker, and those of the
source from here. The sound to them lies before the source's last keyframe, so some seconds more of
it are kept.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

from common.media.gop_buffer import MAX_GOP_BYTES, MAX_GOP_ENTRIES, GopBuffer, Kept
from common.media.last_gops import LastGops
from common.media.units import AudioConfig, AudioUnit, DataUnit, VideoConfig, VideoUnit
from ingest.streams.media_events import Metadata

MAX_GOP_MS = 20_000  # less than egress holds: it takes all that it is given

SOUND_MS = 16_000  # that are kept before now: four GOPs of 3 s, and what a worker is behind
MAX_SOUND_BYTES = 512 * 1024  # of these; 256 kbit/s

GopItem = AudioConfig | AudioUnit | DataUnit | VideoUnit
ReplayItem = Metadata | VideoConfig | GopItem


class _RecentSound:
    """The last seconds of sound of one configuration."""

    def __init__(self) -> None:
        self._units: deque[AudioUnit] = deque()
        self._size = 0

    def add(self, unit: AudioUnit) -> None:
        units = self._units
        if unit.discontinuity:
            self.clear()
        units.append(unit)
        self._size += len(unit.data)
        while units and (unit.dts_ms - units[0].dts_ms > SOUND_MS or self._size > MAX_SOUND_BYTES):
            self._size -= len(units.popleft().data)

    def clear(self) -> None:
        self._units.clear()
        self._size = 0

    def before(self, items: Sequence[GopItem]) -> Iterator[AudioUnit]:
        """The sound in front of these items, which came later or are among it."""
        first = next((item for item in items if isinstance(item, AudioUnit)), None)
        for unit in self._units:
            if first is not None and unit.dts_ms >= first.dts_ms:
                return
            yield unit


class SourceGop:
    """One stream's headers and last GOP. Give it whatever goes out, in order.

    A GOP begins at an IDR picture, or at a picture flagged as a keyframe while there is nothing to
    start from (streams of intra refresh or open GOPs may have no other); one that grows too long is
    cut to the latest flagged keyframe.
    """

    def __init__(
        self,
        *,
        max_ms: int = MAX_GOP_MS,
        max_bytes: int = MAX_GOP_BYTES,
        max_entries: int = MAX_GOP_ENTRIES,
    ) -> None:
        self.keeps_last = False  # the whole GOPs before this one too; looked at where one begins
        self._last: LastGops[tuple[Sequence[GopItem], AudioConfig | None]] = LastGops()
        self._metadata: Metadata | None = None
        self._video: VideoConfig | None = None
        self._audio: AudioConfig | None = None  # the one in force
        self._audio_at_start: AudioConfig | None = None  # the one in force where the GOP begins
        self._keyframe: VideoUnit | None = None  # the latest one of this configuration
        self._sound = _RecentSound()
        self._gop = GopBuffer[GopItem](
            max_ms=max_ms, max_bytes=max_bytes, max_entries=max_entries, on_cut=self._on_cut
        )

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
    def size_bytes(self) -> int:
        """Bytes of media since the last IDR."""
        return self._gop.size_bytes

    @property
    def is_waiting(self) -> bool:
        """Whether there is no keyframe to start from."""
        return not self._gop.entries

    @property
    def still(self) -> VideoUnit | None:
        """The keyframe of a GOP that outgrew its limits; what came since it is not here."""
        return None if self._gop.entries else self._keyframe

    @property
    def is_lasting(self) -> bool:
        """Whether there is a keyframe to start from, and still will be in a second."""
        return self._gop.is_lasting

    def set_metadata(self, metadata: Metadata) -> None:
        """Keep what the publisher says of its stream; an empty body clears it."""
        self._metadata = metadata if metadata.body else None

    def add(self, item: VideoConfig | GopItem) -> Kept:
        """Keep what goes out next."""
        if isinstance(item, VideoUnit):
            begins = item.is_random_access or (item.is_key and not self._gop.entries)
            if begins:
                self._keep_whole(item)
                self._audio_at_start = self._audio
            if item.is_key:
                self._keyframe = item
            return self._gop.add(
                item,
                len(item.data),
                VideoUnit,
                item.dts_ms,
                is_key=item.is_key,
                begins=begins,
                set_anew=item.discontinuity,
            )
        if isinstance(item, AudioUnit):
            self._sound.add(item)
            return self._gop.add(
                item, len(item.data), AudioUnit, item.dts_ms, set_anew=item.discontinuity
            )
        if isinstance(item, VideoConfig):
            # The old GOP's pictures mean nothing to the new parameter sets, nor do pictures that
            # refer to it: wait for a keyframe.
            self._video = item
            self._keyframe = None
            self._last.clear()
            self._gop.clear()
            return Kept.KEPT
        if isinstance(item, AudioConfig):
            self._audio = item
            self._sound.clear()
            if not self._gop.entries:
                return Kept.KEPT
            return self._gop.add(item, len(item.record))
        return self._gop.add(item, len(item.data))

    def shift(self, by_ms: int) -> None:
        """Have all that is kept be so much later."""
        still = self._keyframe
        heads = self._video, self._audio
        items = [
            item if isinstance(item, AudioConfig) else replace(item, dts_ms=item.dts_ms + by_ms)
            for item in self._gop.entries
        ]
        self._sound.clear()
        self._gop.clear()
        self._audio = self._audio_at_start
        for item in items:
            self.add(item)
        self._video, self._audio = heads
        if still is not None:
            self._keyframe = replace(still, dts_ms=still.dts_ms + by_ms)

    def reset(self) -> None:
        """Forget everything: the next publisher has headers of its own."""
        self._metadata = self._video = self._audio = self._keyframe = None
        self._sound.clear()
        self._last.clear()
        self._gop.clear()

    def replay(self, *, with_sound: bool = False, with_last: bool = False) -> list[ReplayItem]:
        """Metadata, headers, then the units since the last IDR in the order they came.

        `with_last`: with the whole GOPs before it, as far as they are kept. `with_sound`: with the
        sound of some seconds before all that, if it is of one configuration.
        """
        entries = self._gop.entries
        audio = self._audio_at_start if entries else self._audio
        if with_last and entries and len(self._last):
            audio = next(iter(self._last))[1]
            entries = [*(item for gop, _ in self._last for item in gop), *entries]
        heads = (self._metadata, self._video, audio)
        is_one = audio is self._audio
        before = self._sound.before(entries) if with_sound and is_one else ()
        return [*(head for head in heads if head is not None), *before, *entries]

    def _keep_whole(self, following: VideoUnit) -> None:
        """Keep the GOP that ends here, if what follows goes on from it and anybody will want it."""
        entries = self._gop.entries
        if self.keeps_last and entries and not following.discontinuity:
            self._last.add((entries, self._audio_at_start), self._gop.size_bytes)
        else:
            self._last.clear()

    def _on_cut(self, items: Sequence[GopItem]) -> None:
        self._last.clear()
        for item in items:
            if isinstance(item, AudioConfig):
                self._audio_at_start = item
