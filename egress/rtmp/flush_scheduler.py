"""When each channel is flushed: in the turn of the loop that touched it, or when it is due.

Tags are taken as they come, and what a read touched is flushed behind it, so that a backlog is
merged into few writes instead of growing. What is due later has a timer of its own. Pure but for
the loop, which is asked for turns and timers; `clock` is CLOCK_MONOTONIC in seconds.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sized
from typing import Protocol

from egress.rtmp.fanout import Channel

log = logging.getLogger("tfarm.egress.rtmp.flush_scheduler")

SLICE_S = 0.02  # of flushing before the loop gets a turn


class Timer(Protocol):
    """What a loop gives for a call to come."""

    def cancel(self) -> None: ...


class Loop(Protocol):
    """What is asked of the event loop."""

    def call_soon(self, callback: Callable[[], None], /) -> object: ...

    def call_later(
        self, delay: float, callback: Callable[[Channel], None], channel: Channel, /
    ) -> Timer: ...


class Flushes:
    """Channels that are to be flushed, now and later."""

    def __init__(
        self,
        loop: Loop,
        clock: Callable[[], float],
        waiting: Sized,
        on_start: Callable[[Channel], None],
    ) -> None:
        """`on_start` hears of flushed channels that can be joined, while anybody is `waiting`."""
        self._loop = loop
        self._clock = clock
        self._waiting = waiting
        self._on_start = on_start
        self._due: dict[Channel, None] = {}  # to be looked at in this turn, in order
        self._is_set = False
        self._timers: dict[Channel, tuple[float, Timer]] = {}

    def touched(self, channels: Mapping[str, Channel], names: Iterable[str], now: float) -> None:
        """Something came for these of a stream's channels."""
        for name in names:
            channel = channels[name]
            due = channel.rendition.due_at()
            if due is None or due > now:
                self._look_again(channel, due, now)
            else:
                self._due[channel] = None

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
            channel = next(iter(due))
            del due[channel]
            try:
                self._flush(channel, now)
            except Exception:
                # A fault in one rendition must not hold up the others.
                log.exception("a flush failed")
            now = self._clock()
            if now - started > SLICE_S and due:
                due.update(self._due)
                self._due = due
                self.flush_soon()
                return

    def finish(self, channel: Channel) -> None:
        """Flush a channel that ends, for the last time."""
        self._due.pop(channel, None)
        timer = self._timers.pop(channel, None)
        if timer is not None:
            timer[1].cancel()
        channel.flush(self._clock())

    def close(self) -> None:
        """Call nobody any more."""
        for _, timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._due.clear()

    def _flush(self, channel: Channel, now: float) -> None:
        """Flush a channel if it is due, else have it looked at when it will be."""
        rendition = channel.rendition
        rendition.advance(now)
        due = rendition.due_at()
        if due is not None and due <= now:
            channel.flush(now)
            rendition.gone(self._clock())
            due = rendition.due_at()
        self._look_again(channel, due, now)
        if self._waiting and rendition.has_start:
            self._on_start(channel)

    def _look_again(self, channel: Channel, due: float | None, now: float) -> None:
        """Have the channel looked at when it is due and not before: waking up costs the most."""
        timer = self._timers.get(channel)
        if timer is not None:
            if timer[0] == due:
                return
            timer[1].cancel()
            del self._timers[channel]
        if due is None:
            return
        handle = self._loop.call_later(max(0.0, due - now), self._on_timer, channel)
        self._timers[channel] = due, handle

    def _on_timer(self, channel: Channel) -> None:
        del self._timers[channel]
        self._flush(channel, self._clock())
