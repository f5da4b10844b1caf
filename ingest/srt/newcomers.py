"""What is known of callers before their ingest is asked: earlier refusals, and how long to wait.

A caller can be told why it is refused in its handshake alone, and that is answered in the library's
own thread, which meanwhile serves nobody else. So that thread waits for an ingest's word for a
moment only, and for a tenth of the time in all. A refusal that comes later ends the connection; it
is kept, and is the answer to the caller's next attempt. Pure; `now` is CLOCK_MONOTONIC.
"""

from collections import OrderedDict
from typing import Final

from common.access.refusal import Refusal

WAIT_S: Final = 0.05  # for one caller
SHARE: Final = 0.1  # of the time
MOST_S: Final = 0.5  # that was not waited before may be waited at once
REMEMBER_S: Final = 10.0
MAX_REMEMBERED: Final = 1000


class Newcomers:
    """Of one listener."""

    def __init__(self) -> None:
        self._left_s = MOST_S
        self._looked_s: float | None = None
        # when it is forgotten, by the caller's host and what it asked for
        self._refused: OrderedDict[tuple[str, str], tuple[float, Refusal]] = OrderedDict()

    def may_wait_s(self, now: float) -> float:
        """How long a caller's handshake may wait now; 0: not at all."""
        if self._looked_s is not None:
            self._left_s = min(MOST_S, self._left_s + (now - self._looked_s) * SHARE)
        self._looked_s = now
        return WAIT_S if self._left_s >= WAIT_S else 0.0

    def waited(self, seconds: float) -> None:
        """Note how long one did."""
        self._left_s -= seconds

    def refused(self, host: str, streamid: str, refusal: Refusal, now: float) -> None:
        """Keep why one was refused after its handshake."""
        self._refused.pop((host, streamid), None)
        self._refused[host, streamid] = now + REMEMBER_S, refusal
        if len(self._refused) > MAX_REMEMBERED:
            self._refused.popitem(last=False)

    def recall(self, host: str, streamid: str, now: float) -> Refusal | None:
        """Why it was refused just now; told once, since another attempt may find it otherwise."""
        until_s, refusal = self._refused.pop((host, streamid), (0.0, None))
        return refusal if now < until_s else None
