"""A stream of another host as this farm's egresses are sent it. Pure.

It has a generation of this farm, numbers of its own, and the last GOP of each rendition for an
egress that comes later. What the owner says becomes what an ingest and a worker say here.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from common.config.ladder import AwayPicture
from common.ipc.envelope import encode
from common.ipc.identity import ChildId, Generation, StreamId
from common.ipc.media_messages import (
    HEADER,
    KEY,
    REPLAY,
    SHARED,
    GenerationEnd,
    RenditionOpen,
    RenditionVideo,
    StreamClosed,
    StreamOpen,
    TagHeader,
    Tags,
)
from common.link.messages import MAX_AGE_S, LinkHeaders, LinkOpened, LinkTag, LinkTags
from common.link.pulling import arrived
from common.media.gop_buffer import GopBuffer
from egress.relay.still import Still

Frames = Sequence[bytes]
Key = tuple[StreamId, Generation, str]
MAX_SHARED: Final = 2_000  # tags of sound and data that are kept
MAX_RUN: Final = 128  # tags that are passed on in one message …
MAX_RUN_BYTES: Final = 1024 * 1024  # … and bytes, but for a single larger one
STEP_MS: Final = 40.0  # between pictures, where that is not known …
SOUND_STEP_MS: Final = 20.0  # … and between frames of sound
_VIDEO: Final = 9


class Kept(NamedTuple):
    """A tag with times of this host's clock."""

    head: TagHeader
    body: bytes


class Out(NamedTuple):
    """One message to the egresses that want the rendition, or "" of its stream."""

    name: str
    frames: Frames
    is_start: bool  # it opens or ends something, or begins with a keyframe


class PlayedStream:
    """One stream, under one generation."""

    def __init__(self, stream_id: StreamId, generation: Generation, relay: ChildId) -> None:
        self.generation = generation
        self.hold_ms = 0  # as its template has it
        self._stream_id = stream_id
        self._relay = relay
        self.link: LinkOpened | None = None  # as it came, while it is open
        self._opening: StreamOpen | None = None
        self._renditions: dict[str, _Rendition] = {}
        self._shared = _Shared(stream_id, generation)

    @property
    def is_open(self) -> bool:
        return self._opening is not None

    def key(self, name: str) -> Key:
        """What the links know a rendition by."""
        return self._stream_id, self.generation, name

    def opened(self, message: LinkOpened) -> Out:
        """The stream is there, or has another ladder."""
        self.link = message
        self.hold_ms = message.template.hold_ms
        self._opening = StreamOpen(
            self._stream_id,
            self.generation,
            message.template,
            message.renditions,
            overrides=message.overrides,
            worker=self._relay,
            epoch_ms=message.zero_unix_ms,
        )
        self._shared.opening = [encode(self._opening)]
        return Out(SHARED, self._shared.opening, is_start=True)

    def headers(self, message: LinkHeaders, payloads: Sequence[bytes]) -> Out:
        """A rendition begins, or its headers change."""
        rendition = self._rendition(message.rendition)
        return Out(message.rendition, rendition.begin(message.video, *payloads), is_start=True)

    @property
    def names(self) -> Sequence[str]:
        """The renditions that have come."""
        return tuple(self._renditions)

    def last(self, name: str) -> tuple[int | None, float]:
        """The time of a rendition's last picture, and how far apart they are, in ms."""
        found = self._renditions.get(name)
        if found is None:
            return None, STEP_MS
        return found.last_ms, _step_ms(found.gop, STEP_MS)

    def last_shared(self, tag_type: int) -> tuple[int | None, float]:
        """Likewise of sound or data."""
        kept = [tag for tag in self._shared.kept() if _is_timed(tag, tag_type)]
        return self._shared.last_ms.get(tag_type), _step_ms(kept, SOUND_STEP_MS)

    @property
    def has_still(self) -> bool:
        """Tell if there is a picture to show while its host is away, as the template may say."""
        if self._opening is None or self._opening.template.away_picture is not AwayPicture.FREEZE:
            return False
        return any(one.begin_ms is not None for one in self._renditions.values())

    def stills(self, now: float) -> Sequence[Out]:
        """The last keyframes again, where they are due: the stream's host is away.

        When it is back, each rendition goes on at its first keyframe behind them.
        """
        if not self.has_still:
            return []
        found = [(name, one.still(now)) for name, one in self._renditions.items()]
        return [Out(name, frames, is_start=True) for name, frames in found if frames is not None]

    def tags(self, message: LinkTags, bodies: Sequence[bytes], now: float) -> Out:
        """Tags of a rendition, or of the whole stream; without any: it is there."""
        return self.append(message.rendition, kept_tags(message, bodies, now), now)

    def append(self, name: str, tags: Sequence[Kept], now: float) -> Out:
        """Likewise, where the times are those of this host's clock."""
        if name == SHARED:
            return Out(name, self._shared.append(tags, now), is_start=True)
        rendition = self._rendition(name)
        kept = rendition.after_still(tags)
        frames = rendition.append(kept, now)
        starts = bool(kept) and kept[0].head.flags & KEY != 0
        if starts:
            begins = [r.begin_ms for r in self._renditions.values() if r.begin_ms is not None]
            self._shared.prune(min(begins))
        return Out(name, frames, is_start=starts)

    def sound_before(self, message: LinkTags) -> Out | None:
        """What goes ahead of these tags: the sound and data of a GOP that comes again.

        A rendition that is wanted later than another one begins with its GOP; its sound crossed
        with the other one, and comes no more. Who has it already drops it as repeated.
        """
        first = message.tags[0] if message.tags else None
        is_gop = first is not None and first.flags & KEY and first.flags & REPLAY
        if first is None or not is_gop or message.rendition == SHARED:
            return None
        frames = self._shared.again(first.dts_ms)
        return Out(SHARED, frames, is_start=True) if frames is not None else None

    def closed(self, reason: str, hold_ms: int, *, is_all: bool = False) -> Sequence[Out]:
        """It is over, or its owner is away; what may come of it later is numbered on.

        `is_all`: though it is held, nothing more of this generation comes.
        """
        if self._opening is None:
            return []
        self._opening = self.link = None
        self._shared.clear()
        for rendition in self._renditions.values():
            rendition.clear()
        ends: list[object] = [StreamClosed(self._stream_id, self.generation, reason, hold_ms)]
        if hold_ms == 0 or is_all:  # nothing is on its way any more
            ends.insert(0, GenerationEnd(self._stream_id, self.generation, reason))
        return [Out(SHARED, [encode(end)], is_start=True) for end in ends]

    def outputs(self) -> Iterable[tuple[Key, "_Shared | _Rendition"]]:
        """What an egress that knows nothing must be sent, in order."""
        if self._opening is not None:
            yield self.key(SHARED), self._shared
            for name, rendition in self._renditions.items():
                yield self.key(name), rendition

    def passed_on(
        self, names: Iterable[str], now: float, *, is_first: bool
    ) -> Iterable[tuple[LinkHeaders | LinkTags, Sequence[bytes]]]:
        """What a further host is sent that begins to take these renditions.

        `is_first`: it took none before, so the sound comes with them.
        """
        link = self.link
        if link is None:
            return
        ids = link.stream, link.epoch, link.generation
        if is_first:
            for run in _runs(self._shared.kept()):
                yield LinkTags(*ids, SHARED, _crossing(run, now)), [tag.body for tag in run]
        for name in names:
            rendition = self._renditions.get(name)
            if rendition is None:
                continue
            yield LinkHeaders(*ids, name, rendition.video), rendition.headers
            for run in _runs([_again(tag) for tag in rendition.gop]):
                yield LinkTags(*ids, name, _crossing(run, now)), [tag.body for tag in run]

    def _rendition(self, name: str) -> "_Rendition":
        found = self._renditions.get(name)
        if found is None:
            found = _Rendition(self._stream_id, self.generation, name, self._relay)
            self._renditions[name] = found
        return found


class _Shared:
    """The opening, and the sound and data since the keyframes that are kept."""

    def __init__(self, stream_id: StreamId, generation: Generation) -> None:
        self.opening: Frames = []
        self._stream_id = stream_id
        self._generation = generation
        self.last_ms: dict[int, int] = {}  # of sound and data, by type
        self._next_number = 0
        self._header: Kept | None = None
        self._kept: list[Kept] = []

    def append(self, tags: Sequence[Kept], now: float) -> Frames:
        """Number tags; gives the message with them."""
        frames = _message(self._stream_id, self._generation, SHARED, self._next_number, tags, now)
        self._next_number += len(tags)
        for tag in tags:
            if tag.head.flags & HEADER:
                self._header = tag
            else:
                self._kept.append(tag)
                known_ms = self.last_ms.get(tag.head.type, tag.head.dts_ms)
                self.last_ms[tag.head.type] = max(known_ms, tag.head.dts_ms)
        del self._kept[:-MAX_SHARED]
        return frames

    def again(self, from_ms: int) -> Frames | None:
        """What is kept from this time on, once more; None: there is nothing."""
        kept = [_again(tag) for tag in self._kept if tag.head.dts_ms >= from_ms]
        return self._repeated(kept) if kept else None

    def clear(self) -> None:
        """Keep nothing."""
        self._kept, self._header = [], None

    def prune(self, from_ms: int) -> None:
        """Keep what is not before this time."""
        self._kept = [tag for tag in self._kept if tag.head.dts_ms >= from_ms]

    def catch_up(self, *, with_last: bool = False) -> Iterable[Frames]:
        """The opening, the sound's header, and what is kept."""
        yield self.opening
        tags = self.kept()
        if tags:
            yield self._repeated(tags)

    def kept(self) -> Sequence[Kept]:
        """The header, and what is kept, as a replay."""
        return [*([self._header] if self._header is not None else []), *map(_again, self._kept)]

    def _repeated(self, tags: Sequence[Kept]) -> Frames:
        return _message(self._stream_id, self._generation, SHARED, 0, tags, 0.0)


class _Rendition:
    """One rendition's numbers, headers and GOP."""

    def __init__(
        self, stream_id: StreamId, generation: Generation, name: str, relay: ChildId
    ) -> None:
        self._ids = stream_id, generation, name
        self._relay = relay
        self.video = RenditionVideo("", 0, 0)
        self._script = self._header = b""
        self._next_number = 0
        self._gop = GopBuffer[Kept]()
        self.last_ms: int | None = None  # of the last picture
        self._came_s = 0.0  # the last tags
        self._still: Still | None = None  # that is shown, or was and nothing else came yet

    @property
    def begin_ms(self) -> int | None:
        """The time of the keyframe that is kept."""
        entries = self._gop.entries
        return entries[0].head.dts_ms if entries else None

    @property
    def headers(self) -> Sequence[bytes]:
        """onMetaData and the sequence header."""
        return self._script, self._header

    @property
    def gop(self) -> Sequence[Kept]:
        """The tags since the last keyframe."""
        return self._gop.entries

    def clear(self) -> None:
        """Keep nothing but the numbers."""
        self._gop.clear()

    def begin(self, video: RenditionVideo, script: bytes, header: bytes) -> Frames:
        """Headers from the next keyframe on."""
        self.video, self._script = video, script
        self._header = header or self._header
        return self._open(self._next_number)

    def append(self, tags: Sequence[Kept], now: float) -> Frames:
        """Number tags and keep their GOP; gives the message with them."""
        first = self._next_number
        self._next_number += len(tags)
        self._came_s = now
        if tags:
            last_ms = tags[-1].head.dts_ms
            self.last_ms = last_ms if self.last_ms is None else max(self.last_ms, last_ms)
        for tag in tags:
            is_key = tag.head.flags & KEY != 0
            self._gop.add(tag, len(tag.body), _VIDEO, tag.head.dts_ms, begins=is_key)
        return _message(*self._ids, first, tags, now)

    def still(self, now: float) -> Frames | None:
        """The keyframe that is kept, at the time of now; None: none is due."""
        entries = self._gop.entries
        if not entries:
            return None
        key, last = entries[0], entries[-1]
        if self._still is None:
            span_ms = max(1, last.head.dts_ms - key.head.dts_ms)
            bps = self._gop.size_bytes * 8_000 / span_ms
            self._still = Still(last.head.dts_ms, self._came_s, len(key.body), bps)
        at_ms = self._still.take(now)
        if at_ms is None:
            return None
        head = key.head._replace(dts_ms=at_ms, flags=key.head.flags & ~REPLAY, received_s=now)
        return self.append([Kept(head, key.body)], now)

    def after_still(self, tags: Sequence[Kept]) -> Sequence[Kept]:
        """What of these tags goes on behind a picture that was shown meanwhile."""
        if self._still is None:
            return tags
        last_ms = self._still.last_ms
        for at, tag in enumerate(tags):
            if tag.head.flags & KEY and tag.head.dts_ms > last_ms:
                self._still = None
                return tags[at:]
        return []

    def catch_up(self, *, with_last: bool = False) -> Iterable[Frames]:
        """The headers and the GOP."""
        kept = [_again(tag) for tag in self._gop.entries]
        first = self._next_number - len(kept)
        yield self._open(first)
        if kept:
            yield _message(*self._ids, first, kept, 0.0)

    def _open(self, first_number: int) -> Frames:
        message = RenditionOpen(*self._ids, first_number, self.video)
        return [encode(message), self._script, self._header]


def kept_tags(message: LinkTags, bodies: Sequence[bytes], now: float) -> list[Kept]:
    """The tags of a message, with times of this host's clock."""
    return list(map(Kept, arrived(message.tags, now), bodies))


def _step_ms(tags: Sequence[Kept], unknown_ms: float) -> float:
    """How far apart they are, about."""
    if len(tags) < 2:
        return unknown_ms
    return max(1.0, (tags[-1].head.dts_ms - tags[0].head.dts_ms) / (len(tags) - 1))


def _is_timed(tag: Kept, tag_type: int) -> bool:
    return tag.head.type == tag_type and not tag.head.flags & HEADER


def _again(tag: Kept) -> Kept:
    return Kept(tag.head._replace(flags=tag.head.flags | REPLAY), tag.body)


def _runs(tags: Sequence[Kept]) -> Iterable[Sequence[Kept]]:
    """Cut what is kept into messages; a header goes alone."""
    run, size = list[Kept](), 0
    for tag in tags:
        is_full = len(run) >= MAX_RUN or size + len(tag.body) > MAX_RUN_BYTES
        if run and (is_full or run[-1].head.flags & HEADER):
            yield run
            run, size = [], 0
        run.append(tag)
        size += len(tag.body)
    if run:
        yield run


def _crossing(tags: Sequence[Kept], now: float) -> tuple[LinkTag, ...]:
    """The tags with their ages in place of times."""
    return tuple(
        [LinkTag(*head[:5], min(max(0.0, now - head.received_s), MAX_AGE_S)) for head, _ in tags]
    )


def _message(
    stream_id: StreamId,
    generation: Generation,
    name: str,
    first: int,
    tags: Sequence[Kept],
    sent_s: float,
) -> Frames:
    heads = tuple([tag.head for tag in tags])
    return [
        encode(Tags(stream_id, generation, name, first, heads, sent_s)),
        *[t.body for t in tags],
    ]
