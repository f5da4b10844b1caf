"""The last messages of each publisher, within one bound of memory for all. Pure.

What the RTMP session gave is copied into blocks of bytes, one behind the other. To keep the
messages themselves would cost more: their memory, used again for the next ones while it is warm,
would all be cold. Blocks are forgotten whole, the oldest first, so that a message costs no more
than its copy.

The bound is shared fairly: whoever has less than an equal share keeps all of it, the others share
the rest evenly. When it is reached, room is made for a while at once.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import Any, Final

from common.capture.headers_only import AUDIO, DATA, VIDEO
from common.rtmp.events import (
    AudioReceived,
    DataReceived,
    Event,
    MetadataReceived,
    VideoReceived,
)

BLOCK_BYTES: Final = 32 * 1024
_LEAST_BLOCK_BYTES: Final = 1024
_MOST_BLOCKS: Final = 64  # that the bound holds of the size that is chosen for a small one
_ROOM_PARTS: Final = 32  # a part of the bound is made free at a time
_HEAD: Final = Struct("<dIIB")  # when, timestamp (or bytes unread), length, type
_HEAD_BYTES: Final = _HEAD.size
_pack_head: Final = _HEAD.pack_into
_UNREAD: Final = 0  # in place of a type: ingest asked how much is unread
_TYPES: Final[dict[type, int]] = {
    AudioReceived: AUDIO,
    VideoReceived: VIDEO,
    MetadataReceived: DATA,
    DataReceived: DATA,
}
_AAC: Final = 10
_EXTENDED_AUDIO: Final = 9
_EXTENDED_HEADER: Final = 0x80  # by these bits, of video and of audio; AAC begins with 0xAF
_WITH_RECORD: Final = frozenset((7, 12, 13))  # H.264, and two that FLV was given later

Message = tuple[int, int, bytes]  # type, timestamp, payload


@dataclass(frozen=True, slots=True)
class KeptRead:
    """What one read of a connection brought."""

    at_s: float
    messages: tuple[Message, ...]
    unread_bytes: int | None = None  # that were ready behind it, where ingest asked


@dataclass(slots=True)
class _Block:
    """Messages, one behind the other. What is written once does not change."""

    data: bytearray
    used: int = 0
    last_s: float = 0.0
    is_shared: bool = False  # with a snapshot: its bytes are not written again
    headers: dict[str, Message] = field(default_factory=dict)  # in it, that all later ones need


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was kept of a publisher at one moment; it may be read at leisure, by any thread."""

    headers: tuple[Message, ...]  # of what was forgotten
    blocks: tuple[tuple[bytearray, int], ...]  # and how much of each is used
    from_s: float  # what is older is left out
    last_s: float  # when the last of it came
    starts_late: bool

    @property
    def seconds(self) -> float:
        """From its first message to its last."""
        if not self.blocks:
            return 0.0
        first_s: float = _HEAD.unpack_from(self.blocks[0][0])[0]
        return self.last_s - max(self.from_s, first_s)

    def reads(self) -> Iterator[KeptRead]:
        """All reads, in order; the headers come first, with the time of the first read."""
        headers = self.headers
        at_s = 0.0
        messages: list[Message] = []
        for now, unread, message in self._records():
            if headers:
                yield KeptRead(now, headers)
                headers = ()
            if messages and (now != at_s or unread is not None):
                yield KeptRead(at_s, tuple(messages))
                messages = []
            at_s = now
            if message is None:
                yield KeptRead(now, (), unread)
            else:
                messages.append(message)
        if messages:
            yield KeptRead(at_s, tuple(messages))

    def _records(self) -> Iterator[tuple[float, int | None, Message | None]]:
        for data, used in self.blocks:
            at = 0
            while at < used:
                now, timestamp, size, type_id = _HEAD.unpack_from(data, at)
                at += _HEAD.size + size
                if now < self.from_s:
                    continue
                if type_id == _UNREAD:
                    yield now, timestamp, None
                else:
                    yield now, None, (type_id, timestamp, bytes(data[at - size : at]))


class RecentMessages:
    """Those of one publisher. `MessageMemory` makes and bounds them."""

    __slots__ = ("_block", "_blocks", "_headers", "_memory", "last_s", "size", "starts_late")

    def __init__(self, memory: "MessageMemory") -> None:
        self.size = 0  # bytes of its blocks
        self.last_s = 0.0  # when the last message came
        self.starts_late = False  # the first ones are gone
        self._memory = memory
        self._headers: dict[str, Message] = {}  # of what is gone
        self._blocks: deque[_Block] = deque()
        self._block = _Block(bytearray())  # the last one of these, or one without room

    @property
    def is_empty(self) -> bool:
        return not self._blocks

    def add(self, events: Sequence[Event], now: float) -> None:
        """Keep what one read has brought."""
        block = self._block
        data, at = block.data, block.used
        event: Any  # media alone
        for event in events:
            payload = event.payload
            size = len(payload)
            end = at + _HEAD_BYTES + size
            if end > len(data):
                block.used, block.last_s = at, now
                block = self._next_block(_HEAD_BYTES + size, now)
                data, at, end = block.data, 0, _HEAD_BYTES + size
            kind = type(event)
            _pack_head(data, at, now, event.timestamp, size, _TYPES[kind])
            data[at + _HEAD_BYTES : end] = payload
            at = end
            if kind is MetadataReceived or (
                size > 1 and (payload[1] == 0 or payload[0] & 0x8F == _EXTENDED_HEADER)
            ):
                self._note_header(block, event)
        block.used, block.last_s = at, now
        self.last_s = now
        if self._memory.size > self._memory.limit:
            self._memory.make_room()

    def note_unread(self, unread_bytes: int, now: float) -> None:
        """Ingest asked how much the connection has ready."""
        block = self._block
        if block.used + _HEAD.size > len(block.data):
            block = self._next_block(_HEAD.size, now)
        _HEAD.pack_into(block.data, block.used, now, min(unread_bytes, 0xFFFFFFFF), 0, _UNREAD)
        block.used += _HEAD.size
        block.last_s = now
        if self._memory.size > self._memory.limit:
            self._memory.make_room()

    def snapshot(self) -> Snapshot:
        """What is there now."""
        from_s = self.last_s - self._memory.seconds
        for block in self._blocks:
            block.is_shared = True
        return Snapshot(
            tuple(self._headers.values()),
            tuple((block.data, block.used) for block in self._blocks),
            from_s,
            self.last_s,
            self.starts_late,
        )

    def shrink(self, size: int) -> None:
        """Forget the oldest blocks until they are no larger than this."""
        while self.size > size and self._blocks:
            self._forget_first()
        if not self._blocks:
            self._block = _Block(bytearray())

    # ---- blocks -------------------------------------------------------------------------------

    def _next_block(self, least: int, now: float) -> _Block:
        blocks = self._blocks
        while blocks and blocks[0].last_s < now - self._memory.seconds:
            self._forget_first()
        block = _Block(self._memory.take_bytes(least))
        blocks.append(block)
        self.size += len(block.data)
        self._memory.size += len(block.data)
        self._block = block
        return block

    def _forget_first(self) -> None:
        block = self._blocks.popleft()
        self.size -= len(block.data)
        self._memory.size -= len(block.data)
        self.starts_late = True
        self._headers.update(block.headers)
        if not block.is_shared:
            self._memory.give_bytes(block.data)

    def _note_header(self, block: _Block, event: Any) -> None:
        kind = header_kind(event)
        if kind:
            block.headers[kind] = (_TYPES[type(event)], event.timestamp, bytes(event.payload))


class MessageMemory:
    """What all publishers of an ingest have there together."""

    def __init__(self) -> None:
        self.size = 0  # bytes
        self.limit = 0  # 0: nothing is kept
        self.seconds = 0.0
        self.block_bytes = BLOCK_BYTES
        self._all: list[RecentMessages] = []
        self._free: list[bytearray] = []  # blocks to be used again: new ones have to be zeroed

    def take_bytes(self, least: int) -> bytearray:
        """The bytes of a new block, of at least so many."""
        if self._free and least <= self.block_bytes:
            return self._free.pop()
        return bytearray(max(least, self.block_bytes))

    def give_bytes(self, data: bytearray) -> None:
        """A block is not needed any more."""
        size = self.block_bytes
        if len(data) == size and self.size + (len(self._free) + 1) * size <= self.limit:
            self._free.append(data)

    def configure(self, limit: int, seconds: float) -> None:
        """Use other bounds from now on."""
        self._free.clear()
        self.limit, self.seconds = limit, seconds
        self.block_bytes = max(_LEAST_BLOCK_BYTES, min(BLOCK_BYTES, limit // _MOST_BLOCKS))
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
