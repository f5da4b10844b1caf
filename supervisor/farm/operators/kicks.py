"""Streams that an operator ended, and that are refused for a while, with their publishers. Pure.

The supervisor alone keeps them: every ingest asks it before a publisher may begin. Another
supervisor knows nothing of them. A publisher that was kicked is refused under other names too: it
is known by its address together with the key that let it in, so that others behind the same address
with keys of their own are not kept out.
"""

from dataclasses import dataclass

from common.access.credentials import UNTOLD, Credentials
from common.access.keys import OPEN, OWN
from common.access.refusal import Refusal, RefusalReason
from common.ipc.identity import StreamId
from common.words import time_left

DEFAULT_S = 30.0
MAX_KICKED = 1_000  # streams


@dataclass(frozen=True, slots=True)
class Kick:
    """One of them."""

    until_s: float
    owner: Credentials  # of its publisher; UNTOLD: only the stream is refused


class Kicks:
    """Until when each of them is refused."""

    def __init__(self) -> None:
        self._kicks: dict[StreamId, Kick] = {}

    def kick(
        self, stream_id: StreamId, for_s: float, now: float, owner: Credentials = UNTOLD
    ) -> None:
        """Refuse a stream from now on; of too many the one that was kicked first is let in."""
        self._forget_over(now)
        before = self._kicks.pop(stream_id, None)
        if before is not None and owner == UNTOLD:
            owner = before.owner
        if len(self._kicks) >= MAX_KICKED:
            del self._kicks[next(iter(self._kicks))]
        self._kicks[stream_id] = Kick(now + for_s, owner)

    def undo(self, stream_id: StreamId, now: float) -> bool:
        """Let a stream in again; whether it was refused."""
        kick = self._kicks.pop(stream_id, None)
        return kick is not None and now < kick.until_s

    def refusal(
        self, stream_id: StreamId, now: float, newcomer: Credentials = UNTOLD
    ) -> Refusal | None:
        """Why the stream, or this publisher of it, is refused; None: it is not."""
        kick = self._kicks.get(stream_id)
        if kick is not None and now < kick.until_s:
            return _refusal("", kick, now)
        if newcomer.address and newcomer.entry != OWN:  # a stream's own key is of one name
            for kick in self._kicks.values():
                if kick.owner == newcomer and now < kick.until_s:
                    what = "this address" if newcomer.entry == OPEN else "this address and key"
                    return _refusal(what, kick, now)
        return None

    def left(self, now: float) -> dict[StreamId, float]:
        """For how many seconds more each of them is refused."""
        self._forget_over(now)
        return {stream_id: kick.until_s - now for stream_id, kick in self._kicks.items()}

    def _forget_over(self, now: float) -> None:
        self._kicks = {s: kick for s, kick in self._kicks.items() if kick.until_s > now}


def _refusal(what: str, kick: Kick, now: float) -> Refusal:
    whom = f"{what} is " if what else ""
    words = f"ended by the operator; {whom}refused for {time_left(kick.until_s - now)} more"
    return Refusal(RefusalReason.KICKED, words)
