"""How long the stages of the frame path take: of the last seconds, and since the start. Pure.

`StageTimes` is of one stream. Two sets of its buckets are turned over every `WINDOW_S`, so what is
told is of the last one to two windows. Bucket bounds grow by an eighth, which is the error of what
is told. A stage is there from its first duration on; "encode:720p" is that of one rendition.

`StageDelays` is of a whole process. All its streams count into the same few buckets, which only
grow: those that a monitoring system wants.
"""

from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate, pairwise
from operator import add, mul
from typing import Final

WINDOW_S = 10.0
REPORT_S = 2.0  # what is told is counted anew so often: an egress has thousands of renditions
# Upper bounds of the buckets of `StageDelays`; one more is for what took longer.
DELAY_BOUNDS_MS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
DELAY_BOUNDS_S: Final = tuple(bound / 1000 for bound in DELAY_BOUNDS_MS)
_GROWTH = 1.125
_GROWING_MS = {0.02 * _GROWTH**index for index in range(112)}  # 20 µs to 10 s
_BOUNDS_MS = tuple(sorted(_GROWING_MS.union(DELAY_BOUNDS_MS)))
_EMPTY = [0] * (len(_BOUNDS_MS) + 1)
_CENTRES_S = tuple(
    (low + high) / 2000 for low, high in pairwise((0.0, *_BOUNDS_MS, _BOUNDS_MS[-1]))
)
_ENDS = (0, *(_BOUNDS_MS.index(bound) + 1 for bound in DELAY_BOUNDS_MS), len(_EMPTY))


@dataclass(frozen=True, slots=True)
class DelayCounts:
    """How often one stage took how long, since its process began."""

    counts: tuple[int, ...]  # of each of `DELAY_BOUNDS_S`, not summed up, and of what took longer
    seconds: float  # of all together, to a sixteenth


class StageDelays:
    """Durations by stage, of all streams of a process."""

    def __init__(self) -> None:
        self._counts: dict[str, list[int]] = {}
        self._reported_s: float | None = None

    def of(self, stage: str) -> list[int]:
        """Return what `StageTimes` counts a stage into."""
        return self._counts.setdefault(stage, _EMPTY.copy())

    def reported(self, now_s: float) -> dict[str, DelayCounts]:
        """Return the counts once every `REPORT_S`, and nothing in between: they are as before."""
        if self._reported_s is not None and now_s - self._reported_s < REPORT_S:
            return {}
        self._reported_s = now_s
        return self.counts()

    def counts(self) -> dict[str, DelayCounts]:
        """Return the counts of every stage that was seen."""
        return {
            stage: DelayCounts(
                tuple(sum(counts[begin:end]) for begin, end in pairwise(_ENDS)),
                sum(map(mul, counts, _CENTRES_S)),
            )
            for stage, counts in tuple(self._counts.items())  # threads may add stages meanwhile
        }


class StageTimes:
    """Durations by stage, of one stream."""

    def __init__(self, delays: StageDelays | None = None) -> None:
        """`delays`: those of the process, which count them too."""
        self._delays = delays if delays is not None else StageDelays()
        # by stage: the counts of this window, and those of the process
        self._current: dict[str, tuple[list[int], list[int]]] = {}
        self._previous: dict[str, tuple[list[int], list[int]]] = {}
        self._turned_s: float | None = None
        self._reported: dict[str, tuple[float, ...]] = {}
        self._reported_s: float | None = None

    def add(self, stage: str, seconds: float) -> None:
        """Count one duration."""
        counted = self._current.get(stage)
        if counted is None:
            new = _EMPTY.copy(), self._delays.of(stage)
            counted = self._current.setdefault(stage, new)
        counts, in_all = counted
        index = bisect_left(_BOUNDS_MS, seconds * 1000)
        counts[index] += 1
        in_all[index] += 1

    def turn(self, now_s: float) -> None:
        """Forget what is old; `reported` does it too."""
        if self._turned_s is None:
            self._turned_s = now_s
        elif now_s - self._turned_s >= WINDOW_S:
            self._turned_s = now_s
            self._previous, self._current = self._current, {}

    def reported(self, now_s: float) -> dict[str, tuple[float, ...]]:
        """The quantiles for status, at most `REPORT_S` old; call about once a second."""
        if self._reported_s is None or now_s - self._reported_s >= REPORT_S:
            self._reported_s = now_s
            self.turn(now_s)
            self._reported = self.quantiles()
        return self._reported

    def quantiles(self) -> dict[str, tuple[float, ...]]:
        """p50 and p99 in ms of every stage that was seen."""
        # other threads may add stages meanwhile
        current, previous = dict(self._current), dict(self._previous)
        nothing = _EMPTY, _EMPTY
        found: dict[str, tuple[float, ...]] = {}
        for stage in {**current, **previous}:
            counts = current.get(stage, nothing)[0], previous.get(stage, nothing)[0]
            sums = list(accumulate(map(add, *counts)))
            found[stage] = (_quantile(sums, 0.5), _quantile(sums, 0.99))
        return found


def _quantile(sums: list[int], share: float) -> float:
    index = bisect_left(sums, share * sums[-1])
    return round(_BOUNDS_MS[min(index, len(_BOUNDS_MS) - 1)], 3)
