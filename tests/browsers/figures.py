"""What a viewer saw, as figures: delays, stalls, and the drift of sound against pictures. Pure."""

import bisect
import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

STALL_MS: Final = 250.0  # between two pictures: what a person sees as a stop
NEAR_MS: Final = 400.0  # a pulse and the picture that it belongs to
SOME: Final = 10  # pulses whose median is where sound stands
SETTLE_S: Final = 60.0  # browsers bring sound and pictures of WebRTC in step, by and by

Sent = Sequence[tuple[int, float]]  # a picture's number, when it left; Unix time in seconds
Shown = Sequence[tuple[int, float]]  # a picture's number, when it was shown; Unix time in ms


@dataclass(frozen=True)
class Figures:
    """Of one viewer, over some time; times are in milliseconds."""

    pictures: int
    median_ms: float
    p95_ms: float
    most_ms: float
    stalls: int
    stalled_ms: float
    stalls_at_s: tuple[float, ...]  # when each began, from the begin of watching
    repeated: int  # pictures that came again, or out of order
    sound_ms: tuple[float, ...] | None  # after its pictures, every 10 s; None: not heard
    seconds: float  # that it was watched

    @property
    def drift_ms(self) -> float | None:
        """By how much the sound has moved against the pictures, once it had the time to settle."""
        if self.sound_ms is None:
            return None
        settled = min(int(SETTLE_S) // SOME, len(self.sound_ms) // 2)
        return self.sound_ms[-1] - self.sound_ms[settled]


def delays_ms(sent: Sent, shown: Shown) -> list[float]:
    """From each picture's last byte on the wire to when it was shown.

    Numbers come again: a picture is the last one of its number that had left by then.
    """
    left: dict[int, list[float]] = {}
    for number, at_s in sent:
        left.setdefault(number, []).append(at_s * 1000)
    found = []
    for number, at_ms in shown:
        times = left.get(number, [])
        index = bisect.bisect_right(times, at_ms)
        if index:
            found.append(at_ms - times[index - 1])
    return found


def sound_ms(
    shown: Shown, pulses_ms: Sequence[float], marks: Sequence[int]
) -> tuple[float, ...] | None:
    """Return how long after its pictures sound was heard, every 10 pulses; None: too little of it.

    A pulse begins with each picture of `marks`. The way from the page to the ear has a delay of its
    own: what the two differ by is what counts.
    """
    wanted = set(marks)
    times = [at_ms for number, at_ms in shown if number in wanted]
    offsets = []
    for pulse in pulses_ms:
        near = min(times, key=lambda at_ms: abs(at_ms - pulse), default=None)
        if near is not None and abs(near - pulse) <= NEAR_MS:
            offsets.append(pulse - near)
    if len(offsets) < 2 * SOME:
        return None
    groups = [offsets[at : at + SOME] for at in range(0, len(offsets) - SOME + 1, SOME)]
    return tuple(statistics.median(group) for group in groups)


def figures(
    sent: Sent,
    shown: Shown,
    pulses_ms: Sequence[float],
    marks: Sequence[int],
    watched_ms: tuple[float, float],
) -> Figures:
    """Return what there is to say of a viewer.

    `watched_ms` is when watching began and ended, Unix time: waits for the first picture and after
    the last one are waits as those between pictures are.

    Raises:
        ValueError: nothing was seen.
    """
    delays = sorted(delays_ms(sent, shown))
    if not delays:
        raise ValueError("no picture was shown whose number was sent")
    begin, end = watched_ms
    waits = itertools.pairwise([begin, *(at_ms for _, at_ms in shown), end])
    stalls = [(before, after - before) for before, after in waits if after - before > STALL_MS]
    return Figures(
        len(shown),
        statistics.median(delays),
        delays[min(len(delays) - 1, int(0.95 * len(delays)))],
        delays[-1],
        len(stalls),
        sum(wait for _, wait in stalls),
        tuple(round((at - begin) / 1000, 1) for at, _ in stalls),
        sum(_is_back(before[0], after[0]) for before, after in itertools.pairwise(shown)),
        sound_ms(shown, pulses_ms, marks),
        (end - begin) / 1000,
    )


def counted(values: Sequence[int]) -> tuple[int, int]:
    """Return how far a counter went, and how often it began anew, as one of a new source does."""
    steps = list(itertools.pairwise(values))
    went = sum(after - before if after >= before else after for before, after in steps)
    return went, sum(after < before for before, after in steps)


def _is_back(before: int, after: int) -> bool:
    """Tell if a picture stands before the one that was shown before it; numbers begin anew."""
    return 0 <= before - after < 100
