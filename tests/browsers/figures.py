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
    repeated: int  # pictures that came again, or out of order
    drift_ms: float | None  # of the sound against the pictures, from begin to end; None: not heard
    seconds: float  # from the first picture to the last one


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


def drift_ms(shown: Shown, pulses_ms: Sequence[float], marks: Sequence[int]) -> float | None:
    """Return by how much sound has moved against the pictures; None: too little was heard.

    A pulse begins with each picture of `marks`. Where it stands first does not count: the way from
    the page to the ear has a delay of its own.
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
    return statistics.median(offsets[-SOME:]) - statistics.median(offsets[:SOME])


def figures(sent: Sent, shown: Shown, pulses_ms: Sequence[float], marks: Sequence[int]) -> Figures:
    """Return what there is to say of a viewer.

    Raises:
        ValueError: nothing was seen.
    """
    delays = sorted(delays_ms(sent, shown))
    if not delays:
        raise ValueError("no picture was shown whose number was sent")
    steps = [after[1] - before[1] for before, after in itertools.pairwise(shown)]
    stalls = [step for step in steps if step > STALL_MS]
    return Figures(
        len(shown),
        statistics.median(delays),
        delays[min(len(delays) - 1, int(0.95 * len(delays)))],
        delays[-1],
        len(stalls),
        sum(stalls),
        sum(_is_back(before[0], after[0]) for before, after in itertools.pairwise(shown)),
        drift_ms(shown, pulses_ms, marks),
        (shown[-1][1] - shown[0][1]) / 1000,
    )


def _is_back(before: int, after: int) -> bool:
    """Tell if a picture stands before the one that was shown before it; numbers begin anew."""
    return 0 <= before - after < 100
