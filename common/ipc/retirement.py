"""The end of a process that has a successor (IO: asyncio, the log).

From `Retire` on it takes nobody new, and serves whom it has for as long as they stay: hours,
perhaps. So nobody is disconnected by an upgrade. It ends when nobody is left, or at a deadline that
the operator has set.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable
from typing import Final

log = logging.getLogger("tfarm.common.ipc.retirement")

CHECK_S: Final = 0.5
# What was on its way when it retired has come by then.
EMPTY_S: Final = 3.0


class Retirement:
    """Of one process; `run` once."""

    def __init__(
        self,
        retire: Callable[[], None],
        is_empty: Callable[[], bool],
        end: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.has_begun = False
        self._retire = retire
        self._is_empty = is_empty
        self._end = end
        self._clock = clock

    async def run(self, deadline_s: float) -> None:
        """Take nobody new; return at the end. `deadline_s` 0: there is none."""
        self.has_begun = True
        now = self._clock()
        until_s = now + deadline_s if deadline_s > 0 else math.inf
        log.info("retiring deadline_s=%.0f", deadline_s)
        self._retire()
        empty_since_s = math.inf
        while True:
            await asyncio.sleep(CHECK_S)
            now = self._clock()
            if not self._is_empty():
                empty_since_s = math.inf
            elif empty_since_s == math.inf:
                empty_since_s = now
            if now - empty_since_s >= EMPTY_S:
                reason = "nobody is left"
                break
            if now >= until_s:
                reason = "its deadline is over"
                break
        log.info("retired reason=%s", reason)
        self._end()
