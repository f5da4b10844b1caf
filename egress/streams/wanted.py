"""Which streams an egress that is no stream's home has sent here. Pure but for whom it asks.

The supervisor keeps a stream coming for some seconds after it was asked for last. So what somebody
watches is asked for again and again; what nobody watches stops by itself.
"""

from collections.abc import Callable, Collection
from math import inf
from typing import Final

from common.ipc.identity import StreamId

ALL: Final = ""  # the renditions of a stream, whatever they are
REPEAT_S: Final = 3.0  # of the supervisor's 10 (`supervisor/farm/egress_routing.py`, KEEP_S)
KEEP_S: Final = 6.0  # a rendition is still asked for that nobody takes any more
MAX_STREAMS: Final = 2_000  # names come from viewers: those of no stream count too


class WantedStreams:
    """Those of one process."""

    def __init__(self, ask: Callable[[StreamId, tuple[str, ...]], object]) -> None:
        """`ask` has the supervisor send renditions of a stream here; none named: all."""
        self._ask = ask
        self._until_s: dict[StreamId, dict[str, float]] = {}
        self._asked_s: dict[StreamId, float] = {}

    def __len__(self) -> int:
        return len(self._until_s)

    def want(self, stream_id: StreamId, renditions: Collection[str], now: float) -> None:
        """Somebody wants these renditions, none named: all. What is new is asked for at once."""
        known = self._until_s.get(stream_id)
        if known is None:
            if len(self._until_s) >= MAX_STREAMS:
                self._forget(next(iter(self._until_s)))
            known = self._until_s[stream_id] = {}
        is_new = False
        for name in renditions or (ALL,):
            is_new = is_new or (name not in known and ALL not in known)
            known[name] = now + KEEP_S
        if is_new:
            self._ask_now(stream_id, now)

    def repeat(self, now: float) -> None:
        """Forget what nobody wants any more, ask for the rest; due once a second."""
        for stream_id, names in tuple(self._until_s.items()):
            for name in [name for name, until_s in names.items() if until_s <= now]:
                del names[name]
            if not names:
                self._forget(stream_id)
            elif now - self._asked_s.get(stream_id, -inf) >= REPEAT_S:
                self._ask_now(stream_id, now)

    def on_new_supervisor(self, now: float) -> None:
        """Nobody knows any more what was asked for."""
        self._asked_s.clear()
        self.repeat(now)

    def _ask_now(self, stream_id: StreamId, now: float) -> None:
        self._asked_s[stream_id] = now
        names = self._until_s[stream_id]
        self._ask(stream_id, () if ALL in names else tuple(sorted(names)))

    def _forget(self, stream_id: StreamId) -> None:
        del self._until_s[stream_id]
        self._asked_s.pop(stream_id, None)
