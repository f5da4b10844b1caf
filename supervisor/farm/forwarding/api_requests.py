"""What the API asks of egresses and workers: passed on, and the answers back. Pure.

Only children of the kind that a message is for are let send it; an answer goes to the API alone.
"""

from collections.abc import Callable, Sequence
from typing import Any

from common.ipc.api_messages import (
    MAX_JPEG_BYTES,
    PlayerList,
    PlayersWanted,
    Snapshot,
    SnapshotWanted,
)
from common.ipc.identity import ChildId
from common.ipc.kinds import has_viewers
from supervisor.farm.actions import Action, Send
from supervisor.farm.state import FarmState, serving

KIND = "api"


class ApiRequests:
    """Those of one farm; nothing is kept between a question and its answer."""

    def __init__(self, state: FarmState) -> None:
        self._state = state

    @property
    def handlers(self) -> dict[type, Callable[[ChildId, Any, float], list[Action]]]:
        """Which messages come here."""
        return {
            PlayersWanted: self.players_wanted,
            PlayerList: self.player_list,
            SnapshotWanted: self.snapshot_wanted,
        }

    def players_wanted(self, child: ChildId, wanted: PlayersWanted, _: float) -> list[Action]:
        """Ask everyone who has some."""
        if child.kind != KIND or wanted.asker != child:
            return []
        return [Send(egress, wanted) for egress in sorted(serving(self._state))]

    def player_list(self, child: ChildId, found: PlayerList, _: float) -> list[Action]:
        """The answer of one who has players."""
        if not has_viewers(child.kind) or found.egress != child:
            return []
        return self._back(found.asker, found)

    def snapshot_wanted(self, child: ChildId, wanted: SnapshotWanted, _: float) -> list[Action]:
        """Ask the stream's worker, or answer why there is no picture."""
        if child.kind != KIND or wanted.asker != child:
            return []
        stream = self._state.streams.get(wanted.stream_id)
        worker = self._state.device_of(stream) if stream is not None else None
        if worker is not None and worker in self._state.children:
            return [Send(worker, wanted)]
        why = "it is not transcoded" if stream is not None else "there is no such stream"
        answer = Snapshot(wanted.request_id, child, wanted.stream_id, why)
        return self._back(child, answer)

    def snapshot(self, child: ChildId, found: Snapshot, payloads: Sequence[bytes]) -> list[Action]:
        """A worker's answer."""
        if child.kind != "worker" or sum(map(len, payloads)) > MAX_JPEG_BYTES:
            return []
        return self._back(found.asker, found, payloads)

    def _back(
        self, asker: ChildId, answer: PlayerList | Snapshot, payloads: Sequence[bytes] = ()
    ) -> list[Action]:
        is_there = asker.kind == KIND and asker in self._state.children
        return [Send(asker, answer, payloads)] if is_there else []
