"""Streams that run here and are another host's: after a split, or when one was claimed there. Pure.

Etcd says whose a stream is, by the higher epoch. Here it ends `GRACE_S` after this is known, with
words for its publisher: the other host may only have been about to have it. Its players are held
for `HANDOVER_MS`, and become players of the other host's.
"""

from math import inf
from typing import Final

from common.access.refusal import Refusal, RefusalReason
from common.ipc.control_messages import EndStream
from common.ipc.identity import StreamId
from supervisor.farm.actions import Action, Send
from supervisor.farm.state import FarmState

GRACE_S: Final = 0.5
HANDOVER_MS: Final = 10_000  # for the relay to have it


class LostStreams:
    """Those of one farm."""

    def __init__(self, state: FarmState) -> None:
        self._state = state
        self._due_s: dict[StreamId, float] = {}
        self._where: dict[StreamId, str] = {}

    def lost(self, stream_id: StreamId, where: str, now: float) -> None:
        """Another host has it; `where` names that one."""
        self._where[stream_id] = where
        if stream_id not in self._due_s:
            self._due_s[stream_id] = now + GRACE_S
            self._state.note(stream_id, f"{where} has this stream, too", now)

    def kept(self, stream_id: StreamId) -> None:
        """It is this host's, or it has ended."""
        self._due_s.pop(stream_id, None)
        self._where.pop(stream_id, None)

    def next_deadline(self) -> float:
        """When to call `tick`."""
        return min(self._due_s.values(), default=inf)

    def tick(self, now: float) -> list[Action]:
        """End what is due, and what is not here any more is not lost."""
        actions: list[Action] = []
        for stream_id, due_s in tuple(self._due_s.items()):
            stream = self._state.streams.get(stream_id)
            if stream is not None and due_s > now:
                continue
            where = self._where[stream_id]
            self.kept(stream_id)
            if stream is not None:
                words = f"{where} has this stream, too, and came to it later: publish it there"
                self._state.note(stream_id, f"ended: {words}", now)
                refusal = Refusal(RefusalReason.NAME_IN_USE, words)
                actions.append(Send(stream.ingest, EndStream(stream_id, refusal, HANDOVER_MS)))
        return actions
