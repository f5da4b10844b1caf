"""What one stream sends to one peer, and what is dropped when that peer takes no more.

A feed belongs to one stream and one incarnation of a worker or an egress. Sends never block: when
one fails, media is dropped until the next keyframe and counted; what opens, changes or ends
something is kept and goes first as soon as the peer takes messages again.
Units and tags are numbered as they are offered, so that the receiver sees the gap.

No IO here: a `Link` is given, whose `send` says whether the peer took the message.
"""

from collections.abc import Sequence, Set
from contextlib import AbstractContextManager
from typing import Protocol

from common.config.ladder import SOURCE
from common.ipc.identity import BootId, ChildId, Generation, StreamId
from common.ipc.media_messages import (
    HEADER,
    KEY,
    AccessUnit,
    RenditionOpen,
    RenditionsWanted,
    RenditionVideo,
    StreamClosed,
    StreamEnd,
    StreamOpen,
    StreamPause,
    StreamSplice,
    StreamStart,
    TagHeader,
    Tags,
    VideoHeader,
)
from common.media.clock import ClockReference
from common.media.units import Data, VideoConfig, VideoUnit

MAX_KEPT = 32  # messages that wait for a peer which takes none: then only the latest matter


class Link(Protocol):
    """The way to one incarnation of a child."""

    @property
    def child(self) -> ChildId: ...

    @property
    def boot_id(self) -> BootId: ...

    def send(self, message: object, payloads: Sequence[Data] = ()) -> bool:
        """Send without waiting; False: not taken."""
        ...


class EgressLink(Link, Protocol):
    """The way to one incarnation of an egress."""

    def has_players(self, stream_id: StreamId, rendition: str) -> bool:
        """Whether somebody there plays this rendition, or waits for it."""
        ...

    def demanded(self, stream_id: StreamId) -> Set[str]:
        """The renditions of the stream that somebody there plays, or waits for."""
        ...

    def send_batched(self, message: object, payloads: Sequence[Data] = ()) -> bool:
        """Send with what is sent next, or some time later; False: not taken."""
        ...


class Peers(Protocol):
    """The workers and egresses that run now."""

    def worker(self, child: ChildId) -> Link | None: ...

    def egresses(self) -> Sequence[EgressLink]: ...

    def subscribed(self, stream_id: StreamId) -> Sequence[EgressLink]:
        """The processes that want anything of this stream."""
        ...

    def takes(self, stream_id: StreamId, child: ChildId, rendition: str) -> bool:
        """Tell if a rendition is among what a process wants of this stream."""
        ...

    def one_write_each(self) -> AbstractContextManager[None]:
        """What is sent inside leaves at the end: who gets it wakes once for all of it."""
        ...


class _Outbox:
    """Messages that must not be lost, in order, ahead of the media behind them."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._kept: list[tuple[object, Sequence[Data]]] = []

    @property
    def is_empty(self) -> bool:
        return not self._kept

    def send(self, message: object, payloads: Sequence[Data] = ()) -> bool:
        """Send now, or keep it for `retry`."""
        if self.retry() and self._link.send(message, payloads):
            return True
        if len(self._kept) >= MAX_KEPT:
            del self._kept[0]
        self._kept.append((message, payloads))
        return False

    def retry(self) -> bool:
        """Send what is kept; whether all of it went."""
        while self._kept:
            if not self._link.send(*self._kept[0]):
                return False
            del self._kept[0]
        return True


class WorkerFeed:
    """One placement of a stream: its units on their way to one worker.

    Call `start` first and `end` last. Units before the first keyframe are not offered.
    """

    def __init__(self, stream_id: StreamId, generation: Generation, link: Link) -> None:
        self.stream_id = stream_id
        self.generation = generation
        self.link = link
        self.dropped = 0
        self._outbox = _Outbox(link)
        self._number = 0
        self._waits_for_key = True
        self._started = False

    def start(
        self, message: StreamStart, record: bytes, replay: Sequence[VideoUnit], is_repeat: bool
    ) -> None:
        """Open the stream there and give it the units since the last IDR.

        `is_repeat`: another worker was given these units before.
        """
        self._outbox.send(message, (record,))
        for unit in replay:
            self.unit(unit, is_repeat)

    def header(self, config: VideoConfig) -> None:
        """New parameter sets from the next unit on."""
        self._outbox.send(
            VideoHeader(self.stream_id, self.generation, config.codec), (config.record,)
        )

    def unit(self, unit: VideoUnit, replay: bool = False) -> None:
        if not self._started:
            if not unit.is_key:
                return
            self._started = True
        number = self._number
        self._number += 1
        if self._waits_for_key:
            if not unit.is_key:
                self.dropped += 1
                return
            self._waits_for_key = False
        if not self._send(unit, number, replay):
            self._waits_for_key = True
            self.dropped += 1

    def want(self, renditions: tuple[str, ...], after_ms: int | None = None) -> None:
        """Have these renditions made from here on; see `RenditionsWanted`."""
        message = RenditionsWanted(self.stream_id, self.generation, renditions, after_ms)
        self._outbox.send(message)

    def look(self, key: VideoUnit) -> None:
        """Offer a keyframe to be looked at, where nothing of the stream is made."""
        if self._send(key, self._number, replay=True):
            self._number += 1
            self.want(())

    def _send(self, unit: VideoUnit, number: int, replay: bool) -> bool:
        message = AccessUnit(
            self.stream_id,
            self.generation,
            number,
            unit.codec,
            unit.track,
            unit.dts_ms,
            unit.composition_ms,
            unit.is_key,
            unit.received_s,
            replay,
        )
        return self._outbox.retry() and self.link.send(message, (unit.data,))

    def lose(self) -> None:
        """A unit was lost ahead of the feed: leave a gap in the numbers."""
        if self._started:
            self._number += 1

    def wait_for_key(self) -> None:
        """What comes refers to nothing that the worker has: nothing before the next keyframe."""
        self._waits_for_key = True

    def splice(self, splice_ms: int) -> None:
        self._outbox.send(StreamSplice(self.stream_id, self.generation, splice_ms))

    def pause(self, reference: ClockReference, *, may_go_on: bool) -> None:
        """The publisher is away, or only silent and may go on."""
        if self._started:
            self._outbox.send(StreamPause(self.stream_id, self.generation, reference, may_go_on))

    def end(self, reason: str) -> None:
        self._outbox.send(StreamEnd(self.stream_id, self.generation, reason))

    def retry(self) -> bool:
        """Send what could not be sent before; whether nothing is left."""
        return self._outbox.retry()


class EgressFeed:
    """A stream's source rendition, passed ones and shared tags on their way to one egress."""

    def __init__(self, stream_id: StreamId, link: EgressLink) -> None:
        self.stream_id = stream_id
        self.link = link
        self.dropped = 0
        self._outbox = _Outbox(link)
        self._numbers: dict[str, int] = {}
        self._waits_for_key = False
        self.takes_source = True  # or what is shared alone
        self.takes_passed: Set[str] = frozenset()  # which of the renditions that are passed
        self.begun: set[str] = set()  # of these, those that it has the headers of
        self._carries = False  # somebody waits for what the next tags take along

    def open(self, message: StreamOpen) -> None:
        self._outbox.send(message)

    def open_source(
        self, generation: Generation, video: RenditionVideo, metadata: bytes, header: bytes
    ) -> None:
        """Begin the source rendition, or change its headers (tag bodies; metadata may be b"")."""
        if not self.takes_source:
            return
        first = self._numbers.get(SOURCE, 0)
        message = RenditionOpen(self.stream_id, generation, SOURCE, first, video)
        self._outbox.send(message, (metadata, header))

    def open_rendition(
        self,
        generation: Generation,
        rendition: str,
        video: RenditionVideo,
        metadata: bytes,
        header: bytes,
    ) -> None:
        """Begin a rendition that is passed, or change its headers (tag bodies)."""
        first = self._numbers.get(rendition, 0)
        message = RenditionOpen(self.stream_id, generation, rendition, first, video)
        self._outbox.send(message, (metadata, header))

    def tags(
        self,
        generation: Generation,
        rendition: str,
        entries: Sequence[TagHeader],
        payloads: Sequence[bytes],
        sent_s: float = 0.0,
        *,
        is_piggybacked: bool = False,
    ) -> None:
        """Offer tags of one rendition, in order, as one message; `sent_s` 0: a replay.

        `is_piggybacked`: a picture of the source follows at once, and takes these along; to who
        gets no source they go at once.
        """
        first = self._numbers.get(rendition, 0)
        self._numbers[rendition] = first + len(entries)
        if rendition == SOURCE and not self.takes_source:
            return
        if rendition == SOURCE and self._waits_for_key:
            skip = _first_key(entries)
            self.dropped += skip
            if skip == len(entries):
                return
            first += skip
            entries, payloads = entries[skip:], payloads[skip:]
            self._waits_for_key = False
        message = Tags(self.stream_id, generation, rendition, first, tuple(entries), sent_s)
        link = self.link
        is_piggybacked = is_piggybacked and self.takes_source
        # The sound is every rendition's: it goes with a source picture that nobody plays.
        is_urgent = self._carries or link.has_players(self.stream_id, rendition)
        self._carries = is_urgent and is_piggybacked
        send = link.send if is_urgent and not is_piggybacked else link.send_batched
        if self._outbox.retry() and send(message, payloads):
            return
        self.dropped += len(entries)
        if rendition == SOURCE:
            self._waits_for_key = True
        else:
            self._keep_headers(generation, rendition, first, entries, payloads)

    def rest(self, generation: Generation) -> None:
        """Nothing comes before the next keyframe: nobody can begin from what was there."""
        if self.takes_source:
            first = self._numbers.get(SOURCE, 0)
            video = RenditionVideo("", 0, 0, 0, 0)
            message = RenditionOpen(
                self.stream_id, generation, SOURCE, first, video, is_resting=True
            )
            self._outbox.send(message, (b"", b""))

    def skip(self, rendition: str, count: int) -> None:
        """The egress does not want these tags; their numbers are used up all the same."""
        self._numbers[rendition] = self._numbers.get(rendition, 0) + count

    def lose(self) -> None:
        """A picture was lost ahead of the feed: leave a gap in the source's numbers."""
        self._numbers[SOURCE] = self._numbers.get(SOURCE, 0) + 1

    def close(self, message: StreamClosed) -> None:
        self._outbox.send(message)

    def retry(self) -> bool:
        """Send what could not be sent before; whether nothing is left."""
        return self._outbox.retry()

    def _keep_headers(
        self,
        generation: Generation,
        rendition: str,
        first: int,
        entries: Sequence[TagHeader],
        payloads: Sequence[bytes],
    ) -> None:
        """Sequence headers are never dropped."""
        for i, entry in enumerate(entries):
            if entry.flags & HEADER:
                self.dropped -= 1
                message = Tags(self.stream_id, generation, rendition, first + i, (entry,))
                self._outbox.send(message, (payloads[i],))


def _first_key(entries: Sequence[TagHeader]) -> int:
    """Index of the first tag that a player can start at, or the number of tags."""
    for i, entry in enumerate(entries):
        if entry.flags & KEY:
            return i
    return len(entries)
