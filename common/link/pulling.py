"""The end of a link that connects: where streams are played. Pure, but for what writes its bytes.

It outlives connections: what is wanted of a host is told to it anew after each greeting. A
rendition is pulled while somebody watches it here, and for `keep_s` after the last one left. Media
of a lower epoch or generation than was heard of is a lost owner's, and dropped. Ages become times
of this host's clock when they arrive.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Final

from common.errors import LinkError
from common.ipc.envelope import encode
from common.ipc.media_messages import TagHeader
from common.ipc.plain.frames import FrameReader, frame_size, to_parts
from common.link.backlog import Parts
from common.link.forwarding import Forwarding
from common.link.messages import (
    MAX_RENDITIONS,
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
    read_message,
)
from common.link.publish_messages import (
    LinkPublishAnswer,
    LinkPublishCut,
    LinkPublishEnded,
    LinkPublishHeld,
    LinkPublishTimed,
)

KEEP_S: Final = 10.0  # a rendition after its last player
TAKEN_BYTES: Final = 1024 * 1024  # of frames, after which the other end is told: of 8 in its window
TAKEN_S: Final = 1.0  # likewise, and to show that this host is there

Media = LinkOpened | LinkClosed | LinkHeaders | LinkTags | LinkInstead


@dataclass(slots=True)
class _Pulled:
    """A stream that is played here."""

    newest: tuple[int, int]  # the highest epoch and generation that were heard of
    until_s: dict[str, float] = field(default_factory=dict)  # by rendition; inf: it is watched
    reported: tuple[str, ...] = ()  # what the owner knows to be wanted


def arrived(tags: Sequence[LinkTag], now: float) -> tuple[TagHeader, ...]:
    """Return the tags with times of this host's clock."""
    return tuple(
        [
            TagHeader(tag_type, codec, dts_ms, composition_ms, flags, now - age_s)
            for tag_type, codec, dts_ms, composition_ms, flags, age_s in tags
        ]
    )


class Pulling:
    """All that is pulled from one host."""

    def __init__(
        self,
        own: LinkGreeting,
        host: str,
        keep_s: float = KEEP_S,
        forwarding: Forwarding | None = None,
    ) -> None:
        """`host`: whose streams these are, as its certificate must say.

        `forwarding`: publishers of this host whose streams that one has. They share connections.
        """
        self.host = host
        self.forwarding = forwarding
        self.keep_s = keep_s
        self.stale = 0  # messages of an epoch or generation that is over
        self._own = own
        self._streams: dict[str, _Pulled] = {}
        self._reader = FrameReader()
        self._write: Callable[[Parts], object] | None = None
        self._is_greeted = False
        self._taken = 0
        self._taken_s = 0.0

    @property
    def own_host(self) -> str:
        """How this host calls itself."""
        return self._own.host

    @property
    def is_ready(self) -> bool:
        """Tell if both ends have greeted."""
        return self._is_greeted

    @property
    def streams(self) -> Collection[str]:
        """Those that are pulled."""
        return self._streams.keys()

    # ---- the connection -----------------------------------------------------------------------

    def connected(self, write: Callable[[Parts], object]) -> None:
        """A connection stands, with a certificate of that host at its other end: greet."""
        self._write, self._reader = write, FrameReader()
        self._is_greeted, self._taken = False, 0
        self._say(self._own)

    def lost(self, reason: str = "") -> None:
        """The connection is gone."""
        self._write, self._is_greeted = None, False
        if self.forwarding is not None:
            self.forwarding.lost(reason)
        for pulled in self._streams.values():
            pulled.reported = ()

    def feed(self, data: bytes, now: float) -> list[tuple[Media, Sequence[bytes]]]:
        """Take bytes of the other end; returns what is new of streams that are wanted.

        Raises:
            LinkError: what no host may send. Say so by `refuse`, and close.
        """
        self._reader.feed(data)
        return self.filled(0, now)

    def room(self) -> memoryview:
        """Return where the next bytes of the other end belong; `filled` says how many came."""
        return self._reader.room()

    def filled(self, size: int, now: float) -> list[tuple[Media, Sequence[bytes]]]:
        """So many bytes have come into `room`: as `feed`. Raises LinkError."""
        self._reader.filled(size)
        found: list[tuple[Media, Sequence[bytes]]] = []
        while (frame := self._reader.next()) is not None:
            envelope, payloads = frame
            message = self._take(read_message(envelope, payloads), now)
            self._taken += frame_size(envelope, payloads)
            if message is not None:
                found.append((message, payloads))
        if self._taken >= TAKEN_BYTES:
            self._acknowledge(now)
        return found

    def refuse(self, reason: str) -> None:
        """Say why the connection ends."""
        self._say(LinkRefused(reason[:200]))

    def _take(self, message: Message, now: float) -> Media | None:
        if not self._is_greeted:
            self._greet(message, now)
            return None
        newness: tuple[int, int]
        match message:
            case LinkOpened() | LinkHeaders() | LinkTags():
                newness = message.epoch, message.generation
            case LinkClosed():
                newness = message.epoch, -1
            case LinkRefused(reason):
                raise LinkError(f"it refuses this host: {reason}")
            case (
                LinkTaken()
                | LinkPublishAnswer()
                | LinkPublishTimed()
                | LinkPublishHeld()
                | LinkPublishCut()
                | LinkPublishEnded()
            ) if self.forwarding is not None:
                self.forwarding.take(message)
                return None
            case LinkInstead(stream):
                return message if self._streams.pop(stream, None) is not None else None
            case _:
                raise LinkError(f"{type(message).__name__} from the end that serves")
        pulled = self._streams.get(message.stream)
        if pulled is None:
            return None  # it was wanted a moment ago
        is_stale = newness[0] < pulled.newest[0] if newness[1] < 0 else newness < pulled.newest
        if is_stale:
            self.stale += 1
            return None
        pulled.newest = max(pulled.newest, newness)
        return message

    def _greet(self, message: Message, now: float) -> None:
        if isinstance(message, LinkRefused):
            raise LinkError(f"it refuses this host: {message.reason}")
        if not isinstance(message, LinkGreeting):
            raise LinkError("it does not greet first")
        if message.version < OLDEST_VERSION:
            words = f"it speaks version {message.version} of the link"
            raise LinkError(f"{words}, {OLDEST_VERSION} is the oldest here")
        if (message.cluster, message.host) != (self._own.cluster, self.host):
            who = f"{message.host!r} of the cluster {message.cluster!r}"
            raise LinkError(f"it says that it is {who}, not {self.host!r} of this one")
        self._is_greeted = True
        self._reader.on_greeted()
        self._taken_s = now
        for stream, pulled in self._streams.items():
            self._report(stream, pulled)
        if self.forwarding is not None and self._write is not None:
            self.forwarding.greeted(self._write, message.version)

    # ---- what is watched ----------------------------------------------------------------------

    def pull(self, stream: str, epoch: int, renditions: Collection[str], now: float) -> None:
        """The stream is to be had of that host, under this epoch of the registry or a later one.

        These renditions are wanted to begin with. Media of a stream that is pulled already is taken
        as before: its host has claimed it anew, and may hear of that epoch later than this one.
        """
        pulled = self._streams.setdefault(stream, _Pulled((epoch, 0)))
        for name in renditions:
            self._keep(pulled, name, now + self.keep_s)
        self._report(stream, pulled)

    def drop(self, stream: str) -> None:
        """Nothing of it is to be had of that host, or wanted, any more."""
        if self._streams.pop(stream, None) is not None and self._is_greeted:
            self._say(LinkUnwanted(stream))

    def demand(self, stream: str, renditions: Collection[str], now: float) -> None:
        """These are watched just now, all of them."""
        pulled = self._streams.get(stream)
        if pulled is None:
            return
        for name in renditions:
            self._keep(pulled, name, inf)
        for name, until_s in pulled.until_s.items():
            if until_s == inf and name not in renditions:
                pulled.until_s[name] = now + self.keep_s
        self._report(stream, pulled)

    def wanted(self, stream: str) -> Sequence[str]:
        """The renditions of a stream that cross, or are to cross."""
        pulled = self._streams.get(stream)
        return tuple(pulled.until_s) if pulled is not None else ()

    def tick(self, now: float) -> None:
        """Let go of what nobody has watched for a while, and report; to be called once a second."""
        for stream, pulled in self._streams.items():
            for name in [name for name, until_s in pulled.until_s.items() if until_s <= now]:
                del pulled.until_s[name]
            self._report(stream, pulled)
        if self._is_greeted and now - self._taken_s >= TAKEN_S:
            self._acknowledge(now)

    def _keep(self, pulled: _Pulled, name: str, until_s: float) -> None:
        known = pulled.until_s.get(name)
        if known is not None or len(pulled.until_s) < MAX_RENDITIONS:
            pulled.until_s[name] = max(known or 0.0, until_s)

    def _report(self, stream: str, pulled: _Pulled) -> None:
        """Have the owner know what is wanted, if that is new to it."""
        names = tuple(sorted(pulled.until_s))
        if not self._is_greeted or names == pulled.reported:
            return
        pulled.reported = names
        self._say(LinkWanted(stream, names) if names else LinkUnwanted(stream))

    def _acknowledge(self, now: float) -> None:
        size, self._taken, self._taken_s = self._taken, 0, now
        self._say(LinkTaken(size))

    def _say(self, message: object) -> None:
        if self._write is not None:
            self._write(to_parts(encode(message)))
