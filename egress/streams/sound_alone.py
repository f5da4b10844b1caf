"""A rendition that has the sound alone: what is shared by all renditions, and no pictures. Pure.

It has no keyframes, and every frame of sound can be decoded by itself. So the first of each GOP's
time is flagged as what a subscriber begins with: whoever comes is given a GOP's time of sound, as
of pictures.
"""

from dataclasses import replace
from math import inf
from typing import Any

from common.ipc.media_messages import HEADER, KEY, REPLAY
from egress.streams.rendition import Rendition
from egress.streams.tag import AUDIO, DATA, PublisherInfo, Tag


class SoundStarts:
    """Where one can begin."""

    def __init__(self, gop_ms: int) -> None:
        self._gop_ms = gop_ms
        self._gop: int | None = None  # its number on the grid

    def flagged(self, tag: Tag) -> Tag:
        """The next tag; a copy, where it is one to begin with: others have the same tag."""
        if tag.type != AUDIO or tag.flags & HEADER:
            return tag
        gop = tag.dts_ms // self._gop_ms
        if gop == self._gop:
            return tag
        self._gop = gop
        return replace(tag, flags=tag.flags | KEY)


class SoundRendition(Rendition):
    """The rendition. Its sound waits for no picture."""

    is_sound_alone = True

    def __init__(self, *arguments: Any, gop_ms: int, **named: Any) -> None:
        """The others are a `Rendition`'s."""
        super().__init__(*arguments, is_transcoded=True, **named)
        self._gop_ms = gop_ms
        self._starts = SoundStarts(gop_ms)

    def begin(self, publisher: PublisherInfo) -> None:
        super().begin(publisher)
        # its metadata is what is known of the sound
        config = self.gop_buffer.config._replace(script=Tag(DATA, "", 0, 0, HEADER, b""))
        self.gop_buffer.config = config
        self._unflushed.begin(config)

    def rest(self) -> None:
        """Nothing comes before another keyframe of the source: begin where it does again."""
        self.gop_buffer.forget()
        self._starts = SoundStarts(self._gop_ms)

    def shared(self, tag: Tag, now: float) -> None:
        last_ms = self.gop_buffer.last_dts_ms.get(tag.type, -inf)
        if tag.flags & REPLAY and not tag.flags & HEADER and tag.dts_ms <= last_ms:
            return  # it repeats what is here
        before = self.bytes
        self._append(self._starts.flagged(tag), now)
        self.throughput.count(0, self.bytes - before, now)
