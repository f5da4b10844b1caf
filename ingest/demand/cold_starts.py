"""When streams of which nothing was made may begin to be made. Pure: the caller passes the time.

To begin, a worker decodes the last GOP faster than real time. Where many are asked for at once, all
of that together would take every core from what runs already. So they begin one after the other,
in the order in which they were asked for, as fast as the host's cores can do that.
"""

from itertools import islice
from math import ceil
from typing import Final

from common.ipc.identity import StreamId

START_CPU_S: Final = 0.3  # that a start takes of a core: a GOP of 720p30, decoded and encoded
_AT_ONCE: Final = 2  # where there was none for a while; those who come one by one never wait
_TICK_S: Final = 0.1  # between two times that a stream asks
_GONE_S: Final = 1.0  # without asking: it has ended, or nobody wants it any more


class ColdStarts:
    """Those of one ingest."""

    def __init__(self, cores: int = 2) -> None:
        """`cores`: that workers have."""
        self._interval_s = START_CPU_S / max(1, cores)
        self._most = max(_AT_ONCE, ceil(_TICK_S / self._interval_s))
        self._next_s = 0.0  # when the next one may begin
        self._asked_s: dict[StreamId, float] = {}  # by who waits, in order: when it asked last

    def may_begin(self, stream_id: StreamId, now: float) -> bool:
        """Ask for a stream, again with each tick: whether it is its turn, which it takes."""
        self._asked_s[stream_id] = now
        while now - self._asked_s[first := next(iter(self._asked_s))] > _GONE_S:
            del self._asked_s[first]
        self._next_s = max(self._next_s, now - (self._most - 1) * self._interval_s)
        free = int((now - self._next_s) / self._interval_s + 1e-6) + 1 if now >= self._next_s else 0
        if stream_id not in islice(self._asked_s, free):
            return False
        del self._asked_s[stream_id]
        self._next_s += self._interval_s
        return True
