"""One rendition's tags on their way to egress: numbered, and the current GOP kept. Pure.

A new egress incarnation first gets what `catch_up` gives, so that it serves the rendition at once,
then the same messages as all others. Who cuts segments needs a whole one at once: while there is
somebody who does, the GOPs before the current one are kept too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from common.flv.tag import TagType
from common.ipc.envelope import encode
from common.ipc.identity import ChildId, Generation, StreamId
from common.ipc.media_messages import KEY, REPLAY, RenditionOpen, RenditionVideo, TagHeader, Tags
from common.media.gop_buffer import GopBuffer
from common.media.last_gops import LastGops

Frames = list[bytes]

_VIDEO = int(TagType.VIDEO)


@dataclass(frozen=True, slots=True)
class CodedTag:
    """A video tag body of a rendition."""

    pts_ms: int
    is_key: bool
    received_s: float  # when the access unit that it was made of came in
    body: bytes


# A template's `gop` is 20 s at most. A GOP may be late by a picture.
MAX_GOP_MS = 21_000


class RenditionOutput:
    """Makes the bus messages of one rendition, in order."""

    def __init__(
        self,
        stream_id: StreamId,
        generation: Generation,
        name: str,
        first_number: int = 0,
        *,
        for_worker: ChildId | None = None,
        keeps_last: Callable[[], bool] = lambda: False,
    ) -> None:
        """`for_worker`: whose placement it is, where an encoder process makes it.

        `keeps_last` says whether the last whole GOPs are kept too; it is asked at each keyframe.
        """
        self.name = name
        self._for_worker = for_worker
        self._keeps_last = keeps_last
        self._stream_id = stream_id
        self._generation = generation
        self._video = RenditionVideo("", 0, 0)
        self._metadata = b""
        self._header = b""
        self._is_resting = False
        self._next_number = first_number
        self._gop = GopBuffer[CodedTag](max_ms=MAX_GOP_MS)
        self._last: LastGops[Sequence[CodedTag]] = LastGops()

    @property
    def is_open(self) -> bool:
        return bool(self._header)

    def begin(self, video: RenditionVideo, metadata: bytes, header: bytes) -> Frames:
        """The rendition begins, or goes on with other headers; the next tag is a keyframe."""
        self._video, self._metadata, self._header = video, metadata, header
        return self._begin_anew(is_resting=False)

    def rest(self) -> Frames:
        """The rendition is not made until it begins again: nobody can begin from what was sent."""
        return self._begin_anew(is_resting=True)

    def _begin_anew(self, *, is_resting: bool) -> Frames:
        self._is_resting = is_resting
        self._gop.clear()
        self._last.clear()
        return self._open(self._next_number)

    def append(self, tags: Sequence[CodedTag], now_s: float = 0.0) -> Frames:
        """The message with these tags, which must not be empty, sent now."""
        first = self._next_number
        self._next_number += len(tags)
        for tag in tags:
            key = tag.is_key
            if key:
                self._keep_whole()
            self._gop.add(tag, len(tag.body), "video", tag.pts_ms, is_key=key, begins=key)
        heads = [self._head(tag) for tag in tags]
        return [self._tags(first, heads, now_s), *(tag.body for tag in tags)]

    def catch_up(self, *, with_last: bool = False) -> list[Frames]:
        """What an egress that knows nothing of the rendition must have before the next message.

        `with_last`: with the last whole GOPs, as far as they are kept.
        """
        if not self.is_open:
            return []
        gops = [self._gop.entries] if self._gop.entries else []
        if with_last and gops:
            gops = [*self._last, *gops]
        first = self._next_number - sum(map(len, gops))
        messages = [self._open(first)]
        for kept in gops:
            heads = [self._head(tag, REPLAY) for tag in kept]
            messages.append([self._tags(first, heads), *(tag.body for tag in kept)])
            first += len(kept)
        return messages

    def _keep_whole(self) -> None:
        """Keep the GOP that ends here, if anybody will want it."""
        if self._keeps_last() and self._gop.entries:
            self._last.add(self._gop.entries, self._gop.size_bytes)
        else:
            self._last.clear()

    def _head(self, tag: CodedTag, flags: int = 0) -> TagHeader:
        """No B-frames, so that DTS and PTS are one."""
        if tag.is_key:
            flags |= KEY
        return TagHeader(_VIDEO, self._video.codec, tag.pts_ms, 0, flags, tag.received_s)

    def _open(self, first_number: int) -> Frames:
        message = RenditionOpen(
            self._stream_id,
            self._generation,
            self.name,
            first_number,
            self._video,
            self._for_worker,
            self._is_resting,
        )
        return [encode(message), self._metadata, self._header]

    def _tags(self, first: int, heads: list[TagHeader], sent_s: float = 0.0) -> bytes:
        entries = tuple(heads)
        return encode(Tags(self._stream_id, self._generation, self.name, first, entries, sent_s))
