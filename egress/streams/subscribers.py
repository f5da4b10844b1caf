"""Who takes a rendition's units: what is called of them, and where each starts. Pure.

Every output is a subscriber, whatever it makes of the units. One that is slow keeps a bounded queue
of its own and drops from it; one that raises is ended. So none costs the others anything.
"""

import logging
from bisect import bisect_left
from collections.abc import Sequence
from enum import Enum
from typing import Protocol

from egress.streams.gop_buffer import GopBuffer
from egress.streams.tag import VIDEO, Change, Config, Tag

log = logging.getLogger("tfarm.egress.streams.subscribers")

MAX_BATCH = 512  # tags a call


class Start(Enum):
    """Where a subscriber, or a viewer behind one, begins."""

    GOP = "gop"  # at the last keyframe: a picture at once
    LIVE = "live"  # at the next keyframe: the least delay
    FIRST = "first"  # at the first keyframe that is here, of a backlog too: nothing is missed


class Subscriber(Protocol):
    """One that takes a rendition's units.

    Calls come on the event loop, between the frames of everybody else: they take references, queue
    or send what a socket takes, and return. They never wait.
    """

    def on_config(self, config: Config, /) -> None:
        """Another configuration is in force for the units that follow; once before the first."""

    def on_units(self, tags: Sequence[Tag], /) -> None:
        """The next units in order, at most `MAX_BATCH`: the first of all is a keyframe.

        That may be a still, of a GOP that is not kept: no other picture comes before the next one.
        """

    def on_end(self, reason: str, /) -> None:
        """Nothing follows: the rendition is over, or this subscriber failed.

        It is not called after `unsubscribe`, nor when the process ends (`Output.stop`).
        """


class Subscription:
    """One subscriber's place in a rendition."""

    __slots__ = ("_has_still", "_is_whole", "_needs_key", "is_open", "subscriber")

    def __init__(self, subscriber: Subscriber, *, is_whole: bool = False) -> None:
        """`is_whole`: it begins at the first keyframe of a backlog, not at the last."""
        self.subscriber = subscriber
        self.is_open = True
        self._is_whole = is_whole
        self._needs_key = True
        self._has_still = False  # … and its sound goes on

    def start(self, gop: GopBuffer, flushed: int) -> None:
        """Give the buffered GOP, as far as it is flushed, or the still that is left of it."""
        still = gop.still
        if still is not None:
            self._has_still = True
            tag, config = still
            self._deliver([tag], [Change(0, config)])
        if flushed > 0:
            tags = gop.tags[:flushed]
            self._needs_key = False
            if self._is_whole and still is None:
                for last in gop.last:
                    self._deliver(*last)
            self._deliver(tags, [change for change in gop.changes if change.at < len(tags)])

    def take(self, tags: Sequence[Tag], changes: Sequence[Change], config: Config) -> None:
        """Give what is flushed; `config` is what was in force before it."""
        if not self._needs_key:
            if not changes and len(tags) <= MAX_BATCH:
                self.subscriber.on_units(tags)
            else:
                self._deliver(tags, changes)
            return
        # The last one, if a backlog brings several, for who does not want all.
        places = range(len(tags)) if self._is_whole else range(len(tags) - 1, -1, -1)
        at = next((i for i in places if tags[i].is_key), None)
        if self._has_still:
            self._take_beside_still(tags, changes, at)
            return
        if at is None:
            return
        for change in changes:
            if change.at <= at:
                config = change.config
        self._needs_key = False
        later = [Change(change.at - at, change.config) for change in changes if change.at > at]
        self._deliver(tags[at:], [Change(0, config), *later])

    def _take_beside_still(
        self, tags: Sequence[Tag], changes: Sequence[Change], key_at: int | None
    ) -> None:
        """Give all but the pictures before the keyframe, which cannot be decoded."""
        if key_at is not None:
            self._needs_key = self._has_still = False
        begin = len(tags) if key_at is None else key_at
        kept = [at for at, tag in enumerate(tags) if at >= begin or tag.type != VIDEO]
        moved = [Change(bisect_left(kept, change.at), change.config) for change in changes]
        self._deliver([tags[at] for at in kept], moved)

    def _deliver(self, tags: Sequence[Tag], changes: Sequence[Change]) -> None:
        at = 0
        for change in changes:
            self._deliver_units(tags, at, change.at)
            if not self.is_open:
                return
            self.subscriber.on_config(change.config)
            at = change.at
        self._deliver_units(tags, at, len(tags))

    def _deliver_units(self, tags: Sequence[Tag], begin: int, end: int) -> None:
        for at in range(begin, end, MAX_BATCH):
            if self.is_open:
                self.subscriber.on_units(tags[at : min(end, at + MAX_BATCH)])


class Subscribers:
    """All of one rendition's."""

    __slots__ = ("_all", "_name")

    def __init__(self, name: str) -> None:
        self._name = name  # for the log
        self._all: tuple[Subscription, ...] = ()

    def __len__(self) -> int:
        return len(self._all)

    def add(self, subscriber: Subscriber, start: Start, gop: GopBuffer, flushed: int) -> bool:
        """Let one in, with the buffered GOP if it wants that; False: it failed, and is ended."""
        subscription = Subscription(subscriber, is_whole=start is Start.FIRST)
        self._all = (*self._all, subscription)
        if start is not Start.LIVE:
            try:
                subscription.start(gop, flushed)
            except Exception:
                self._fail(subscription)
        return subscription.is_open

    def remove(self, subscriber: Subscriber) -> None:
        """Call it no more."""
        for subscription in self._all:
            if subscription.subscriber is subscriber:
                subscription.is_open = False
        self._all = tuple([one for one in self._all if one.is_open])

    def flush(self, tags: Sequence[Tag], changes: Sequence[Change], config: Config) -> None:
        """Give to each what is flushed; `config` is what was in force before it."""
        for subscription in self._all:
            if subscription.is_open:
                try:
                    subscription.take(tags, changes, config)
                except Exception:
                    self._fail(subscription)

    def end(self, reason: str) -> None:
        """The rendition is over for all of them."""
        ended, self._all = self._all, ()
        for subscription in ended:
            if subscription.is_open:
                self._end(subscription, reason)

    def _fail(self, subscription: Subscription) -> None:
        log.exception(
            "a flush failed, its subscriber is ended rendition=%s subscriber=%s",
            self._name,
            type(subscription.subscriber).__name__,
        )
        self.remove(subscription.subscriber)
        self._end(subscription, "it failed")

    def _end(self, subscription: Subscription, reason: str) -> None:
        subscription.is_open = False
        try:
            subscription.subscriber.on_end(reason)
        except Exception:
            log.exception("a subscriber failed at its end rendition=%s", self._name)
