"""The end of a link where the streams are whose publishers are at the other host. Pure.

What comes of a publisher is checked for its number alone: whether it may publish is for the ingest
that it is given to. Ages become times of this host's clock when they arrive.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from common.access.refusal import Refusal
from common.errors import LinkError
from common.ipc.unit_messages import AUDIO_CONFIG, KEY, METADATA, VIDEO, VIDEO_CONFIG, UnitItem
from common.link.forwarding import MAX_FORWARDED, Item
from common.link.messages import LinkTaken
from common.link.publish_messages import (
    MAX_ID,
    FromPublisher,
    LinkPublish,
    LinkPublishAnswer,
    LinkPublishCut,
    LinkPublishEnd,
    LinkPublishEnded,
    LinkPublishHeld,
    LinkPublishTimed,
    LinkTime,
    LinkUnit,
)
from common.link.pulling import TAKEN_BYTES, TAKEN_S

MAX_HELD_S: Final = 60.0
MAX_HEAD_BYTES: Final = 64 * 1024  # a larger one is not kept, so it is news each time
MAX_ASK_BYTES: Final = 20 * 1024 * 1024  # of what a publisher brings of its stream
_HEADS: Final = frozenset((METADATA, VIDEO_CONFIG, AUDIO_CONFIG))


@dataclass(frozen=True, slots=True)
class Asked:
    """A publisher asks, with all that it brings of its stream."""

    ask: LinkPublish
    gop: Sequence[Item]


@dataclass(slots=True)  # not frozen: one is made for every picture
class ReceivedUnits:
    """What a publisher has sent, with times of this host's clock."""

    number: int
    items: tuple[UnitItem, ...]
    payloads: Sequence[bytes]


Received = Asked | LinkPublishEnd | ReceivedUnits


@dataclass(slots=True)
class _Publisher:
    ask: LinkPublish
    gop: list[Item] = field(default_factory=list)  # as far as it has come …
    gop_bytes: int = 0
    is_whole: bool = False  # … and this is all
    heads: dict[str, tuple[str, bytes]] = field(default_factory=dict)  # in force
    is_let_in: bool = False
    needs_key: bool = False  # what came was not taken


class Receiving:
    """All publishers of one connection."""

    def __init__(self, say: Callable[[object], object]) -> None:
        """`say` sends a message to the other end. `on_received` gets what is new, in order."""
        self.on_received: Callable[[Received], object] = lambda received: None
        self._say = say
        self._publishers: dict[int, _Publisher] = {}
        self._taken = 0
        self._taken_s = 0.0

    @property
    def numbers(self) -> Sequence[int]:
        """Those that are there, or have asked."""
        return tuple(self._publishers)

    def take(
        self, message: FromPublisher, payloads: Sequence[bytes], size: int, now: float
    ) -> None:
        """Take a message of `size` bytes.

        Raises:
            LinkError: a number is used again, or too many are; or what comes was not let in.
        """
        self._taken += size
        if self._taken >= TAKEN_BYTES:
            self._acknowledge(now)
        if isinstance(message, LinkPublish):
            self._ask(message)
            return
        publisher = self._publishers.get(message.number)
        if publisher is None:
            return  # it was ended here a moment ago
        if isinstance(message, LinkPublishEnd):
            del self._publishers[message.number]
            self.on_received(message)
        elif not publisher.is_whole:
            self._take_gop(publisher, message.items, payloads)
        elif not publisher.is_let_in:
            raise LinkError("units of a publisher that was not let in")
        else:
            if publisher.needs_key and not _begins(message.items):
                return
            publisher.needs_key = False
            units = _arrived(message.number, publisher, message.items, payloads, now)
            if units is not None:
                self.on_received(units)

    def answer(self, number: int, refusal: Refusal | None, time: LinkTime | None = None) -> None:
        """The publisher may begin, or may not. `time`: of a stream that has begun before."""
        publisher = self._publishers.get(number)
        if publisher is None:
            return
        publisher.is_let_in = refusal is None
        if refusal is not None:
            del self._publishers[number]
        self._say(LinkPublishAnswer(number, refusal, time))

    def refuse(self, number: int, refusal: Refusal) -> None:
        """The publisher may not begin, or not go on."""
        publisher = self._publishers.get(number)
        if publisher is not None and publisher.is_let_in:
            self.end(number, refusal)
        else:
            self.answer(number, refusal)

    def lose(self, number: int) -> None:
        """What came was not taken: nothing of this publisher comes out before a keyframe."""
        publisher = self._publishers.get(number)
        if publisher is not None:
            publisher.needs_key = True
            publisher.heads.clear()

    def end(self, number: int, refusal: Refusal | None, reason: str = "") -> None:
        """A publisher is ended here; without a refusal: in order."""
        if self._publishers.pop(number, None) is not None:
            self._say(LinkPublishEnded(number, refusal, reason[:MAX_ID]))

    def cut(self, number: int, reason: str) -> None:
        """The publisher has to be asked for anew."""
        if self._publishers.pop(number, None) is not None:
            self._say(LinkPublishCut(number, reason[:MAX_ID]))

    def timed(
        self, number: int, stamp_ms: int, stream_ms: int, epoch_ms: int | None = None
    ) -> None:
        """What has this time of the other host's has that of the stream.

        `epoch_ms`: the Unix time at its time 0.
        """
        if number in self._publishers:
            self._say(LinkPublishTimed(number, stamp_ms, stream_ms, epoch_ms))

    def hold_back(self, number: int, seconds: float) -> None:
        """Nothing more is to be taken of a publisher for so long."""
        if number in self._publishers:
            self._say(LinkPublishHeld(number, min(max(0.0, seconds), MAX_HELD_S)))

    def tick(self, now: float) -> None:
        """Acknowledge what came; to be called once a second."""
        if self._taken and now - self._taken_s >= TAKEN_S:
            self._acknowledge(now)

    def _ask(self, ask: LinkPublish) -> None:
        if ask.number in self._publishers:
            raise LinkError("two publishers of one number")
        if len(self._publishers) >= MAX_FORWARDED:
            raise LinkError(f"more than {MAX_FORWARDED} publishers")
        publisher = self._publishers[ask.number] = _Publisher(ask)
        self._look_if_whole(publisher)

    def _take_gop(
        self, publisher: _Publisher, units: Sequence[LinkUnit], payloads: Sequence[bytes]
    ) -> None:
        publisher.gop += [(UnitItem(*u), p) for u, p in zip(units, payloads, strict=True)]
        publisher.gop_bytes += sum(map(len, payloads))
        if publisher.gop_bytes > MAX_ASK_BYTES or len(publisher.gop) > publisher.ask.gop_items:
            raise LinkError("a publisher brings more of a stream than it said, or than may be")
        self._look_if_whole(publisher)

    def _look_if_whole(self, publisher: _Publisher) -> None:
        if len(publisher.gop) == publisher.ask.gop_items:
            gop, publisher.gop, publisher.is_whole = publisher.gop, [], True
            self.on_received(Asked(publisher.ask, gop))

    def _acknowledge(self, now: float) -> None:
        size, self._taken, self._taken_s = self._taken, 0, now
        self._say(LinkTaken(size))


def _begins(items: Sequence[LinkUnit]) -> bool:
    return any(item.kind == VIDEO and item.flags & KEY for item in items)


def _arrived(
    number: int,
    publisher: _Publisher,
    units: Sequence[LinkUnit],
    payloads: Sequence[bytes],
    now: float,
) -> ReceivedUnits | None:
    """Return them without the headers that are in force already; None: nothing is left."""
    items: list[UnitItem] = []
    left: list[bytes] = []
    for unit, payload in zip(units, payloads, strict=True):
        kind, codec, stamp_ms, composition_ms, flags, age_s = unit
        if kind in _HEADS:
            if publisher.heads.get(kind) == (codec, payload):
                continue
            publisher.heads[kind] = (codec, payload if len(payload) <= MAX_HEAD_BYTES else b"")
        items.append(UnitItem(kind, codec, stamp_ms, composition_ms, flags, now - age_s))
        left.append(payload)
    return ReceivedUnits(number, tuple(items), left) if items else None
