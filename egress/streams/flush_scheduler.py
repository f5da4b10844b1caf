"""When each rendition is flushed: in the turn of the loop that touched it, or when it is due.

Tags are taken as they come, and what a read touched is flushed behind it, so that a backlog is
merged into few writes instead of growing. What is due later has a timer of its own. Pure but for
the loop, which is asked for turns and timers; `clock` is CLOCK_MONOTONIC in seconds.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from egress.streams.rendition import Rendition
from egress.streams.waiting import WaitingViewers

log = logging.getLogger("tfarm.egress.streams.flush_scheduler")

SLICE_S = 0.02  # of flushing before the loop gets a turn


class Timer(Protocol):
    """A call to come, as the loop gives it."""

    def cancel(self) -> None: ...


class Loop(Protocol):
    """The event loop, as it is called here."""

    def call_soon(self, callback: Callable[[], None], /) -> object: ...

    def call_later(
        self, delay: float, callback: Callable[[Rendition], None], rendition: Rendition, /
    ) -> Timer: ...


@dataclass(slots=True)
class _Wakeup:
    """A timer that is set."""

    at_s: float
    timer: Timer


class FlushScheduler:
    """Renditions that are to be flushed, now and later."""

    def __init__(self, loop: Loop, clock: Callable[[], float], waiting: WaitingViewers) -> None:
        """`waiting` hears of flushed renditions that can be started."""
        self._loop = loop
        self._clock = clock
        self._waiting = waiting
        self._due: dict[Rendition, None] = {}  # to be looked at in this turn, in order
        self._is_set = False
        self._wakeups: dict[Rendition, _Wakeup] = {}

    def touched(
        self, renditions: Mapping[str, Rendition], names: Iterable[str], now: float
    ) -> None:
        """Something came for these of a stream's renditions."""
        for name in names:
            rendition = renditions[name]
            due = rendition.due_at()
            if due is None or due > now:
                self._look_again(rendition, due, now)
            else:
                self._due[rendition] = None

    def flush_soon(self) -> None:
        """Flush what is due in the loop's next turn."""
        if self._due and not self._is_set:
            self._is_set = True
            self._loop.call_soon(self.flush_due)

    def flush_due(self) -> None:
        """Flush what the last read touched, or what an earlier call has left."""
        self._is_set = False
        if not self._due:
            return
        started = now = self._clock()
        due, self._due = self._due, {}
        while due:
            rendition = next(iter(due))
            del due[rendition]
            try:
                self._flush(rendition, now)
            except Exception:
                # A fault in one rendition must not hold up the others.
                log.exception("flushing a rendition failed rendition=%s", rendition.name)
            now = self._clock()
            if now - started > SLICE_S and due:
                due.update(self._due)
                self._due = due
                self.flush_soon()
                return

    def finish(self, rendition: Rendition) -> None:
        """Flush a rendition that ends, for the last time."""
        self._due.pop(rendition, None)
        wakeup = self._wakeups.pop(rendition, None)
        if wakeup is not None:
            wakeup.timer.cancel()
        rendition.flush()

    def close(self) -> None:
        """Call nobody any more."""
        for wakeup in self._wakeups.values():
            wakeup.timer.cancel()
        self._wakeups.clear()
        self._due.clear()

    def _flush(self, rendition: Rendition, now: float) -> None:
        """Flush a rendition if it is due, else have it looked at when it will be."""
        rendition.advance(now)
        due = rendition.due_at()
        if due is not None and due <= now:
            rendition.flush()
            rendition.note_sent(self._clock())
            due = rendition.due_at()
        self._look_again(rendition, due, now)
        if self._waiting and rendition.has_start:
            self._waiting.on_start(rendition.stream_id, rendition.name)

    def _look_again(self, rendition: Rendition, due: float | None, now: float) -> None:
        """Have the rendition looked at when it is due and not before: waking up costs the most."""
        wakeup = self._wakeups.get(rendition)
        if wakeup is not None:
            if wakeup.at_s == due:
                return
            wakeup.timer.cancel()
            del self._wakeups[rendition]
        if due is None:
            return
        timer = self._loop.call_later(max(0.0, due - now), self._on_timer, rendition)
        self._wakeups[rendition] = _Wakeup(due, timer)

    def _on_timer(self, rendition: Rendition) -> None:
        del self._wakeups[rendition]
        self._flush(rendition, self._clock())
