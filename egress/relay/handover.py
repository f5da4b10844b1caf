"""A played stream while it goes from one host to another, which both send it for a moment. Pure.

Each rendition, the sound and the data go over by themselves (`splice.py`); the headers of the next
host come into force with its first keyframe. Both hosts' media is played under one generation.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from common.ipc.media_messages import HEADER, SHARED
from common.link.messages import LinkHeaders, LinkTags
from egress.relay.played_stream import Frames, Kept, Out, PlayedStream, kept_tags
from egress.relay.splice import Splice

END_S: Final = 15.0  # that a rendition is waited for: a GOP may take 10 s


class Handover:
    """From its beginning until all is the next host's."""

    def __init__(self, stream: PlayedStream, now: float) -> None:
        self._stream = stream
        self._began_s = now
        self._is_alone = False  # the host before sends nothing more
        self._pictures = {name: self._splice(name) for name in stream.names}
        self._others: dict[int, Splice[Kept]] = {}  # by FLV tag type
        self._headers: dict[str, list[tuple[LinkHeaders, Frames]]] = {}  # of the next host

    @property
    def are_over(self) -> bool:
        """Whether all that has pictures is the next host's."""
        return all(each.is_over for each in self._pictures.values())

    def is_over(self, now: float) -> bool:
        """Tell if nothing is to be looked at any more."""
        return self.are_over or now - self._began_s >= END_S

    def before(self, message: LinkHeaders | LinkTags, payloads: Frames, now: float) -> list[Out]:
        """Something of the host before."""
        name = message.rendition
        if isinstance(message, LinkHeaders):
            is_over = name in self._pictures and self._pictures[name].is_over
            return [] if is_over else [self._stream.headers(message, payloads)]
        outs: list[Out] = []
        tags = kept_tags(message, payloads, now)
        if name == SHARED:
            for splice, found in self._by_type(tags):
                outs += self._shared(splice.before(found), now)
                outs += self._shared(splice.take(now), now)
            return outs
        splice = self._picture(name)
        found = splice.before(tags)
        if found:
            outs.append(self._stream.append(name, found, now))
        return outs + self._next(name, splice.take(now), now)

    def next(self, message: LinkHeaders | LinkTags, payloads: Frames, now: float) -> list[Out]:
        """Something of the next host."""
        name = message.rendition
        if isinstance(message, LinkHeaders):
            if name in self._pictures and self._pictures[name].is_over:
                return [self._stream.headers(message, payloads)]
            self._headers.setdefault(name, []).append((message, payloads))
            return []
        tags = kept_tags(message, payloads, now)
        if name != SHARED:
            return self._next(name, self._picture(name).next(tags, now), now)
        if not tags:
            return [self._stream.append(name, (), now)]  # a sign of life
        outs = self._shared([tag for tag in tags if tag.head.flags & HEADER], now)
        for splice, found in self._by_type(tags):
            outs += self._shared(splice.next(found, now), now)
        return outs

    def end_before(self, now: float) -> list[Out]:
        """The host before sends nothing more."""
        self._is_alone = True
        outs: list[Out] = []
        for splice in self._others.values():
            splice.end_before()
            outs += self._shared(splice.take(now), now)
        for name, splice in self._pictures.items():
            splice.end_before()
            outs += self._next(name, splice.take(now), now)
        return outs

    def end(self) -> list[Out]:
        """Put the headers in force that no keyframe has brought: a publisher's onMetaData."""
        return [out for name in tuple(self._headers) for out in self._in_force(name)]

    # ---- inside -------------------------------------------------------------------------------

    def _next(self, name: str, tags: Sequence[Kept], now: float) -> list[Out]:
        if not tags:
            return []
        return [*self._in_force(name), self._stream.append(name, tags, now)]

    def _in_force(self, name: str) -> list[Out]:
        return [self._stream.headers(*each) for each in self._headers.pop(name, ())]

    def _shared(self, tags: Sequence[Kept], now: float) -> list[Out]:
        return [self._stream.append(SHARED, tags, now)] if tags else []

    def _by_type(self, tags: Sequence[Kept]) -> Iterable[tuple[Splice[Kept], Sequence[Kept]]]:
        """Sound and data apart, without headers: these have no time."""
        for tag_type in {tag.head.type for tag in tags}:
            found = [t for t in tags if t.head.type == tag_type and not t.head.flags & HEADER]
            splice = self._others.get(tag_type)
            if splice is None:
                last = self._stream.last_shared(tag_type)
                splice = self._others[tag_type] = Splice(*last, needs_key=False)
                if self._is_alone:
                    splice.end_before()
            yield splice, found

    def _picture(self, name: str) -> Splice[Kept]:
        splice = self._pictures.get(name)
        if splice is None:
            splice = self._pictures[name] = self._splice(name)
            if self._is_alone:
                splice.end_before()
        return splice

    def _splice(self, name: str) -> Splice[Kept]:
        return Splice(*self._stream.last(name), needs_key=True)
