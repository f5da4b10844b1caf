"""The last messages of each publisher, within one bound of memory for all. Pure.

Kept is what the RTMP session gave, by reference: no byte is copied. The bound is shared fairly:
whoever has less than an equal share keeps all of it, the others share the rest evenly. When it is
reached, room is made for a while at once, so that a message costs no more than its entry.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from common.rtmp.events import AudioReceived, Event, MetadataReceived, VideoReceived

MESSAGE_BYTES: Final = 200  # of memory besides the payload
_ROOM_PARTS: Final = 32  # a part of the bound is made free at a time
_AAC: Final = 10
_EXTENDED_AUDIO: Final = 9
_WITH_RECORD: Final = frozenset((7, 12, 13))  # H.264, and two that FLV was given later

# When, how many bytes, what came, and how much was ready behind it where that is known.
Read = tuple[float, int, Sequence[Event], int | None]
KeptRead = tuple[float, Sequence[Event], int | None]


class RecentMessages:
    """Those of one publisher. `MessageMemory` makes and bounds them."""

    __slots__ = ("_memory", "_reads", "headers", "size", "starts_late")

    def __init__(self, memory: "MessageMemory") -> None:
        self.size = 0  # bytes
        self.starts_late = False  # the first ones are gone
        self.headers: dict[str, Event] = {}  # of what is gone: metadata, configurations
        self._memory = memory
        self._reads: deque[Read] = deque()

    def add(self, events: Sequence[Event], now: float) -> None:
        """Keep what one read has brought. Nobody may change the list after this."""
        size = 0
        for event in events:
            size += MESSAGE_BYTES + len(event.payload)  # type: ignore[union-attr]  # media alone
        reads, memory = self._reads, self._memory
        reads.append((now, size, events, None))
        self.size += size
        memory.size += size
        if reads[0][0] < now - memory.seconds:
            self._forget_before(now - memory.seconds)
        if memory.size > memory.limit:
            memory.make_room()

    def note_unread(self, unread_bytes: int, now: float) -> None:
        """Ingest asked how much the connection has ready."""
        self._reads.append((now, MESSAGE_BYTES, (), unread_bytes))
        self.size += MESSAGE_BYTES
        self._memory.size += MESSAGE_BYTES

    def reads(self) -> list[KeptRead]:
        """What is there: the headers of what is gone first, with the time of the first read."""
        found: list[KeptRead] = [(at_s, events, unread) for at_s, _, events, unread in self._reads]
        if found and self.headers:
            found.insert(0, (found[0][0], tuple(self.headers.values()), None))
        return found

    def shrink(self, size: int) -> None:
        """Forget the oldest reads until it is no larger than this."""
        while self.size > size and self._reads:
            self._forget_first()

    def _forget_before(self, at_s: float) -> None:
        reads = self._reads
        while reads and reads[0][0] < at_s:
            self._forget_first()

    def _forget_first(self) -> None:
        _, size, events, _ = self._reads.popleft()
        self.size -= size
        self._memory.size -= size
        self.starts_late = True
        for event in events:
            kind = header_kind(event)
            if kind:
                self.headers[kind] = event


class MessageMemory:
    """What all publishers of an ingest have there together."""

    def __init__(self) -> None:
        self.size = 0  # bytes
        self.limit = 0  # 0: nothing is kept
        self.seconds = 0.0
        self._all: list[RecentMessages] = []

    def configure(self, limit: int, seconds: float) -> None:
        """Use other bounds from now on."""
        self.limit, self.seconds = limit, seconds
        if self.size > limit:
            self.make_room()

    def begin(self) -> RecentMessages:
        """Begin to keep those of one more publisher."""
        recent = RecentMessages(self)
        self._all.append(recent)
        return recent

    def end(self, recent: RecentMessages) -> None:
        """Forget those of a publisher."""
        self._all.remove(recent)
        self.size -= recent.size

    def make_room(self) -> None:
        """Bring it below the bound, and a little further."""
        total = self.limit - self.limit // _ROOM_PARTS
        share = fair_share([recent.size for recent in self._all], total)
        for recent in self._all:
            recent.shrink(share)


def fair_share(sizes: Iterable[int], total: int) -> int:
    """The most that each may have, so that all together have no more than `total`."""
    ordered = sorted(sizes)
    for at, size in enumerate(ordered):
        left = len(ordered) - at
        if size * left >= total:
            return total // left
        total -= size
    return ordered[-1] if ordered else 0


def header_kind(event: Event) -> str:
    """What a message that all later ones need is of; "" for any other."""
    if isinstance(event, VideoReceived):
        head = event.payload[:2]
        if len(head) == 2:
            is_extended = head[0] & 0x80
            if is_extended and head[0] & 0x0F == 0:
                return "video"
            if not is_extended and head[0] & 0x0F in _WITH_RECORD and head[1] == 0:
                return "video"
    elif isinstance(event, AudioReceived):
        head = event.payload[:2]
        if len(head) == 2:
            if head[0] >> 4 == _AAC and head[1] == 0:
                return "audio"
            if head[0] >> 4 == _EXTENDED_AUDIO and head[0] & 0x0F == 0:
                return "audio"
    elif isinstance(event, MetadataReceived):
        return "metadata"
    return ""
