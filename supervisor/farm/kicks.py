"""Streams that an operator ended, and that are refused for a while. Pure.

The supervisor alone keeps them: every ingest asks it before a publisher may begin. Another
supervisor knows nothing of them.
"""

from common.access.refusal import Refusal, RefusalReason
from common.ipc.identity import StreamId
from common.words import time_left

DEFAULT_S = 30.0
MAX_S = 24 * 3600.0
MAX_KICKED = 1_000  # streams


class Kicks:
    """Until when each of them is refused."""

    def __init__(self) -> None:
        self._until_s: dict[StreamId, float] = {}

    def kick(self, stream_id: StreamId, for_s: float, now: float) -> None:
        """Refuse a stream from now on; of too many the one that was kicked first is let in."""
        self._until_s.pop(stream_id, None)
        self._forget_over(now)
        if len(self._until_s) >= MAX_KICKED:
            del self._until_s[next(iter(self._until_s))]
        self._until_s[stream_id] = now + for_s

    def undo(self, stream_id: StreamId, now: float) -> bool:
        """Let a stream in again; whether it was refused."""
        until_s = self._until_s.pop(stream_id, None)
        return until_s is not None and now < until_s

    def refusal(self, stream_id: StreamId, now: float) -> Refusal | None:
        """Why the stream is refused; None: it is not."""
        left_s = self._until_s.get(stream_id, now) - now
        if left_s <= 0:
            return None
        words = f"ended by the operator; refused for {time_left(left_s)} more"
        return Refusal(RefusalReason.KICKED, words)

    def left(self, now: float) -> dict[StreamId, float]:
        """For how many seconds more each of them is refused."""
        self._forget_over(now)
        return {stream_id: until_s - now for stream_id, until_s in self._until_s.items()}

    def _forget_over(self, now: float) -> None:
        self._until_s = {s: until_s for s, until_s in self._until_s.items() if until_s > now}
