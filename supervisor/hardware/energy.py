"""What a GPU took of energy since it is watched. Pure.

By the driver's own counter where it has one (Volta and later), else by its power from look to look.
"""

from typing import Final

MILLIJOULES: Final = 3_600_000.0  # of a watt-hour
LONGEST_S: Final = 60.0  # between two looks: a driver that was away says nothing of the meantime


class EnergyMeter:
    """Of one GPU."""

    def __init__(self) -> None:
        self._watt_hours: float | None = None
        self._counter: int | None = None  # mJ
        self._power: tuple[float, float] | None = None  # when, and how many watts

    def note(self, now_s: float, watts: float | None, counter_mj: int | None) -> float | None:
        """Count what the GPU tells at a look; the watt-hours so far, None while it told nothing."""
        if counter_mj is not None:
            before, self._counter = self._counter, counter_mj
            # One that goes back was set to 0, as by a driver that was loaded anew.
            taken = counter_mj - before if before is not None and counter_mj >= before else 0
            self._watt_hours = (self._watt_hours or 0.0) + taken / MILLIJOULES
        elif watts is not None:
            before_s, before_watts = self._power or (now_s, watts)
            seconds = min(now_s - before_s, LONGEST_S)
            taken_wh = (watts + before_watts) / 2 * seconds / 3600
            self._watt_hours = (self._watt_hours or 0.0) + taken_wh
            self._power = now_s, watts
        return self._watt_hours
