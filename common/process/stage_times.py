"""How long the stages of the frame path take, over the last seconds, as histograms. Pure.

Two sets of buckets are turned over every `WINDOW_S`, so what is told is of the last one to two
windows. Bucket bounds grow by an eighth, which is the error of what is told. A stage is there from
its first duration on; "encode:720p" is that of one rendition.
"""

from bisect import bisect_left
from itertools import accumulate
from operator import add

WINDOW_S = 10.0
REPORT_S = 2.0  # quantiles are counted anew so often: an egress has them of thousands of renditions
_GROWTH = 1.125
_BOUNDS_MS = tuple(0.02 * _GROWTH**index for index in range(112))  # 20 µs to 10 s
_EMPTY = [0] * (len(_BOUNDS_MS) + 1)


class StageTimes:
    """Durations by stage."""

    def __init__(self) -> None:
        self._current: dict[str, list[int]] = {}
        self._previous: dict[str, list[int]] = {}
        self._turned_s: float | None = None
        self._reported: dict[str, tuple[float, ...]] = {}
        self._reported_s: float | None = None

    def add(self, stage: str, seconds: float) -> None:
        """Count one duration."""
        counts = self._current.get(stage)
        if counts is None:
            counts = self._current.setdefault(stage, _EMPTY.copy())
        counts[bisect_left(_BOUNDS_MS, seconds * 1000)] += 1

    def turn(self, now_s: float) -> None:
        """Forget what is old; `told` does it too."""
        if self._turned_s is None:
            self._turned_s = now_s
        elif now_s - self._turned_s >= WINDOW_S:
            self._turned_s = now_s
            self._previous, self._current = self._current, {}

    def reported(self, now_s: float) -> dict[str, tuple[float, ...]]:
        """The quantiles for status, at most `TELL_S` old; call about once a second."""
        if self._reported_s is None or now_s - self._reported_s >= REPORT_S:
            self._reported_s = now_s
            self.turn(now_s)
            self._reported = self.quantiles()
        return self._reported

    def quantiles(self) -> dict[str, tuple[float, ...]]:
        """p50 and p99 in ms of every stage that was seen."""
        # other threads may add stages meanwhile
        current, previous = dict(self._current), dict(self._previous)
        found: dict[str, tuple[float, ...]] = {}
        for stage in {**current, **previous}:
            sums = list(
                accumulate(map(add, current.get(stage, _EMPTY), previous.get(stage, _EMPTY)))
            )
            found[stage] = (_quantile(sums, 0.5), _quantile(sums, 0.99))
        return found


def _quantile(sums: list[int], share: float) -> float:
    index = bisect_left(sums, share * sums[-1])
    return round(_BOUNDS_MS[min(index, len(_BOUNDS_MS) - 1)], 3)
