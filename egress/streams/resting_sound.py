"""The sound of a rendition that rests, for its first pictures when it is made again. Pure.

These are of the past: they begin at the last keyframe of the grid. So as much sound is kept as a
GOP may be long, and what a worker may be behind.
"""

from collections import deque
from typing import Final

from common.ipc.media_messages import HEADER
from egress.streams.tag import Tag

MAX_TAGS: Final = 4_000  # sound and data of 24 s, and to spare


class RestingSound:
    """The last sound and data of one rendition, in order."""

    def __init__(self, span_ms: int) -> None:
        """`span_ms`: how far back it is kept."""
        self._span_ms = span_ms
        self._tags: deque[Tag] = deque(maxlen=MAX_TAGS)

    def keeps(self, tag: Tag) -> bool:
        """Keep a tag; False: it is a header, and what came before it is of another form."""
        if tag.flags & HEADER:
            self._tags.clear()
            return False
        self._tags.append(tag)
        while self._tags[0].dts_ms < tag.dts_ms - self._span_ms:
            self._tags.popleft()
        return True

    def since(self, dts_ms: int) -> list[Tag]:
        """What is kept from this time on."""
        return [tag for tag in self._tags if tag.dts_ms >= dts_ms]
