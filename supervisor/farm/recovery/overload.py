"""What is taken from streams on a device that falls behind, step by step, and given back. Pure.

A device is behind while one of its streams waits for its decoder by `BEHIND_MS`, or renditions
drop pictures; and when such a wait has overflowed time after time, `OVERFLOWS` within
`OVERFLOW_S`: a queue may be shorter than `BEHIND_MS`, and is empty again after each drop. (What a
publisher sends late all at once overflows too; the worker does not count that.) After `BEHIND_S` of
it without a break one step is taken, and another after every `STEP_S` in which it is still behind,
in this order:

1. the device takes no new streams;
2. of one stream after the other, the newest first, the top rendition's frame rate is halved;
3. … the top rendition is not made (of those with more than one);
4. … the stream is passed through, not transcoded.

Where it began soon after one stream had come that takes more than half of what the device does,
that one is the cause: it alone is passed through, after `CAUSE_BEHIND_S`, and the device takes
streams on; only if it is still behind then, the steps above follow. A device that was closed for
one that has left opens at once.

After `WELL_S` without falling behind the last step is undone, and so on. Where that makes the
device fall behind again, the next undoing waits twice as long, up to `MAX_WELL_S`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from common.ipc.identity import StreamId

BEHIND_MS = 400.0
BEHIND_S = 3.0
PAUSE_S = 1.0  # a shorter break is none
OVERFLOWS = 3  # a host that was stopped for a moment brings one, of many streams at once
OVERFLOW_S = 30.0
STEP_S = 4.0
WELL_S = 15.0
MAX_WELL_S = 240.0
CAUSE_S = 20.0  # behind so soon after one has come, the device is behind because of it
CAUSE_BEHIND_S = 1.0
CAUSE_WELL_S = 60.0  # it is tried again after this
RELAPSE_S = 20.0  # falling behind so soon after an undoing is its fault


class DegradationLevel(IntEnum):
    """What is taken from one stream."""

    FULL = 0
    HALF_RATE = 1  # of the top rendition
    NO_TOP_RENDITION = 2
    PASSTHROUGH = 3


@dataclass(frozen=True, slots=True)
class Load:
    """One stream on the device, as its worker reports it."""

    stream_id: StreamId
    placed_s: float  # the newest gives first
    renditions: int
    queue_ms: float
    dropped: int  # pictures, so far
    overflows: int = 0  # of its queue, so far
    began_s: float = -math.inf  # since when its source is what it is
    weight: float = 0.0  # what it takes of the device, in units


@dataclass(frozen=True, slots=True)
class CloseDevice:
    """The device takes new streams no more, or again."""

    is_closed: bool


@dataclass(frozen=True, slots=True)
class Degrade:
    """Take this much from a stream."""

    stream_id: StreamId
    degradation: DegradationLevel


OverloadAction = CloseDevice | Degrade


class Overload:
    """One device. What is taken is a stack: the last is given back first."""

    def __init__(self) -> None:
        self._taken: list[OverloadAction] = []
        self._dropped: dict[StreamId, int] = {}
        self._overflows: dict[StreamId, int] = {}
        self._overflows_s: list[float] = []  # the last ones of any stream
        self._behind_s = -math.inf
        self._behind_since_s: float | None = None
        self._well_since_s = -math.inf
        self._step_s = -math.inf  # the last step, either way
        self._undone_s = -math.inf
        self._patience_s = WELL_S
        self._closed_for: StreamId | None = None  # the cause, if the device is closed for one

    @property
    def is_closed(self) -> bool:
        return CloseDevice(True) in self._taken

    def degradation(self, stream_id: StreamId) -> DegradationLevel:
        levels = [
            step.degradation
            for step in self._taken
            if isinstance(step, Degrade) and step.stream_id == stream_id
        ]
        return levels[-1] if levels else DegradationLevel.FULL

    def observe(self, loads: Sequence[Load], now: float) -> list[OverloadAction]:
        """A heartbeat; the steps to take or to undo, one at most.

        Streams that are passed through are not on the device: the caller keeps them in `loads` as
        long as they may come back, with nothing waiting.
        """
        present = {load.stream_id for load in loads}
        self._taken = [
            step
            for step in self._taken
            if isinstance(step, CloseDevice) or step.stream_id in present
        ]
        if self._closed_for is not None and self._closed_for not in present:
            self._closed_for = None
            if self._taken == [CloseDevice(True)]:
                self._taken = []
                self._behind_since_s, self._overflows_s = None, []
                self._behind_s = -math.inf
                return [CloseDevice(False)]
        if self._is_behind(loads):
            self._behind_s = now
        if self._overflows_again(loads, now):
            self._behind_s = now
            first_s = self._overflows_s[0]
            self._behind_since_s = min(first_s, self._behind_since_s or first_s)
        # pictures are dropped in bursts
        if now - self._behind_s < PAUSE_S:
            if self._behind_since_s is None:
                self._behind_since_s = now
            self._well_since_s = now
            if now - self._undone_s < RELAPSE_S:
                self._patience_s = min(MAX_WELL_S, 2 * self._patience_s)
                self._undone_s = -math.inf
            cause = self._cause(loads, self._behind_since_s)
            if cause is not None and now - self._behind_since_s >= CAUSE_BEHIND_S:
                return self._pass_through(cause, now)
            if now - self._behind_since_s >= BEHIND_S and now - self._step_s >= STEP_S:
                return self._take(loads, now)
            return []
        if self._behind_since_s is not None:
            self._behind_since_s = None
            self._well_since_s = now
        if not self._taken:
            self._patience_s = WELL_S
            return []
        if now - max(self._well_since_s, self._step_s) < self._patience_s:
            return []
        return self._undo(now)

    def _cause(self, loads: Sequence[Load], behind_since_s: float) -> StreamId | None:
        """The one stream among others for which the device is behind; None: that is not known."""
        found = _newest_of_weight(loads, behind_since_s)
        if found is None or len(loads) < 2 or self.degradation(found) > DegradationLevel.FULL:
            return None
        return found

    def _pass_through(self, cause: StreamId, now: float) -> list[OverloadAction]:
        step = Degrade(cause, DegradationLevel.PASSTHROUGH)
        self._taken.append(step)
        self._step_s = now
        self._behind_since_s = now  # what is still behind is so for another reason
        self._overflows_s = []
        self._patience_s = max(self._patience_s, CAUSE_WELL_S)
        return [step]

    def _is_behind(self, loads: Sequence[Load]) -> bool:
        before, self._dropped = self._dropped, {load.stream_id: load.dropped for load in loads}
        return any(
            load.queue_ms >= BEHIND_MS or load.dropped > before.get(load.stream_id, load.dropped)
            for load in loads
        )

    def _overflows_again(self, loads: Sequence[Load], now: float) -> bool:
        before = self._overflows
        self._overflows = {load.stream_id: load.overflows for load in loads}
        recent = [at_s for at_s in self._overflows_s if now - at_s < OVERFLOW_S]
        is_new = any(load.overflows > before.get(load.stream_id, load.overflows) for load in loads)
        if is_new:
            self._well_since_s = now
            if not recent or now - recent[-1] >= PAUSE_S:
                recent.append(now)
        self._overflows_s = recent
        return len(recent) >= OVERFLOWS

    def _take(self, loads: Sequence[Load], now: float) -> list[OverloadAction]:
        step = self._next(loads)
        if step is None:
            return []
        self._step_s = now
        self._overflows_s = []  # it takes as many again to show that the step was not enough
        self._taken.append(step)
        if isinstance(step, CloseDevice) and self._behind_since_s is not None:
            self._closed_for = _newest_of_weight(loads, self._behind_since_s)
        return [step]

    def _next(self, loads: Sequence[Load]) -> OverloadAction | None:
        if not any(isinstance(step, CloseDevice) for step in self._taken):
            return CloseDevice(True)
        newest_first = sorted(loads, key=lambda load: -load.placed_s)
        for level in (
            DegradationLevel.HALF_RATE,
            DegradationLevel.NO_TOP_RENDITION,
            DegradationLevel.PASSTHROUGH,
        ):
            for load in newest_first:
                if level is DegradationLevel.NO_TOP_RENDITION and load.renditions < 2:
                    continue
                if self.degradation(load.stream_id) < level:
                    return Degrade(load.stream_id, level)
        return None

    def _undo(self, now: float) -> list[OverloadAction]:
        step = self._taken.pop()
        self._step_s = self._undone_s = now
        match step:
            case CloseDevice():
                return [CloseDevice(False)]
            case Degrade(stream_id, _):
                return [Degrade(stream_id, self.degradation(stream_id))]


def _newest_of_weight(loads: Sequence[Load], behind_since_s: float) -> StreamId | None:
    """The stream that came before the device fell behind, and takes more than half of it."""
    heaviest = max(loads, key=lambda load: load.weight, default=None)
    if (
        heaviest is None
        or heaviest.weight <= 0
        or behind_since_s - heaviest.began_s >= CAUSE_S
        or 2 * heaviest.weight <= sum(load.weight for load in loads)
    ):
        return None
    return heaviest.stream_id
