"""When a rendition is measured: as often as wanted, and for no more than its encoding allows. Pure.

`now` is CLOCK_MONOTONIC in seconds, given by the caller. A measurement takes CPU time; all of a
rendition's take at most `SHARE` of what its encoding takes, so those of a stream take no more of
the stream's. Where one waited for cores, or for the GIL, much longer than it worked, the host has
something better to do: then the pause doubles each time.
"""

from typing import Final

SHARE: Final = 0.01  # of the time that encoding takes
LATE_S: Final = 1.0  # a picture that is later than this is not measured: its stream is behind
_STARVED: Final = 5.0  # times the CPU time of a measurement …
_UNHURRIED_S: Final = 0.05  # … and this
_MOST_DOUBLED: Final = 5


class MeasureSchedule:
    """Of one rendition."""

    def __init__(self, every_s: float) -> None:
        """`every_s`: from one measurement to the next, at least; 0: there is none."""
        self._every_s = every_s
        self._next_s = 0.0
        self._is_running = False
        self._doubled = 0

    def begins(self, encode_share: float, late_s: float, now: float) -> bool:
        """Whether to measure the keyframe that is there; if so, `ended` or `failed` must follow.

        `encode_share`: seconds a second that its encoding takes; 0: not known yet.
        """
        if not self._every_s or self._is_running or now < self._next_s:
            return False
        if not encode_share or late_s > LATE_S:
            return False
        self._is_running = True
        return True

    def put_off(self) -> None:
        """It began, and nobody has time for it: the next keyframe is tried."""
        self._is_running = False

    def ended(self, cpu_s: float, lasted_s: float, encode_share: float, now: float) -> None:
        """It took so much CPU time, and so long since a thread began with it."""
        is_starved = lasted_s > _STARVED * cpu_s + _UNHURRIED_S
        self._doubled = min(_MOST_DOUBLED, self._doubled + 1) if is_starved else 0
        pause_s = max(self._every_s, cpu_s / (SHARE * encode_share))
        self._next_s = now + pause_s * 2**self._doubled
        self._is_running = False
