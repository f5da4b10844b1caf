"""One stream towards another host that has it: its publisher's units, in place of tags.

In front of every keyframe stand the headers in force, so that its owner can begin there, whatever
was dropped before it. What the way takes no more is dropped up to the next keyframe. Pure but for
the way it is given.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from common.ipc.identity import ChildId, Generation, StreamId
from common.ipc.media_messages import StreamClosed
from common.ipc.unit_messages import (
    AUDIO,
    AUDIO_CONFIG,
    DATA,
    KEY,
    LOST,
    METADATA,
    VIDEO,
    VIDEO_CONFIG,
    UnitItem,
)
from common.ipc.unit_ways import Way
from common.media.units import AudioConfig, AudioUnit, Data, VideoUnit
from ingest.outputs.egress_output import PIGGYBACK_S, EgressOutput
from ingest.outputs.outbox import EgressLink, Link
from ingest.streams.source_gop import GopItem, SourceGop

MAX_ITEMS: Final = 200  # in one message; more come of no read
Item = tuple[UnitItem, Data]


class _Nobody:
    """`Peers` of a stream that no worker and no egress of this farm gets from here."""

    def worker(self, child: ChildId) -> Link | None:
        return None

    def egresses(self) -> Sequence[EgressLink]:
        return ()

    def subscribed(self, stream_id: StreamId) -> Sequence[EgressLink]:
        return ()

    def takes(self, stream_id: StreamId, child: ChildId, rendition: str) -> bool:
        return False

    def one_write_each(self) -> AbstractContextManager[None]:
        return nullcontext()


NOBODY: Final = _Nobody()


class ForwardOutput(EgressOutput):
    """Stands where an `EgressOutput` does, and sends all to one other host."""

    def __init__(
        self, stream_id: StreamId, generation: Generation, clock: Callable[[], float]
    ) -> None:
        super().__init__(stream_id, generation, NOBODY, clock)
        self._way: Way | None = None
        self._items: list[Item] = []
        self._heads: dict[str, Item] = {}  # in force, by kind
        self._needs_key = True
        self._lost = 0

    @property
    def has_players(self) -> bool:
        """That host's: what is read late here comes late to them."""
        return True

    @property
    def has_source_players(self) -> bool:
        return True

    @property
    def dropped(self) -> int:
        """Units that were not sent."""
        return self._lost

    def use(self, way: Way | None) -> None:
        """Send by this way from the next keyframe on; None: by none."""
        self._way, self._needs_key = way, True

    def open_source(self, gop: SourceGop) -> None:
        """Other headers are in force, or have come for the first time."""
        if gop.metadata is not None:
            self._head(UnitItem(METADATA), gop.metadata.body)
        config = gop.video_config
        if config is not None:
            self._head(UnitItem(VIDEO_CONFIG, config.codec), config.record)

    def put(self, item: GopItem) -> None:
        """Put a unit, or a header, behind those of the same read."""
        if isinstance(item, VideoUnit):
            flags = KEY if item.is_key else 0
            if item.is_key:
                self._items += self._heads.values()
            self._picture_s = item.received_s
            times = item.dts_ms, item.composition_ms, flags, item.received_s
            self._items.append((UnitItem(VIDEO, item.codec, *times), item.data))
        elif isinstance(item, AudioUnit):
            unit = UnitItem(AUDIO, item.codec, item.dts_ms, 0, 0, item.received_s)
            self._items.append((unit, item.data))
        elif isinstance(item, AudioConfig):
            self._head(UnitItem(AUDIO_CONFIG, item.codec), item.record)
        else:
            unit = UnitItem(DATA, "", item.dts_ms, 0, 0, item.received_s)
            self._items.append((unit, item.data))

    def end_read(self, now: float) -> None:
        """Send what one read has brought, but for sound that a picture will take along."""
        if now - self._picture_s > PIGGYBACK_S or len(self._items) > MAX_ITEMS:
            self.flush()

    def flush(self, *, is_piggybacked: bool = False) -> None:
        """Send all that was put."""
        items, self._items = self._items, []
        if self._needs_key:
            items = self._from_key(items)
        if not items:
            return
        sent_s = self._clock()
        if self._way is None or not self._way.send([i for i, _ in items], [d for _, d in items]):
            self._lost += len(items)
            self._needs_key = True
        else:
            self.stages.add("ingest", sent_s - items[-1][0].received_s)

    def rest(self, gop: SourceGop) -> None:
        """Who watches it there is not known here."""

    def lose(self) -> None:
        """A picture was lost: what refers to it is of no use."""
        self._items.append((UnitItem(LOST), b"unreadable"))

    def close(self, message: StreamClosed) -> None:
        """Send what is there: the publisher is gone."""
        self.flush()

    def release(self) -> None:
        """Likewise."""
        self.flush()

    def _head(self, item: UnitItem, payload: bytes) -> None:
        if self._heads.get(item.kind) == (item, payload):
            return
        self._heads[item.kind] = (item, payload)
        self._heads = {kind: self._heads[kind] for kind in _ORDER if kind in self._heads}
        if not self._needs_key:
            self._items.append((item, payload))

    def _from_key(self, items: list[Item]) -> list[Item]:
        """What of these may be sent behind a gap: all from a keyframe's headers on."""
        for at, (item, _) in enumerate(items):
            if item.kind == VIDEO and item.flags & KEY:
                self._needs_key = False
                begin = max(0, at - len(self._heads))
                self._lost += begin
                return items[begin:]
        self._lost += len(items)
        return []


_ORDER: Final = (METADATA, VIDEO_CONFIG, AUDIO_CONFIG)


def output_to(
    way: Way | None,
    stream_id: StreamId,
    generation: Generation,
    clock: Callable[[], float],
    gop: SourceGop | None = None,
) -> ForwardOutput:
    """The output by a way; `gop` has the headers that are in force already."""
    output = ForwardOutput(stream_id, generation, clock)
    if gop is not None:
        output.open_source(gop)
        if gop.audio_config is not None:
            output.put(gop.audio_config)
    output.use(way)
    return output
