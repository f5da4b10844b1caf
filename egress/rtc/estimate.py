"""Which rendition a viewer's line takes, by what its browser reports. Pure.

WebRTC's viewers have no buffer to look at: what is too much is lost, or comes late. So one begins
low and goes up step by step, each after some seconds without trouble; it goes down at once, and
each failed step up is tried again later than the one before.

- A report that more than `LOST` is lost, twice in a row, is too much. Less than `FEW` is no
  trouble. What is in between, such as a line that always loses some, changes nothing.
- The browser's own estimate (REMB) follows what it is sent, up to half as much again. So a step up
  asks that it be clearly above what is sent, not that it be above the next rendition.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

LOST: Final = 0.10
FEW: Final = 0.02
START_BPS: Final = 1_500_000  # at most, where a rendition is that low
GOOD_S: Final = 4.0  # without trouble, before a step up
FIRST_GOOD_S: Final = 3.0  # likewise, before anything went wrong
TRIAL_S: Final = 10.0  # trouble so soon after a step up is of that step
FIRST_WAIT_S: Final = 10.0  # before such a step is tried again …
MAX_WAIT_S: Final = 160.0  # … doubled each time, up to this
ROOM: Final = 1.15  # of the estimate above what is sent, for a step up
SHORT: Final = 0.85  # of it below what is sent: too much


@dataclass(frozen=True, slots=True)
class Step:
    """One rendition that can be chosen."""

    name: str
    bps: int


class Estimate:
    """Of one viewer, between the renditions of a ladder."""

    def __init__(self, steps: Sequence[Step], now: float) -> None:
        """`steps`: those of the ladder, in any order; at least one."""
        self._steps = sorted(steps, key=lambda step: step.bps)
        low = [at for at, step in enumerate(self._steps) if step.bps <= START_BPS]
        self._at = low[-1] if low else 0
        self._good_since_s = now
        self._went_up_s = -TRIAL_S
        self._wait_s = 0.0  # after the last failed step up
        self._failed_s = now
        self._bad_reports = 0
        self._short_estimates = 0
        self._estimate_bps: int | None = None

    @property
    def rendition(self) -> str:
        """The one to send."""
        return self._steps[self._at].name

    def replace(self, steps: Sequence[Step], now: float) -> None:
        """Another ladder: the nearest step below the one before is taken."""
        before = self._steps[self._at].bps
        self._steps = sorted(steps, key=lambda step: step.bps)
        fit = [at for at, step in enumerate(self._steps) if step.bps <= before]
        self._at = fit[-1] if fit else 0
        self._good_since_s = now

    def on_report(self, lost: float, now: float) -> None:
        """Take the share of packets that were lost since the last report."""
        self._bad_reports = self._bad_reports + 1 if lost > LOST else 0
        if lost > FEW:
            self._good_since_s = now
        if self._bad_reports >= 2:
            self._go_down(now)

    def on_estimate(self, bps: int, sent_bps: float, now: float) -> None:
        """Take the browser's estimate of its line, beside what it is sent."""
        self._estimate_bps = bps
        is_short = bps < SHORT * sent_bps
        self._short_estimates = self._short_estimates + 1 if is_short else 0
        if is_short:
            self._good_since_s = now
        if self._short_estimates >= 3:
            self._go_down(now)

    def check(self, sent_bps: float, now: float) -> None:
        """Go up if it is time; about once a second."""
        if self._at + 1 == len(self._steps):
            return
        good_s = GOOD_S if self._wait_s else FIRST_GOOD_S
        if now - self._good_since_s < good_s or now - self._failed_s < self._wait_s:
            return
        following = self._steps[self._at + 1].bps
        wanted = min(ROOM * sent_bps, ROOM * following)
        if self._estimate_bps is not None and self._estimate_bps < wanted:
            return
        self._at += 1
        self._went_up_s = self._good_since_s = now

    def _go_down(self, now: float) -> None:
        self._bad_reports = self._short_estimates = 0
        self._good_since_s = now
        if self._at == 0:
            return
        if now - self._went_up_s <= TRIAL_S:
            self._wait_s = min(MAX_WAIT_S, max(FIRST_WAIT_S, 2 * self._wait_s))
        else:
            self._wait_s = max(FIRST_WAIT_S, self._wait_s / 2)
        self._failed_s = now
        room = self._estimate_bps
        self._at -= 1
        while room is not None and self._at > 0 and self._steps[self._at].bps > room:
            self._at -= 1
