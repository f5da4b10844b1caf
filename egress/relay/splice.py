"""A stream that goes from one host to another, as one stream. Pure.

Its time has the same zero at both. Rule: *what the host before still sends goes on until the next
one's first keyframe behind the last picture; from there on it is the next one's.* Sound and data
begin anywhere behind the last that was sent. So nothing is lost, and nothing comes twice, whichever
of the two is ahead.

The next one's keyframe waits while pictures before it may still come: up to the one right before
it, until the host before says that it has no more, or for `WAIT_S`.
"""

from collections.abc import Sequence
from typing import Final, Generic, Protocol, TypeVar

from common.ipc.media_messages import KEY, TagHeader

WAIT_S: Final = 0.5  # for pictures that the host before is still to send
NEAR: Final = 1.5  # steps: nothing belongs between two pictures that are no farther apart
MAX_HELD: Final = 2_000  # tags that wait; more are not of half a second


class Headed(Protocol):
    """A tag with its header."""

    @property
    def head(self) -> TagHeader: ...


T = TypeVar("T", bound=Headed)


class Splice(Generic[T]):
    """One rendition, or one kind of what all have, over two hosts."""

    def __init__(self, last_ms: int | None, step_ms: float, *, needs_key: bool) -> None:
        """`last_ms`: of what was sent last; `step_ms`: how far apart it is, about."""
        self.is_over = False  # all is the next host's
        self._last_ms = last_ms
        self._step_ms = step_ms
        self._needs_key = needs_key
        self._is_alone = False  # the host before sends nothing more
        self._held: list[T] = []  # of the next host
        self._held_s = 0.0

    def before(self, tags: Sequence[T]) -> Sequence[T]:
        """What goes on of these tags of the host before; look at `take` then."""
        if self.is_over:
            return ()
        found = tags
        if self._held:
            end_ms = self._held[0].head.dts_ms
            found = [tag for tag in tags if tag.head.dts_ms < end_ms]
            if len(found) < len(tags):
                self._is_alone = True  # it has come so far itself
        if found:
            last_ms = found[-1].head.dts_ms
            self._last_ms = last_ms if self._last_ms is None else max(self._last_ms, last_ms)
        return found

    def next(self, tags: Sequence[T], now: float) -> Sequence[T]:
        """What goes on now, when these tags of the next host have come."""
        if self.is_over:
            return tags
        if self._held:
            self._held += tags
        else:
            self._held = list(self._from_start(tags))
            self._held_s = now
        return self.take(now)

    def end_before(self) -> None:
        """The host before sends nothing more; look at `take` then."""
        self._is_alone = True

    def take(self, now: float) -> Sequence[T]:
        """What need not wait any more."""
        if not self._held or not self._may_go(self._held[0].head.dts_ms, now):
            return ()
        self.is_over = True
        held, self._held = self._held, []
        return held

    def _may_go(self, begin_ms: int, now: float) -> bool:
        if self._is_alone or self._last_ms is None or len(self._held) > MAX_HELD:
            return True
        is_near = begin_ms - self._last_ms <= NEAR * self._step_ms
        return is_near or now - self._held_s >= WAIT_S

    def _from_start(self, tags: Sequence[T]) -> Sequence[T]:
        for at, tag in enumerate(tags):
            is_behind = self._last_ms is None or tag.head.dts_ms > self._last_ms
            if is_behind and (tag.head.flags & KEY or not self._needs_key):
                return tags[at:]
        return ()
