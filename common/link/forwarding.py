"""The end of a link where publishers are whose streams another host has. Pure, but for its ports.

A publisher is asked for, answered, and then its units go; the connection's end is the end of all of
them. What the link does not take waits, and is dropped by whole GOPs where that is too much
(`common/link/backlog.py`): the owner gets whole pictures that refer to nothing which it has not.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from common.access.refusal import Refusal, RefusalReason
from common.ipc.envelope import encode
from common.ipc.plain.frames import frame_size, to_parts
from common.ipc.unit_messages import KEY, VIDEO, UnitItem
from common.link.backlog import Backlog, Parts
from common.link.messages import MAX_AGE_S, LinkTaken
from common.link.publish_messages import (
    MAX_UNITS,
    PUBLISH_VERSION,
    LinkPublish,
    LinkPublishAnswer,
    LinkPublishCut,
    LinkPublishEnd,
    LinkPublishEnded,
    LinkPublishHeld,
    LinkPublishTimed,
    LinkUnit,
    LinkUnits,
    ToPublisher,
)

MAX_FORWARDED: Final = 4096  # publishers, to one host
MAX_MESSAGE_BYTES: Final = 1024 * 1024  # of a GOP's items together; a larger one goes alone


@dataclass(frozen=True, slots=True)
class ForwardLost:
    """This publisher's way to its stream is gone; `is_linked`: the host is there, though."""

    number: int
    reason: str
    is_linked: bool = False


Event = LinkPublishAnswer | LinkPublishTimed | LinkPublishHeld | LinkPublishEnded | ForwardLost


Item = tuple[UnitItem, bytes]  # with its payload


class _State(Enum):
    WAITING = auto()  # for the connection
    ASKED = auto()
    OPEN = auto()


@dataclass(slots=True)
class _Forwarded:
    ask: LinkPublish
    gop: Sequence[Item]
    state: _State = _State.WAITING
    needs_key: bool = True  # nothing of it goes before its headers and a keyframe


class Forwarding:
    """All publishers whose streams one other host has."""

    def __init__(self, host: str, report: Callable[[Event], object]) -> None:
        """`report` gets what becomes of each."""
        self.host = host
        self._report = report
        self._publishers: dict[int, _Forwarded] = {}
        self._backlog: Backlog | None = None  # None: no connection
        self._version = 0  # that the other end greeted with
        self._dropped = 0  # by connections that are gone

    def __len__(self) -> int:
        return len(self._publishers)

    @property
    def dropped(self) -> int:
        """Messages with media that were not sent."""
        return self._dropped + (self._backlog.dropped if self._backlog is not None else 0)

    # ---- the connection -----------------------------------------------------------------------

    def greeted(self, write: Callable[[Parts], object], version: int) -> None:
        """A connection stands, both ends have greeted: ask for those who wait for it."""
        self._backlog, self._version = Backlog(write), version
        for forwarded in tuple(self._publishers.values()):
            self._say_ask(forwarded)

    def lost(self, reason: str) -> None:
        """The connection is gone; who waits for one goes on waiting."""
        if self._backlog is not None:
            self._dropped += self._backlog.dropped
        self._backlog = None
        for number, forwarded in tuple(self._publishers.items()):
            if forwarded.state is not _State.WAITING:
                del self._publishers[number]
                self._report(ForwardLost(number, reason))

    def take(self, message: ToPublisher | LinkTaken) -> None:
        """The other end says something."""
        if isinstance(message, LinkTaken):
            if self._backlog is not None:
                self._backlog.taken(message.size)
            return
        forwarded = self._publishers.get(message.number)
        if forwarded is None:
            return  # it has ended here meanwhile
        match message:
            case LinkPublishAnswer(refusal=None):
                forwarded.state = _State.OPEN
            case LinkPublishAnswer() | LinkPublishEnded():
                self._forget(message.number)
            case LinkPublishCut(number, reason):
                self._forget(number)
                self._report(ForwardLost(number, reason, is_linked=True))
                return
        self._report(message)

    # ---- publishers ---------------------------------------------------------------------------

    def ask(self, ask: LinkPublish, gop: Sequence[Item] = ()) -> None:
        """Ask that host to take a publisher, as soon as there is a connection.

        `gop`: what is here of a stream that it goes on with.
        """
        if len(self._publishers) >= MAX_FORWARDED:
            refusal = _unavailable(f"host {self.host} has {MAX_FORWARDED} publishers of this one")
            self._report(LinkPublishAnswer(ask.number, refusal))
            return
        ask = replace(ask, gop_items=len(gop))
        forwarded = self._publishers[ask.number] = _Forwarded(ask, gop)
        if self._backlog is not None:
            self._say_ask(forwarded)

    def units(
        self, number: int, items: Sequence[UnitItem], payloads: Sequence[bytes], now: float
    ) -> None:
        """Send what a publisher brought; nothing of one that was not let in."""
        forwarded, backlog = self._publishers.get(number), self._backlog
        if forwarded is None or forwarded.state is not _State.OPEN or backlog is None or not items:
            return
        begins = any(item.kind == VIDEO and item.flags & KEY for item in items)
        if forwarded.needs_key and not begins:
            self._dropped += 1
            return
        forwarded.needs_key = False
        envelope = encode(LinkUnits(number, _aged(items, now)))
        parts, size = to_parts(envelope, payloads), frame_size(envelope, payloads)
        backlog.put_media(number, parts, size, items[-1].stamp_ms, begins=begins)

    def end(self, number: int, reason: str, *, is_meant: bool, goes_on: bool = False) -> None:
        """A publisher has ended, or does not ask any more."""
        forwarded = self._publishers.get(number)
        if forwarded is None:
            return
        if forwarded.state is _State.WAITING:
            del self._publishers[number]
            return
        # behind its last pictures
        self._say(LinkPublishEnd(number, reason[:200], is_meant, goes_on))
        del self._publishers[number]

    def is_asked(self, number: int) -> bool:
        """Tell if that host has been asked for it, and has not said no."""
        forwarded = self._publishers.get(number)
        return forwarded is not None and forwarded.state is not _State.WAITING

    def _say_ask(self, forwarded: _Forwarded) -> None:
        if self._version < PUBLISH_VERSION:
            del self._publishers[forwarded.ask.number]
            words = f"host {self.host} has an older version, and takes no publisher of another host"
            self._report(LinkPublishAnswer(forwarded.ask.number, _unavailable(words)))
            return
        forwarded.state = _State.ASKED
        gop, forwarded.gop = forwarded.gop, ()
        self._say(forwarded.ask)
        for part in _parts(gop):
            items = tuple([LinkUnit(*item[:-1], 0.0) for item, _ in part])
            self._say(LinkUnits(forwarded.ask.number, items), *[payload for _, payload in part])

    def _forget(self, number: int) -> None:
        del self._publishers[number]
        if self._backlog is not None:
            self._backlog.forget(number)

    def _say(self, message: object, *payloads: bytes) -> None:
        if self._backlog is not None:
            envelope = encode(message)
            self._backlog.put(to_parts(envelope, payloads), frame_size(envelope, payloads))


def _aged(items: Sequence[UnitItem], now: float) -> tuple[LinkUnit, ...]:
    """Return items with their ages in place of their times of arrival."""
    return tuple(
        [
            LinkUnit(kind, codec, stamp_ms, composition_ms, flags, _age_s(received_s, now))
            for kind, codec, stamp_ms, composition_ms, flags, received_s in items
        ]
    )


def _age_s(received_s: float, now: float) -> float:
    return min(max(0.0, now - received_s), MAX_AGE_S) if received_s else 0.0


def _parts(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Cut what is here of a stream into messages."""
    part: list[Item] = []
    size = 0
    for item in items:
        if part and (len(part) >= MAX_UNITS or size + len(item[1]) > MAX_MESSAGE_BYTES):
            yield part
            part, size = [], 0
        part.append(item)
        size += len(item[1])
    if part:
        yield part


def _unavailable(words: str) -> Refusal:
    return Refusal(RefusalReason.UNAVAILABLE, words)
