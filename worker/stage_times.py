"""How long the stages of the frame path take, over the last seconds, as histograms. Pure.

Two sets of buckets are turned over every `WINDOW_S`, so what is told is of the last one to two
windows. Bucket bounds grow by an eighth, which is the error of what is told.
"""

import bisect

WINDOW_S = 10.0
_GROWTH = 1.125
_BOUNDS_MS = tuple(0.02 * _GROWTH**index for index in range(112))  # 20 µs to 10 s


class StageTimes:
    """Durations by stage."""

    def __init__(self, stages: tuple[str, ...]) -> None:
        self._stages = stages
        self._current = {stage: [0] * (len(_BOUNDS_MS) + 1) for stage in stages}
        self._previous = {stage: [0] * (len(_BOUNDS_MS) + 1) for stage in stages}
        self._turned_s: float | None = None

    def add(self, stage: str, seconds: float) -> None:
        """Count one duration."""
        self._current[stage][bisect.bisect_left(_BOUNDS_MS, seconds * 1000)] += 1

    def turn(self, now_s: float) -> None:
        """Call about once a second: forgets what is old."""
        if self._turned_s is None:
            self._turned_s = now_s
        elif now_s - self._turned_s >= WINDOW_S:
            self._turned_s = now_s
            self._previous, self._current = self._current, self._previous
            for counts in self._current.values():
                counts[:] = [0] * len(counts)

    def quantiles(self) -> dict[str, tuple[float, ...]]:
        """p50 and p99 in ms of every stage that was seen."""
        found: dict[str, tuple[float, ...]] = {}
        for stage in self._stages:
            pairs = zip(self._current[stage], self._previous[stage], strict=True)
            counts = [new + old for new, old in pairs]
            if sum(counts):
                found[stage] = (_quantile(counts, 0.5), _quantile(counts, 0.99))
        return found


def _quantile(counts: list[int], share: float) -> float:
    wanted = share * sum(counts)
    seen = 0
    for index, count in enumerate(counts):
        seen += count
        if seen >= wanted:
            return round(_BOUNDS_MS[min(index, len(_BOUNDS_MS) - 1)], 3)
    return _BOUNDS_MS[-1]
