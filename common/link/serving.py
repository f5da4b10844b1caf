"""The end of a link where streams are made. Pure, but for what writes its bytes.

The other host greets, and says what of which stream is watched there. Its certificate names it; a
greeting with another name, of another cluster or of a version that is not spoken here is refused.
The shell has the renditions subscribed that are wanted, and gives their tags in order: of a
rendition that begins its GOP first. Sound and data stand in every rendition and cross once.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from common.errors import LinkError
from common.ipc.envelope import encode
from common.ipc.media_messages import HEADER, KEY, REPLAY, SHARED, RenditionVideo
from common.ipc.plain.frames import MAX_PAYLOADS, Frame, FrameReader, frame_size, to_parts
from common.link.backlog import Backlog, Parts
from common.link.messages import (
    MAX_AGE_S,
    MAX_RELAYS,
    MAX_STREAMS,
    OLDEST_VERSION,
    LinkClosed,
    LinkGreeting,
    LinkHeaders,
    LinkInstead,
    LinkOpened,
    LinkRefused,
    LinkTag,
    LinkTags,
    LinkTaken,
    LinkUnwanted,
    LinkWanted,
    Message,
    Relay,
    read_message,
)
from common.link.publish_messages import LinkPublish, LinkPublishEnd, LinkUnits
from common.link.receiving import Receiving

SIGN_OF_LIFE_S: Final = 5.0  # egress gives a stream up of which it hears nothing for 20 s
MAX_MESSAGE_BYTES: Final = 1024 * 1024  # of tags together; a larger one goes alone
MAX_TAG_BYTES: Final = 17 * 1024 * 1024  # no protocol takes a larger one
_VIDEO, _DATA = 9, 18  # FLV's tag types


class CodedTag(Protocol):
    """A tag as an egress has it."""

    type: int
    codec: str
    dts_ms: int
    composition_ms: int
    flags: int
    body: bytes
    received_s: float


@dataclass(frozen=True, slots=True)
class Demanded:
    """What the other host watches of a stream; without renditions: nothing any more."""

    stream: str
    renditions: tuple[str, ...]


@dataclass(slots=True)
class _Served:
    """A stream that is wanted there."""

    renditions: tuple[str, ...]
    opened: LinkOpened | None = None
    shown_s: float = 0.0  # when it was heard of last
    sound_header: bytes = b""
    script: bytes = b""  # the publisher's
    sent_ms: dict[int, int] = field(default_factory=dict)  # of sound and data, by type
    sent_last: list[CodedTag] = field(default_factory=list)  # those of data with that time


def refusal(own: LinkGreeting, theirs: LinkGreeting, certified: frozenset[str]) -> str:
    """Why a host that greets like that is no peer of this one; "": it is.

    `certified`: the names in its certificate, in lower case.
    """
    if theirs.version < OLDEST_VERSION:
        return (
            f"it speaks version {theirs.version} of the link, {OLDEST_VERSION} is the oldest here"
        )
    if theirs.cluster != own.cluster:
        return f"it is of the cluster {theirs.cluster!r}, this is {own.cluster!r}"
    if theirs.host.lower() not in certified:
        named = ", ".join(sorted(certified)) or "nobody"
        return f"it says that it is {theirs.host!r}, its certificate names {named}"
    if theirs.host.lower() == own.host.lower():
        return f"it says that it is {theirs.host!r}, as this host is: `cluster.host` must differ"
    return ""


class Serving:
    """One connection of a host that plays streams of this one."""

    def __init__(
        self,
        own: LinkGreeting,
        certified: frozenset[str],
        write: Callable[[Parts], object],
        clock: Callable[[], float],
    ) -> None:
        """`clock` is that of tags' `received_s`."""
        self.peer: LinkGreeting | None = None  # once it has greeted
        self.backlog = Backlog(self._write)
        self.receiving = Receiving(self._say)
        self._own = own
        self._certified = certified
        self._clock = clock
        self._wire = write
        self._batch: list[bytes] | None = None  # to be written together
        self._reader = FrameReader()
        self._streams: dict[str, _Served] = {}

    # ---- what comes ---------------------------------------------------------------------------

    def feed(self, data: bytes) -> list[Demanded]:
        """Take bytes of the other end; returns in order what is watched there anew.

        What comes of publishers there goes to whoever `receiving` is to tell.

        Raises:
            LinkError: what no peer may send. Say so by `refuse`, and close.
        """
        self._reader.feed(data)
        return self.filled(0)

    def room(self) -> memoryview:
        """Return where the next bytes of the other end belong; `filled` says how many came."""
        return self._reader.room()

    def filled(self, size: int) -> list[Demanded]:
        """So many bytes have come into `room`: as `feed`. Raises LinkError."""
        self._reader.filled(size)
        changed: list[Demanded] = []
        while (frame := self._reader.next()) is not None:
            message = read_message(*frame)
            demanded = self._take(message, frame)
            if demanded is not None:
                changed.append(demanded)
        return changed

    def _take(self, message: Message, frame: Frame) -> Demanded | None:
        if self.peer is None:
            if not isinstance(message, LinkGreeting):
                raise LinkError("it does not greet first")
            if words := refusal(self._own, message, self._certified):
                raise LinkError(words)
            self.peer = message
            self._reader.on_greeted()
            self._say(self._own)
            return None
        match message:
            case LinkUnits() | LinkPublish() | LinkPublishEnd():
                size = frame_size(*frame)
                self.receiving.take(message, frame[1], size, self._clock())
                return None
            case LinkWanted(stream, renditions):
                return self._want(stream, renditions)
            case LinkUnwanted(stream):
                return self._unwant(stream)
            case LinkTaken(size):
                self.backlog.taken(size)
                return None
            case LinkRefused(reason):
                raise LinkError(f"it refuses this host: {reason}")
            case _:
                raise LinkError(f"{type(message).__name__} from the end that pulls")

    def _want(self, stream: str, renditions: tuple[str, ...]) -> Demanded | None:
        served = self._streams.get(stream)
        if served is None:
            if len(self._streams) >= MAX_STREAMS:
                raise LinkError(f"it wants more than {MAX_STREAMS} streams")
            served = self._streams[stream] = _Served(())
        for name in served.renditions:
            if name not in renditions:
                self.backlog.forget((stream, name))
        if served.renditions == renditions:
            return None
        served.renditions = renditions
        return Demanded(stream, renditions)

    def _unwant(self, stream: str) -> Demanded | None:
        served = self._streams.pop(stream, None)
        if served is None:
            return None
        for name in (*served.renditions, SHARED):
            self.backlog.forget((stream, name))
        return Demanded(stream, ())

    # ---- what goes ----------------------------------------------------------------------------

    @property
    def streams(self) -> Sequence[str]:
        """The streams that are wanted."""
        return tuple(self._streams)

    def refuse(self, reason: str) -> None:
        """Say why the connection ends."""
        self._say(LinkRefused(reason[:200]))

    def opened(self, message: LinkOpened) -> None:
        """A wanted stream is here, or has another ladder, generation or epoch."""
        served = self._streams.get(message.stream)
        message = replace(message, path=(*message.path, self._own.host))
        if served is not None and served.opened != message:
            served.opened, served.shown_s = message, self._clock()
            self._say(message)

    def closed(self, stream: str, reason: str, hold_ms: int) -> None:
        """It is over; it stays wanted, and may come again."""
        served = self._streams.get(stream)
        if served is not None and served.opened is not None:
            epoch, served.opened = served.opened.epoch, None
            served.sound_header = served.script = b""
            served.sent_ms.clear()
            served.sent_last.clear()
            for name in (*served.renditions, SHARED):
                self.backlog.forget((stream, name))
            self._say(LinkClosed(stream, epoch, reason[:200], hold_ms))

    def instead(self, stream: str, relays: Sequence[Relay] = ()) -> None:
        """It is not to be had here, but of these; none named: the owner is to be asked anew."""
        if self._unwant(stream) is not None:
            self._say(LinkInstead(stream, tuple(relays[:MAX_RELAYS])))

    def headers(
        self, stream: str, rendition: str, video: RenditionVideo, script: bytes, header: bytes
    ) -> None:
        """Another configuration of the pictures is in force for the tags that follow."""
        opened = self._opened(stream)
        if opened is not None:
            message = LinkHeaders(stream, opened.epoch, opened.generation, rendition, video)
            self._say(message, script, header)

    def publisher(self, stream: str, rendition: str, script: bytes) -> None:
        """The publisher's own onMetaData: it is of all renditions, and crosses once."""
        served = self._streams.get(stream)
        if served is not None and served.opened is not None and served.script != script:
            served.script = script
            self.headers(stream, rendition, RenditionVideo("", 0, 0), script, b"")

    def sound_header(self, stream: str, tag: CodedTag) -> None:
        """Likewise of the sound: every rendition says it, and it crosses once."""
        served = self._streams.get(stream)
        if served is not None and served.opened is not None and served.sound_header != tag.body:
            served.sound_header = tag.body
            self._send_tags(stream, SHARED, [tag], is_replay=False, is_media=False)

    def tags(
        self, stream: str, rendition: str, tags: Sequence[CodedTag], *, is_replay: bool = False
    ) -> None:
        """Tags of a rendition in order, with the sound; `is_replay`: of its GOP buffer.

        What may go at once is written in one go: the other end wakes once for a picture and the
        sound before it.
        """
        batch: list[bytes] = []
        self._batch = batch
        for name, run in _runs(tags, rendition, self._streams.get(stream)):
            self._send_tags(stream, name, run, is_replay=is_replay)
        self._batch = None
        if batch:
            self._wire(batch)

    def pass_on(
        self, message: LinkHeaders | LinkTags, payloads: Sequence[bytes], envelope: bytes
    ) -> None:
        """Send what has come of another host, as it came; the envelope is the message's."""
        served = self._streams.get(message.stream)
        if served is None or served.opened is None:
            return
        parts, size = to_parts(envelope, payloads), frame_size(envelope, payloads)
        if isinstance(message, LinkHeaders):
            self.backlog.put(parts, size)
            return
        name, tags = message.rendition, message.tags
        if name not in served.renditions and name != SHARED:
            return
        served.shown_s = self._clock()
        if not tags or (name == SHARED and tags[-1].flags & HEADER):
            self.backlog.put(parts, size)
            return
        first = tags[0].flags
        begins, is_replay = name == SHARED or first & KEY != 0, first & REPLAY != 0
        end_ms = tags[-1].dts_ms
        key = message.stream, name
        self.backlog.put_media(key, parts, size, end_ms, begins=begins, is_replay=is_replay)

    def tick(self) -> None:
        """Say that silent streams are there; to be called once a second."""
        now = self._clock()
        self.receiving.tick(now)
        for stream, served in self._streams.items():
            if served.opened is not None and now - served.shown_s >= SIGN_OF_LIFE_S:
                self._send_tags(stream, SHARED, [], is_replay=False, is_media=False)

    def _opened(self, stream: str) -> LinkOpened | None:
        served = self._streams.get(stream)
        return served.opened if served is not None else None

    def _send_tags(
        self,
        stream: str,
        rendition: str,
        tags: Sequence[CodedTag],
        *,
        is_replay: bool,
        is_media: bool = True,
    ) -> None:
        served = self._streams.get(stream)
        if served is None or served.opened is None:
            return
        now = self._clock()
        served.shown_s = now
        flag = REPLAY if is_replay else 0
        heads = tuple(
            [
                LinkTag(
                    tag.type,
                    tag.codec,
                    tag.dts_ms,
                    tag.composition_ms,
                    tag.flags | flag,
                    min(max(0.0, now - tag.received_s), MAX_AGE_S),
                )
                for tag in tags
            ]
        )
        opened = served.opened
        message = LinkTags(stream, opened.epoch, opened.generation, rendition, heads)
        envelope, bodies = encode(message), [tag.body for tag in tags]
        parts, size = to_parts(envelope, bodies), frame_size(envelope, bodies)
        if not is_media:
            self.backlog.put(parts, size)
            return
        self.backlog.put_media(
            (stream, rendition),
            parts,
            size,
            tags[-1].dts_ms,
            begins=rendition == SHARED or tags[0].flags & KEY != 0,
            is_replay=is_replay,
        )

    def _write(self, parts: Parts) -> None:
        if self._batch is None:
            self._wire(parts)
        else:
            self._batch += parts

    def _say(self, message: object, *payloads: bytes) -> None:
        envelope = encode(message)
        self.backlog.put(to_parts(envelope, payloads), frame_size(envelope, payloads))


def _runs(
    tags: Sequence[CodedTag], rendition: str, served: _Served | None
) -> Iterator[tuple[str, list[CodedTag]]]:
    """Cut tags into messages: pictures, and sound that no other rendition brought before.

    A keyframe begins a message, so that it can be dropped with its GOP.
    """
    if served is None or served.opened is None:
        return
    name, run, size = "", list[CodedTag](), 0
    for tag in tags:
        if tag.type != _VIDEO and _came_before(tag, served):
            continue
        if len(tag.body) > MAX_TAG_BYTES:
            continue
        own = rendition if tag.type == _VIDEO else SHARED
        is_full = size + len(tag.body) > MAX_MESSAGE_BYTES or len(run) >= MAX_PAYLOADS
        if run and (own != name or is_full or (own == rendition and tag.flags & KEY)):
            yield name, run
            run, size = [], 0
        name = own
        run.append(tag)
        size += len(tag.body)
    if run:
        yield name, run


def _came_before(tag: CodedTag, served: _Served) -> bool:
    """Tell if sound or data was sent with another rendition; if not, note that it is sent.

    Renditions share one tag, and each has them in order of time. Of one time there may be several
    data messages, and one frame of sound.
    """
    if tag.flags & HEADER:
        return False
    last_ms = served.sent_ms.get(tag.type)
    if last_ms is not None and tag.dts_ms <= last_ms:
        if tag.dts_ms < last_ms or tag.type != _DATA:
            return True
        if any(tag is sent for sent in served.sent_last):
            return True
    if tag.type == _DATA:
        if last_ms is None or tag.dts_ms > last_ms:
            served.sent_last.clear()
        served.sent_last.append(tag)
        del served.sent_last[:-64]
    served.sent_ms[tag.type] = tag.dts_ms
    return False
