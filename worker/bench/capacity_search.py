"""How many streams a device takes: the search, and the judgement of one trial. Pure.

A trial runs some streams in real time. It passes when 99 of 100 frames are at most one frame
interval late, the median takes no longer than one, and none was dropped. Late is what comes on top
of the time that 99 of 100 frames take when one stream is alone. The search begins with that one,
jumps to what its use of the device suggests, and closes in on the largest number that passes; that
number is then confirmed by a longer trial.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

CLOSE = 0.04  # of the number: a search stops when it knows it this well
_GROWTH = 1.3
_CAUTION = 0.9  # the jump lands below what the use suggests
MAX_STREAMS = 4096


@dataclass(frozen=True, slots=True)
class Trial:
    """What so many streams at once did."""

    streams: int
    p50_ms: float  # delay of a coded picture, from when its unit was due
    p99_ms: float  # lateness: of what is beyond a lone stream's p99
    frame_ms: float
    expected: int  # coded pictures
    missing: int  # dropped, or not done at the end
    cores: float  # of the host, all streams together
    decode: float = 0.0  # shares of the device, all streams together; in software, cores
    scale: float = 0.0
    encode: float = 0.0
    memory_bytes: int = 0  # of the device

    @property
    def keeps_real_time(self) -> bool:
        return self.missing == 0 and max(self.p50_ms, self.p99_ms) < self.frame_ms

    def busy(self, host_cores: int) -> float:
        """The share of the resource that it used most of."""
        shares = [self.cores / max(1, host_cores)]
        if self.memory_bytes:  # a GPU: its engines are shares already
            shares += [self.decode, self.scale, self.encode]
        return max(shares)


@dataclass(frozen=True, slots=True)
class Part:
    """What one process's streams of a trial did."""

    units: int  # fed
    missing: int
    cores: float
    decode: float  # cores inside decoders
    encode: float
    delays_ms: Mapping[int, Sequence[float]] = field(default_factory=dict)  # by rendition

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Part":
        """As another process of ours told it: JSON has no numbers for keys."""
        delays = {
            int(rendition): tuple(delays) for rendition, delays in document["delays_ms"].items()
        }
        return cls(**{**document, "delays_ms": delays})


@dataclass(frozen=True, slots=True)
class Use:
    """Of a GPU: shares of its engines, and bytes of its memory."""

    decode: float = 0.0
    scale: float = 0.0
    encode: float = 0.0
    memory_bytes: int = 0


def alone(parts: Sequence[Part]) -> dict[int, float]:
    """Of each rendition, the p99 of the delay: of a lone stream, what the work itself takes."""
    return {rendition: percentile(sorted(ms), 0.99) for rendition, ms in _delays(parts).items()}


def trial_of(
    streams: int,
    parts: Sequence[Part],
    alone_ms: Mapping[int, float],
    frame_ms: float,
    use: Use | None,
) -> Trial:
    """A trial of all its parts; `use` is of the device, or None in software."""
    by_rendition = _delays(parts)
    delays = sorted(ms for values in by_rendition.values() for ms in values)
    late = sorted(
        ms - alone_ms.get(rendition, 0.0)
        for rendition, values in by_rendition.items()
        for ms in values
    )
    cores = sum(part.cores for part in parts)
    if use is None:
        decode, encode = sum(p.decode for p in parts), sum(p.encode for p in parts)
        # Scaling runs in both threads of a stream: what is left, with the session's own work.
        use = Use(decode, max(0.0, cores - decode - encode), encode)
    return Trial(
        streams,
        round(percentile(delays, 0.5), 2),
        round(percentile(late, 0.99), 2) if late else float("inf"),
        frame_ms,
        sum(part.units for part in parts),
        sum(part.missing for part in parts),
        cores,
        use.decode,
        use.scale,
        use.encode,
        use.memory_bytes,
    )


def _delays(parts: Sequence[Part]) -> dict[int, list[float]]:
    """Of each rendition, in all parts."""
    found: dict[int, list[float]] = {}
    for part in parts:
        for rendition, delays in part.delays_ms.items():
            found.setdefault(rendition, []).extend(delays)
    return found


class CapacitySearch:
    """`next()` says how many streams to try, `observe` takes the result; None: it is found."""

    def __init__(self, host_cores: int, most: int = MAX_STREAMS) -> None:
        self._host_cores = host_cores
        self._most = most
        self._passed = 0
        self._failed: int | None = None
        self._guess = 1

    @property
    def found(self) -> int:
        """The largest number that passed so far."""
        return self._passed

    def next(self) -> int | None:
        if self._failed is not None and self._failed - self._passed <= max(
            1, int(CLOSE * self._passed)
        ):
            return None
        if self._passed >= self._most:
            return None
        return self._guess

    def observe(self, trial: Trial) -> None:
        if trial.keeps_real_time:
            self._passed = max(self._passed, trial.streams)
        else:
            self._failed = min(trial.streams, self._failed or trial.streams)
        if self._failed is not None:
            # its failure may be a hiccup of the host: what passed above it counts
            self._failed = max(self._failed, self._passed + 1)
            self._guess = (self._passed + self._failed) // 2
        elif trial.streams == 1:
            suggested = _CAUTION / max(trial.busy(self._host_cores), 1e-6)
            self._guess = max(2, int(suggested))
        else:
            self._guess = int(trial.streams * _GROWTH) + 1
        self._guess = min(self._guess, self._most)


def confirmations(streams: int) -> list[int]:
    """The numbers to try for long, one after the other, until one passes: ever fewer."""
    numbers = (int(streams * share) for share in (1, 0.96, 0.9, 0.8, 0.65, 0.5))
    return [*dict.fromkeys(number for number in numbers if number > 1), 1] if streams else []


def percentile(ordered: list[float], share: float) -> float:
    """Of sorted values; 0 when there are none."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
