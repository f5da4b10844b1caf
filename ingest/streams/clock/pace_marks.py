"""What had come of one kind of media by moments of the last 18 s, to be looked back at. Pure."""

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from itertools import pairwise

MARK_S = 0.1  # between two marks …
OLD_MARK_S = 0.5  # … and between those that are older than `FINE_S`
FINE_S = 3.0
KEPT_S = 18.0
_LEAST_MARKS = 24  # that tell a drift
_EVEN_PARTS = 4
_EVEN = 0.4  # how much the parts of an even window differ from their mean, at most


@dataclass(frozen=True, slots=True)
class Mark:
    """What had come by a moment."""

    s: float
    stamps_ms: float = 0.0  # jumps counted as the time that passed
    raw_ms: float = 0.0
    same: int = 0  # frames that had the stamp of the one before
    media_ms: float = 0.0  # by the frames' own lengths
    sound_ms: float = 0.0  # likewise of the sound beside pictures
    frames: int = 0
    jumps: int = 0
    apart: int = 0  # of them, those that did not arrive with the frame before
    back: int = 0  # of them

    @property
    def lead_ms(self) -> float:
        """Stamps minus clock."""
        return self.stamps_ms - self.s * 1000


def _moment(mark: Mark) -> float:
    return mark.s


class PaceMarks:
    """Marks in order, the older ones farther apart."""

    def __init__(self) -> None:
        self._marks: deque[Mark] = deque()
        self._old: deque[Mark] = deque()  # those before `_marks`, fewer of them

    def __bool__(self) -> bool:
        return bool(self._marks)

    @property
    def first_s(self) -> float:
        """When the first was made. There must be one."""
        return (self._old or self._marks)[0].s

    @property
    def last_s(self) -> float:
        """When the last was made. There must be one."""
        return self._marks[-1].s

    def begin(self, mark: Mark) -> None:
        """Forget all, but for this one."""
        self._marks.clear()
        self._old.clear()
        self._marks.append(mark)

    def add(self, mark: Mark) -> None:
        """Keep a mark of now."""
        marks, old, now_s = self._marks, self._old, mark.s
        marks.append(mark)
        while now_s - marks[0].s > FINE_S:
            first = marks.popleft()
            if not old or first.s - old[-1].s >= OLD_MARK_S:
                old.append(first)
        while old and now_s - old[0].s > KEPT_S:
            old.popleft()

    def since(self, before_s: float) -> Mark:
        """The latest mark that was made by then, else the first. There must be one."""
        marks = self._old if self._old and before_s < self._marks[0].s else self._marks
        at = bisect_right(marks, before_s, key=_moment)
        return marks[max(0, at - 1)]

    def is_even(self, now: Mark, window_s: float) -> bool:
        """Whether frames were about as frequent in each part of the last seconds."""
        parts = [
            self.since(now.s - window_s * part / _EVEN_PARTS) for part in range(_EVEN_PARTS, 0, -1)
        ]
        parts.append(now)
        if any(after.s <= before.s for before, after in pairwise(parts)):
            return False
        mean = (now.frames - parts[0].frames) / (now.s - parts[0].s)
        return all(
            abs((after.frames - before.frames) / (after.s - before.s) - mean) <= _EVEN * mean
            for before, after in pairwise(parts)
        )

    def drift_ms(self, since: Mark, now_s: float) -> float | None:
        """How far the frames that were least late have moved against the clock since a mark.

        By the first third of that time and the last one; None where too few marks tell.
        """
        marks = [mark for mark in (*self._old, *self._marks) if mark.s >= since.s]
        if len(marks) < _LEAST_MARKS:
            return None
        third_s = (now_s - since.s) / 3
        early = [mark.lead_ms for mark in marks if mark.s <= since.s + third_s]
        late = [mark.lead_ms for mark in marks if mark.s >= now_s - third_s]
        if not (early and late):
            return None
        return 1.5 * (max(late) - max(early))  # two thirds lie between them
